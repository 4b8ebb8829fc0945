"""Pictures of every page, for the README and the docs: `make screenshots`.

    python tests/functional/screenshots.py [FOLDER [NAME OF A PAGE …]]

Starts the product in a folder of its own, fills it with the demo's drawings (seed.py, no
training), and takes every page at 1440 and 390 pixels; docs/pages.md shows them.
"""

import io
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from tests.functional import chromium
from tests.functional.stack import ROOT, Stack

PASSWORD = "mended with gold, 1600"
UNITS = 40
SIZES = {"": (1440, 900), "-phone": (390, 844)}
QUALITY = 70
HEAD = """# The pages

Every page at 1440 and 390 pixels, with the demo's own drawings. `make screenshots` takes them anew.
"""


def main(folder: Path, only: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with Stack(works=False) as stack, sync_playwright() as playwright:
        one_time = stack.one_time_password("anna")
        browser = playwright.chromium.launch(
            executable_path=chromium.find(), args=chromium.ARGUMENTS
        )
        state = first_sign_in(browser, stack.url, one_time)
        addresses = stack.seed(UNITS)
        for suffix, (width, height) in SIZES.items():
            context = browser.new_context(
                base_url=stack.url,
                storage_state=state,  # type: ignore[arg-type]
                viewport={"width": width, "height": height},
            )
            page = context.new_page()
            for name, address in addresses.items():
                if only and name not in only:
                    continue
                take(page, address, folder / f"{name}{suffix}.webp")
            context.close()
        browser.close()
    if folder == ROOT / "docs" / "screenshots":
        (ROOT / "docs" / "pages.md").write_text(listed(list(addresses)))
    print(f"{len(addresses)} pages are in {folder}")


def first_sign_in(browser: Browser, url: str, one_time: str) -> object:
    context = browser.new_context(base_url=url)
    page = context.new_page()
    page.goto("/")
    page.fill("#id_login", "anna")
    page.fill("#id_password", one_time)
    page.click(".btn-primary[type=submit]")
    page.fill("#id_oldpassword", one_time)
    page.fill("#id_password1", PASSWORD)
    page.fill("#id_password2", PASSWORD)
    with page.expect_navigation():  # the session gets another key with the password
        page.click(".btn-primary[type=submit]")
    state = context.storage_state()
    context.close()
    return state


def take(page: Page, address: str, target: Path) -> None:
    page.goto(address)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1200)  # the zoom viewer and the charts draw themselves in
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.save(target, "WEBP", quality=QUALITY, method=6)


def listed(names: list[str]) -> str:
    """docs/pages.md: a heading and both pictures for every page."""
    parts = [HEAD]
    for name in names:
        title = name.replace("_", " ").capitalize()
        parts.append(
            f"## {title}\n\n"
            f'<img src="screenshots/{name}.webp" alt="{title}" width="720"> '
            f'<img src="screenshots/{name}-phone.webp" alt="{title} on a phone" width="195">\n'
        )
    return "\n".join(parts)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "screenshots", sys.argv[2:])
