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
OTHERS = {"badge_and_pin": "/accounts/pin/"}
SETTLED = ("gate", "model at the gate", "batch_flips", "model_limit_changes")
LOCK, PIN = "locked_station", "4711x"
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
        addresses = {**stack.seed(UNITS), **OTHERS, **gate_and_flips(stack)}
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
            if not only or LOCK in only:
                lock(page)
                take(page, "/lock/", folder / f"{LOCK}{suffix}.webp")
                unlock(page)
            context.close()
        browser.close()
    if folder.resolve() == ROOT / "docs" / "screenshots":
        (ROOT / "docs" / "pages.md").write_text(listed([*addresses, LOCK]))
    print(f"{len(addresses) + 1} pages are in {folder}")


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


def gate_and_flips(stack: Stack) -> dict[str, str]:
    """A candidate that failed its gate, and a lot that was judged again."""
    made = stack.ask("settled", code="RELAY-2", seed=9000)
    return {name.replace(" ", "_"): made[name] for name in SETTLED}


def lock(page: Page) -> None:
    """As somebody at a shared station does who goes away."""
    page.goto("/accounts/pin/")
    if not page.get_by_text("A PIN is set.").count():
        for field, value in (("badge", "1001"), ("pin", PIN), ("pin_again", PIN)):
            page.fill(f"#id_{field}", value)
        page.fill("#id_password", PASSWORD)
        page.get_by_role("button", name="Save").click()
        page.get_by_text("A PIN is set.").wait_for()
    page.goto("/verify/")
    page.get_by_role("button", name="Lock, change user").click()
    page.wait_for_url("**/lock/")


def unlock(page: Page) -> None:
    page.fill("#id_pin", PIN)
    with page.expect_navigation():
        page.keyboard.press("Enter")


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
