"""Repair zones by mouse and by keyboard, as they come back after a reload."""

from pathlib import Path

from playwright.sync_api import Page, expect

from tests.factories.pictures import write_parts
from tests.functional.steps import create_product, drop, files


def sides(page: Page, row: int) -> list[float]:
    fields = page.locator("[data-zone]").nth(row).locator("input")
    return [float(field.input_value()) for field in fields.all()]


def test_zones_are_drawn_typed_removed_and_kept(page: Page, tmp_path: Path) -> None:
    create_product(page, "ZONE-1", "Zoned board")
    product = page.url
    page.get_by_role("link", name="Upload pictures").first.click()
    drop(page, files(write_parts(tmp_path, 2)))
    page.goto(product)
    page.get_by_role("link", name="Zones and symmetries").click()
    picture = page.locator("#zone-picture")
    expect(picture).to_have_attribute("data-ready", "yes")
    box = picture.bounding_box()
    assert box
    across, down = box["width"] / 10, box["height"] / 10
    page.mouse.move(box["x"] + 6 * across, box["y"] + 5 * down)
    page.mouse.down()
    page.mouse.move(box["x"] + 2 * across, box["y"] + 1 * down, steps=4)
    page.mouse.up()
    expect(picture.locator("rect")).to_have_count(1)
    drawn = sides(page, 0)
    assert all(abs(a - b) < 1 for a, b in zip(drawn, (20, 10, 40, 40), strict=True)), drawn

    page.locator("#zone-add").focus()
    page.keyboard.press("Enter")
    for value in ("5", "70", "10", "25"):
        page.keyboard.type(value)
        page.keyboard.press("Tab")
    expect(picture.locator("rect")).to_have_count(2)
    with page.expect_navigation():
        page.get_by_role("button", name="Save the zones").click()
    expect(page.locator("#zone-count")).to_have_text("2")
    assert sides(page, 1) == [5, 70, 10, 25]

    page.get_by_role("button", name="Remove zone 1").click()
    with page.expect_navigation():
        page.get_by_role("button", name="Save the zones").click()
    page.reload()
    expect(picture.locator("rect")).to_have_count(1)
    assert sides(page, 0) == [5, 70, 10, 25]
    page.get_by_text("Quarter turns").check()
    with page.expect_navigation():
        page.get_by_role("button", name="Save the symmetries").click()
    expect(page.get_by_role("checkbox", name="Quarter turns")).to_be_checked()
