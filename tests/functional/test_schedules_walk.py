"""A report that is sent by itself: made, changed, ended and removed on the page."""

from typing import Any

from playwright.sync_api import Browser, Page, expect

from tests.functional.people import signed_in
from tests.functional.stack import Stack
from tests.functional.walk_rows import ask


def row(page: Page) -> Any:
    return page.locator("tr", has_text="SENT-1").or_(page.locator("tr", has_text="Relay SENT-1"))


def test_a_schedule_is_made_changed_ended_and_removed(browser: Browser, quiet: Stack) -> None:
    ask(quiet, "person", name="sven", role="engineer")
    made = ask(quiet, "contested", code="SENT-1", seed=5000)
    product = made["product"]
    with signed_in(browser, quiet, "sven") as page:
        page.goto("/reports/")
        page.get_by_text("Send a report by itself").click()
        page.select_option("[name=schedule-kind]", "lot_csv")
        page.select_option("[name=schedule-product]", product)
        page.select_option("[name=schedule-every]", "day")
        page.select_option("[name=schedule-hour]", "5")
        page.fill("[name=schedule-recipients]", "quality plant.example")
        page.get_by_role("button", name="Schedule").click()
        expect(page.locator("#schedule")).to_contain_text("quality plant.example")
        assert ask(quiet, "schedules", product=product) == []

        page.fill("[name=schedule-recipients]", "quality@plant.example\nboss@plant.example")
        page.get_by_role("button", name="Schedule").click()
        expect(row(page)).to_contain_text("quality@plant.example, boss@plant.example")
        (kept,) = ask(quiet, "schedules", product=product)
        assert kept["recipients"] == ["quality@plant.example", "boss@plant.example"]
        assert (kept["kind"], kept["every"], kept["hour"]) == ("lot_csv", "day", 5)

        row(page).get_by_role("link", name="Edit").click()
        expect(page.locator("[name=schedule-hour]")).to_have_value("5")
        expect(page.locator("[name=schedule-product]")).to_be_disabled()
        page.select_option("[name=schedule-hour]", "7")
        page.fill("[name=schedule-recipients]", "boss@plant.example")
        page.get_by_role("button", name="Save").click()
        expect(row(page)).not_to_contain_text("quality@plant.example")
        (changed,) = ask(quiet, "schedules", product=product)
        assert changed == {**kept, "hour": 7, "recipients": ["boss@plant.example"]}

        page.once("dialog", lambda dialog: dialog.dismiss())
        row(page).get_by_role("button", name="End").click()
        expect(row(page).get_by_role("button", name="End")).to_be_visible()
        page.on("dialog", lambda dialog: dialog.accept())
        row(page).get_by_role("button", name="End").click()
        expect(row(page)).to_contain_text("Off")
        assert [one["enabled"] for one in ask(quiet, "schedules", product=product)] == [False]
        row(page).get_by_role("button", name="Delete").click()
        expect(row(page)).to_have_count(0)
        assert ask(quiet, "schedules", product=product) == []
