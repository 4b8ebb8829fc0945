"""What the next run learns: seen before it starts, from a product and from rejected calls."""

from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.functional.people import signed_in
from tests.functional.stack import Stack
from tests.functional.walk_rows import LEARNED, ask

CODE = "LEARN-1"
LOT = f"{CODE}-L"


@pytest.fixture(scope="module")
def made(quiet: Stack) -> dict[str, Any]:
    ask(quiet, "person", name="lena", role="engineer")
    return dict(ask(quiet, "learnable", code=CODE, seed=4000))


def start(page: Page) -> None:
    page.get_by_role("button", name="Train now").click()
    page.wait_for_url("**/runs/**")
    expect(page.locator("#run")).to_have_attribute("data-state", "queued")


def figure(page: Page, word: str) -> str:
    """One of the three numbers of what the next run learns."""
    found = page.locator(".figures > div", has_text=word).locator("dd")
    return found.inner_text().strip()


def test_from_a_product_what_is_new_and_left_out_is_seen_and_learned(
    browser: Browser, quiet: Stack, made: dict[str, Any]
) -> None:
    with signed_in(browser, quiet, "lena") as page:
        page.goto(f"/products/{made['product']}/")
        page.get_by_role("link", name="Train again", exact=True).click()
        assert (figure(page, "New"), figure(page, "Left out since")) == ("+1", "−1")
        expect(page.get_by_role("img", name=made["new"])).to_be_visible()
        expect(page.get_by_role("img", name=f"{made['left_out']}: blurred")).to_be_visible()
        page.locator("#now-preset").select_option("compact")
        start(page)
    run = ask(quiet, "newest_run", product=made["product"])
    assert (run["trigger"], run["preset"], run["by"]) == ("person", "compact", "lena")
    assert len(run["learns"]) == LEARNED + 1
    assert made["new"] in run["learns"]
    assert made["left_out"] not in run["learns"]


def test_rejected_calls_are_learned_from_defects_and_a_defect_never(
    browser: Browser, quiet: Stack, made: dict[str, Any]
) -> None:
    with signed_in(browser, quiet, "lena") as page:
        page.goto(f"/defects/?product={CODE}&lot={LOT}")
        expect(page.locator(".verdict-tile")).to_have_count(4)
        page.keyboard.press("a")
        expect(page.locator("#bulk-said")).to_have_text("4 picked")
        with page.expect_navigation():
            page.keyboard.press("l")
        expect(page.locator("#toasts")).to_contain_text("nothing of this selection is learned")
        assert ask(quiet, "taken_over", product=made["product"]) == []

        page.goto(f"/defects/?product={CODE}&lot={LOT}&review=DefectRejected")
        expect(page.locator(".verdict-tile")).to_have_count(2)
        for _ in range(2):
            page.keyboard.press("j")
            page.keyboard.press("x")
        expect(page.locator("#bulk-said")).to_have_text("2 picked")
        page.keyboard.press("l")
        page.wait_for_url("**/retraining/")
        expect(page.locator("#toasts")).to_contain_text("2 pictures joined the good parts")
        names = [f"{LOT}-0.png", f"{LOT}-1.png"]
        assert ask(quiet, "taken_over", product=made["product"]) == names
        for name in names:
            expect(page.locator(".tile", has=page.get_by_role("img", name=name))).to_contain_text(
                "inspected"
            )
        start(page)
    run = ask(quiet, "newest_run", product=made["product"])
    assert run["trigger"] == "selection"
    assert set(names) < set(run["learns"])
