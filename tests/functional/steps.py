"""What people do on the pages, in their words."""

from pathlib import Path

from playwright.sync_api import Page, expect

LONG_MS = 120_000


def files(folder: Path) -> list[str]:
    return sorted(str(file) for file in folder.rglob("*.png"))


def drop(page: Page, names: list[str]) -> None:
    """Hand files to the drop zone, and wait until each has its receipt."""
    page.set_input_files("#pick-files", names)
    expect(page.locator("#uploader")).to_have_attribute("data-state", "closed", timeout=LONG_MS)


def create_product(page: Page, code: str, name: str) -> None:
    page.goto("/products/")
    page.get_by_role("link", name="New product").first.click()
    page.fill("#id_code", code)
    page.fill("#id_name", name)
    page.get_by_role("button", name="Create the product").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
