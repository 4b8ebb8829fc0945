"""Every page of the product, with something on it: no serious finding of axe, in either theme
and language, at both widths; and nothing wider than a phone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.functional.screenshots import first_sign_in
from tests.functional.stack import Stack
from tests.functional.watcher import Watcher

AXE = (Path(__file__).parents[1] / "vendor" / "axe-core-4.14.1" / "axe.min.js").read_text()
RUN = "axe.run(document, {resultTypes: ['violations']}).then((found) => found.violations)"
SERIOUS = ("serious", "critical")
UNITS = 10
LOOKS = {
    "light": {"color_scheme": "light", "viewport": {"width": 1440, "height": 900}},
    "dark on a phone": {"color_scheme": "dark", "viewport": {"width": 390, "height": 844}},
}
SIGNED_OUT = {"sign in": "/accounts/login/"}


class House:
    """The product with something of everything, and who is signed in."""

    def __init__(self, stack: Stack, browser: Browser) -> None:
        one_time = stack.one_time_password("anna")
        self.stack, self.browser = stack, browser
        self.state = first_sign_in(browser, stack.url, one_time)  # before it: else no page opens
        self.addresses = stack.seed(UNITS)


@pytest.fixture(scope="module")
def house(browser: Browser) -> Iterator[House]:
    with Stack(works=False) as stack:
        yield House(stack, browser)


def findings(page: Page) -> list[str]:
    page.evaluate(AXE)
    found: list[dict[str, Any]] = page.evaluate(RUN)
    return [
        f"{one['id']}: {one['help']} ({node['target'][0]}: {node['html'][:160]})"
        for one in found
        if one["impact"] in SERIOUS
        for node in one["nodes"][:3]
    ]


@pytest.mark.parametrize("look", LOOKS)
def test_no_page_has_a_serious_finding(house: House, look: str) -> None:
    context = house.browser.new_context(
        base_url=house.stack.url,
        storage_state=house.state,  # type: ignore[arg-type]
        **LOOKS[look],  # type: ignore[arg-type]
    )
    watcher = Watcher(context, house.stack.url)
    page = context.new_page()
    wrong: dict[str, list[str]] = {}
    assert len(house.addresses) > 20
    for name, address in house.addresses.items():
        page.goto(address, wait_until="networkidle")  # charts and the zoom viewer are drawn
        found = findings(page)
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if wide > 1:
            found.append(f"{wide} px wider than the window")
        if found:
            wrong[name] = found
    context.close()
    watcher.check()
    assert wrong == {}, "\n".join(f"{k}: {line}" for k, lines in wrong.items() for line in lines)


def test_the_pages_were_found(house: House) -> None:
    assert {"home", "defects", "inspection", "model", "run", "reports"} <= set(house.addresses)
    assert len(house.addresses) > 20


def test_the_door_has_no_serious_finding(house: House) -> None:
    context = house.browser.new_context(base_url=house.stack.url)
    page = context.new_page()
    for address in SIGNED_OUT.values():
        page.goto(address)
        assert findings(page) == []
    context.close()


def test_chinese_pages_bring_their_font_and_have_no_serious_finding(house: House) -> None:
    context = house.browser.new_context(base_url=house.stack.url, locale="zh-TW")
    watcher = Watcher(context, house.stack.url)
    page = context.new_page()
    fonts: list[str] = []
    page.on("response", lambda answer: fonts.append(answer.url) if "woff2" in answer.url else None)
    page.goto("/accounts/login/", wait_until="networkidle")
    assert page.locator("html").get_attribute("lang") == "zh-hant"
    assert any("noto-sans-tc" in url for url in fonts)
    assert findings(page) == []
    context.close()
    watcher.check()


def test_english_pages_load_no_font(house: House) -> None:
    context = house.browser.new_context(
        base_url=house.stack.url,
        storage_state=house.state,  # type: ignore[arg-type]
    )
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto("/reports/", wait_until="networkidle")
    assert not [url for url in asked if "woff2" in url or "zh-hant" in url]
    context.close()
