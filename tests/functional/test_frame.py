"""What every page has: theme, keys, live status, and not too much weight."""

import brotli
import pytest
from playwright.sync_api import Page, Response, expect

MOST_BYTES = 150_000


def test_the_first_page_is_light(page: Page) -> None:
    """Everything but pictures, as Brotli sends it."""
    answers: list[Response] = []
    page.on("response", lambda response: answers.append(response))
    page.goto("/products/", wait_until="networkidle")
    sizes: dict[str, int] = {}
    for response in list(answers):
        kind = response.headers.get("content-type", "")
        if response.ok and not kind.startswith(("image/webp", "image/png", "image/jpeg")):
            sizes[response.url] = len(brotli.compress(response.body()))
    assert sizes
    assert sum(sizes.values()) <= MOST_BYTES, sizes


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_theme_follows_the_system_until_chosen(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.goto("/products/")
    html = page.locator("html")
    expect(html).to_have_attribute("data-bs-theme", scheme)
    page.locator("[data-action=theme]").click()
    other = "light" if scheme == "dark" else "dark"
    expect(html).to_have_attribute("data-bs-theme", other)
    page.reload()
    expect(html).to_have_attribute("data-bs-theme", other)


def test_question_mark_shows_the_keys(page: Page) -> None:
    page.goto("/jobs/")
    page.keyboard.press("?")
    expect(page.locator("dialog#keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog#keys")).to_be_hidden()


def test_the_page_is_live_and_says_so(page: Page) -> None:
    page.goto("/products/")
    expect(page.locator("#live-word")).to_have_text("Live")
    expect(page.locator(".statusbar")).to_have_attribute("data-live", "on")


def test_a_page_that_does_not_exist_says_what_to_do(page: Page, watcher: list) -> None:  # type: ignore[type-arg]
    watcher[0].expected.add(404)
    answer = page.goto("/no/such/page/")
    assert answer is not None
    assert answer.status == 404
    expect(page.get_by_role("link", name="To the products")).to_be_visible()


def test_a_new_user_gets_a_password_that_is_shown_once(page: Page) -> None:
    page.goto("/settings/users/")
    page.fill("#id_username", "bernd")
    page.get_by_role("button", name="Create").click()
    shown = page.locator(".once").inner_text()
    assert len(shown) > 15
    page.goto("/settings/users/")
    assert shown not in page.content()
    expect(page.get_by_text("bernd").first).to_be_visible()
