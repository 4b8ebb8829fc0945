"""A key made in Settings, and the API's own page, under the policy that every page has."""

import urllib.error
import urllib.request

from playwright.sync_api import Page, expect

from tests.functional.stack import Stack


def test_a_key_is_made_rotated_and_ended(page: Page, stack: Stack) -> None:
    page.goto("/settings/keys/")
    page.fill("#id_name", "MES line 3")
    page.get_by_label("Products and stations: Read").check()
    with page.expect_navigation():  # the copy button is heard from then on
        page.get_by_role("button", name="Make the key").click()
    text = page.locator("#key-text").inner_text()
    assert text.startswith("kin_")
    assert asked(stack, text) == 200
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy", exact=True).click()
    expect(page.locator("[data-copied]")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == text

    page.goto("/settings/keys/")
    assert text not in page.content()
    page.get_by_label("Change MES line 3").click()
    page.get_by_role("button", name="Rotate").click()
    fresh = page.locator("#key-text").inner_text()
    assert {asked(stack, text), asked(stack, fresh)} == {200}

    page.on("dialog", lambda dialog: dialog.accept())
    page.goto("/settings/keys/")
    page.get_by_label("Change MES line 3").first.click()
    page.get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("revoked")).to_be_visible()
    assert asked(stack, fresh) == 401
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 1


def test_the_page_of_the_api_tries_a_request_out(page: Page) -> None:
    """Signed in by session, as the page's own button does it; the watcher sees every violation
    of the content policy and every request to another host."""
    page.goto("/settings/about/")
    page.get_by_role("link", name="API", exact=True).click()
    page.wait_for_url("**/api/v1/docs/")
    operation = page.locator("#operations-me-me_get")
    operation.locator(".opblock-summary").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".responses-table.live-responses-table")
    expect(answer).to_contain_text('"username": "anna"')
    expect(answer).to_contain_text("200")


def asked(stack: Stack, key: str) -> int:
    """The status of a request with this key."""
    headers = {"Authorization": f"Bearer {key}"}
    request = urllib.request.Request(f"{stack.url}/api/v1/products", headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
