"""Somebody else than the administrator, in a browser of their own."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import APIResponse, Browser, Page

from tests.factories.user import PASSWORD
from tests.functional.stack import Stack
from tests.functional.watcher import Watcher

WAIT_MS = 20_000


@contextmanager
def signed_in(
    browser: Browser, stack: Stack, name: str, expected: tuple[int, ...] = (), **look: Any
) -> Iterator[Page]:
    """A page of `name`, who came in by the door; watched, but for answers of a status that is
    `expected`; 1440 × 900 unless `look` says so."""
    look = {"viewport": {"width": 1440, "height": 900}, **look}
    context = browser.new_context(base_url=stack.url, **look)
    context.set_default_timeout(WAIT_MS)
    watcher = Watcher(context, stack.url)
    watcher.expected.update(expected)
    page = context.new_page()
    page.goto("/accounts/login/")
    page.fill("#id_login", name)
    page.fill("#id_password", PASSWORD)
    with page.expect_navigation():
        page.click(".btn-primary[type=submit]")
    yield page
    context.close()
    watcher.check()


def post(page: Page, address: str, **form: str) -> APIResponse:
    """What a person sends who knows an address without having its button."""
    token = page.locator("body").get_attribute("data-csrf")
    headers = {"X-CSRFToken": str(token), "Accept": "application/json"}
    return page.request.post(address, form=form, headers=headers, max_redirects=0)
