"""Every page of the product, with something on it: no serious finding of axe, in either theme
and language, at both widths; and nothing wider than a phone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.factories.user import PASSWORD
from tests.functional.people import signed_in
from tests.functional.screenshots import first_sign_in
from tests.functional.stack import Stack
from tests.functional.walk_rows import ask
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
OF_ONESELF = {"badge and PIN": "/accounts/pin/", "password": "/accounts/password/change/"}
# Pages that open as well with nothing on them, and what is looked for there.
SHOWN = {
    "gate": ".flip",
    "batch_flips": ".tile",
    "golden": "input[name=item]",
    "model_limit_changes": ".verdict-tile",
    "model at the gate": "#promote .v-fail",
    "settings_audit": "table tbody tr",
}


class House:
    """The product with something of everything, and who is signed in."""

    def __init__(self, stack: Stack, browser: Browser) -> None:
        one_time = stack.one_time_password("anna")
        self.stack, self.browser = stack, browser
        self.state = first_sign_in(browser, stack.url, one_time)  # before it: else no page opens
        self.addresses = {
            **stack.seed(UNITS),
            **ask(stack, "settled", code="GATE-9", seed=9000),
            **OF_ONESELF,
        }


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


def too_wide(page: Page) -> list[str]:
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return [f"{wide} px wider than the window"] if wide > 1 else []


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
        if found := [*findings(page), *too_wide(page)]:
            wrong[name] = found
    context.close()
    watcher.check()
    assert wrong == {}, "\n".join(f"{k}: {line}" for k, lines in wrong.items() for line in lines)


def test_the_pages_were_found(house: House) -> None:
    assert {"home", "defects", "inspection", "model", "run", "reports"} <= set(house.addresses)
    assert {"gate", "batch_flips", "model_limit_changes", "golden", "settings_audit"} <= set(
        house.addresses
    )
    assert len(house.addresses) > 20


def test_they_have_something_on_them(house: House) -> None:
    """An empty page has no finding either."""
    context = house.browser.new_context(
        base_url=house.stack.url,
        storage_state=house.state,  # type: ignore[arg-type]
    )
    page = context.new_page()
    for name, shown in SHOWN.items():
        page.goto(house.addresses[name])
        assert page.locator(shown).count(), name
    context.close()


@pytest.mark.parametrize("look", LOOKS)
def test_the_lock_and_what_lies_behind_it_have_no_serious_finding(house: House, look: str) -> None:
    name = f"pia-{LOOKS[look]['color_scheme']}"
    ask(house.stack, "person", name=name, role="inspector")
    wrong = {}
    locked = (423,)  # what the page asks for just when it is locked
    with signed_in(house.browser, house.stack, name, locked, **LOOKS[look]) as page:
        page.goto("/accounts/pin/")
        for field, value in (("badge", name), ("pin", "4711x"), ("pin_again", "4711x")):
            page.fill(f"#id_{field}", value)
        page.fill("#id_password", PASSWORD)
        page.get_by_role("button", name="Save").click()
        page.get_by_text("A PIN is set.").wait_for()
        page.goto("/verify/")
        page.get_by_role("button", name="Lock, change user").click()
        page.wait_for_url("**/lock/")
        wrong["locked"] = [*findings(page), *too_wide(page)]
        page.fill("#id_pin", "wrong")
        page.keyboard.press("Enter")
        page.get_by_text("Badge or PIN is wrong").wait_for()
        wrong["refused"] = [*findings(page), *too_wide(page)]
    assert not any(wrong.values()), wrong


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
