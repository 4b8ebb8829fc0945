"""Pictures of the pages, for the README and the docs: `make screenshots`.

    python tests/functional/screenshots.py [FOLDER] [MINUTES OF TRAINING]

Starts the whole product in a folder of its own, runs the demo's main job, and walks the pages
at 1440 and 390 pixels, light and dark.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from playwright.sync_api import Browser, Page, sync_playwright

from tests.functional import chromium
from tests.functional.stack import ROOT, Stack

PASSWORD = "mended with gold, 1600"
PICTURES = "120,12,2"  # to learn from, good ones to judge, and of each defect
SIZES = {"": (1440, 900), "-phone": (390, 844)}
SCHEMES = {"": "light", "-dark": "dark"}


def main(folder: Path, minutes: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with Stack() as stack:
        one_time = stack.one_time_password("anna")
        print(f"The demo's main job runs, {minutes} minutes of training …")
        stack.manage("run_main_job", "--once", "--budget", minutes, "--pictures", PICTURES)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=chromium.find(), args=chromium.ARGUMENTS
            )
            state = first_sign_in(browser, stack.url, one_time)
            for size, (width, height) in SIZES.items():
                for suffix, scheme in SCHEMES.items():
                    context = browser.new_context(
                        base_url=stack.url,
                        storage_state=state,  # type: ignore[arg-type]
                        viewport={"width": width, "height": height},
                        color_scheme=scheme,  # type: ignore[arg-type]
                    )
                    take(context.new_page(), folder, f"{suffix}{size}")
                    context.close()
            browser.close()
    print(f"The pictures are in {folder}")


def first_sign_in(browser: Browser, url: str, one_time: str) -> object:
    context = browser.new_context(base_url=url)
    page = context.new_page()
    page.goto("/")
    page.fill("#id_login", "anna")
    page.fill("#id_password", one_time)
    page.click("button[type=submit]")
    page.fill("#id_oldpassword", one_time)
    page.fill("#id_password1", PASSWORD)
    page.fill("#id_password2", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_load_state()
    state = context.storage_state()
    context.close()
    return state


def take(page: Page, folder: Path, suffix: str) -> None:
    """One picture of each page that the docs show."""

    def shoot(name: str, address: str) -> None:
        page.goto(address)
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(1200)  # the zoom viewer and the charts draw themselves in
        page.screenshot(path=folder / f"{name}{suffix}.png")

    def first(selector: str) -> str:
        return str(page.locator(selector).first.get_attribute("href"))

    shoot("products", "/products/")
    product = first(".product-card")
    shoot("product", product)
    run, model = first("a[href^='/runs/']"), first("a[href^='/models/']:not([href='/models/'])")
    batch = first("a[href^='/batches/']")
    shoot("upload", f"{product}upload/")
    shoot("train", f"{product}train/")
    shoot("run", run)
    shoot("model", model)
    shoot("batch", f"{batch}?order=worst")
    shoot("inspection", first(".verdict-tile"))
    shoot("jobs", "/jobs/")
    shoot("users", "/settings/users/")


if __name__ == "__main__":
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "screenshots"
    main(out, sys.argv[2] if len(sys.argv) > 2 else "4.5")
