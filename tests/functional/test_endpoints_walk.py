"""From a receiver to its first event, and what to do when it did not answer."""

import json
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.processes import wait_for
from tests.receivers import Receiver, receiver
from tests.unit.exchange.reference import is_signed_by


@pytest.fixture
def mes() -> Iterator[Receiver]:
    with receiver() as there:
        yield there


def until(wanted: Locator, look: Callable[[], object]) -> None:
    """Look until the page shows it: the receiver knows of a try before it is on record."""

    def shown() -> bool:
        look()
        return wanted.is_visible()

    wait_for(shown, 60, f"the page shows {wanted}")


def test_a_webhook_from_its_form_to_a_replay(page: Page, mes: Receiver) -> None:
    page.goto("/settings/endpoints/")
    page.get_by_role("link", name="Add a webhook").click()
    page.get_by_label("Name").fill("MES of the walk")
    page.get_by_label("Address").fill("http://10.9.9.9/hook")
    page.get_by_role("button", name="Add the endpoint").click()
    expect(page.locator(".wrong")).to_contain_text("not public")
    page.get_by_label("Address").fill(mes.url)
    page.get_by_label("Part reviewed").check()
    page.keyboard.press("Enter")  # a form is sent by the keyboard too
    secret = page.locator("#secret-text").inner_text()
    assert secret.startswith("whsec_")

    def look_again() -> None:
        with page.expect_navigation():
            page.get_by_role("link", name="Look again").click()

    page.get_by_role("button", name="Send a test").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("endpoint.test")
    wait_for(lambda: mes.got, 60, "the receiver is told")
    assert is_signed_by(secret, mes.got[0])
    assert json.loads(mes.got[0].body)["data"] == {"endpoint": "MES of the walk"}

    until(page.locator(".tag", has_text="Delivered"), look_again)
    mes.answer = 500
    with page.expect_navigation():
        page.get_by_role("button", name="Send again").click()
    wait_for(lambda: len(mes.got) >= 2, 60, "it is sent again")  # and in 5 s once more
    assert mes.ids[0] == mes.ids[1]
    until(page.locator("main", has_text="The receiver answered 500."), look_again)

    page.set_viewport_size({"width": 390, "height": 844})
    with page.expect_navigation():
        page.locator(".crumbs, nav").get_by_role("link", name="MES of the walk").first.click()
    until(page.locator(".tag", has_text="Trouble"), page.reload)
    expect(page.locator("#secret-text")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_label("State").select_option("delivered")
    page.get_by_role("button", name="Show").click()
    expect(page.locator(".empty")).to_be_visible()
