"""The first page of the morning: read the figures, find where it comes from, open the list."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.functional.stack import Stack


@pytest.fixture(scope="module")
def history(stack: Stack) -> None:
    stack.manage("make_history", "--inspections", "900", "--months", "0.5", "--products", "2")


@pytest.mark.usefixtures("history")
def test_from_the_figures_to_the_parts(page: Page) -> None:
    page.goto("/?period=30d")
    expect(page.locator("[data-kpi=inspected] .kpi-value")).not_to_have_text("0 units")
    expect(page.locator("#trend canvas")).to_be_visible()

    # the chart says the same as a table
    table = page.locator(".desk-trend .as-table")
    table.locator("summary").click()
    expect(table.locator("tbody tr").first).to_be_visible()

    # a day of either opens its called parts
    table.locator("tbody a").first.click()
    page.wait_for_url("**/defects/**verdict=called**")
    expect(page.locator(".verdict-filters [aria-current]")).to_have_text("Called")
    page.go_back()
    expect(page.locator("#trend canvas")).to_be_visible()
    page.locator("#trend .u-over").click()
    page.wait_for_url("**/defects/**verdict=called**")
    page.go_back()

    # product and line are chosen in the top bar, stand in the address, and stay
    page.get_by_label("Product", exact=True).select_option("PSU-2401")
    page.wait_for_url("**product=PSU-2401**")
    expect(page.locator("h1")).to_have_text("Power supply 240 W")
    page.goto("/products/")
    page.locator(".rail-entry", has_text="Today").click()
    page.wait_for_url("**product=PSU-2401**")

    # every figure opens the list behind it
    page.locator("[data-kpi=fpy_raw]").click()
    page.wait_for_url("**/defects/**verdict=pass**")
    assert "product=PSU-2401" in page.url
    assert "record=1" in page.url


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize("width", [390, 1440])
def test_it_fits(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    page.goto("/?period=12m")
    expect(page.locator("#trend canvas")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    cell = page.locator(".place-picture a").first
    cell.focus()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"cell=\d+"))


@pytest.mark.usefixtures("history")
def test_it_keeps_itself_up_to_date(page: Page) -> None:
    """The page reads itself again each minute, but not under somebody's hands."""
    page.clock.install()
    page.goto("/?period=30d")
    expect(page.locator("#trend canvas")).to_be_visible()
    marked = page.locator("#today[data-seen]")
    page.evaluate("document.getElementById('today').dataset.seen = 'yes'")
    table = page.locator(".desk-trend .as-table")
    table.locator("summary").click()
    page.clock.run_for(130_000)
    expect(table.locator("tbody tr").first).to_be_visible()
    expect(marked).to_have_count(1)

    # closed again, with the focus still there: after a while nobody is at work any more
    table.locator("summary").click()
    page.clock.run_for(130_000)
    expect(marked).to_have_count(0)
    expect(page.locator("#trend canvas")).to_be_visible()
    table.locator("summary").click()
    expect(table.locator("tbody tr").first).to_be_visible()

    # what lies behind stays as it is
    page.goto("/?since=2020-01-01&until=2020-01-31")
    expect(page.locator("h1")).to_be_visible()
    assert not page.locator("#today[data-grows]").count()
