"""The real product and a real browser. Every page is watched (watcher.py)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.functional import chromium
from tests.functional.stack import Stack
from tests.functional.watcher import Watcher

PASSWORD = "mended with gold, 1600"
SLOW_MS = 20_000
expect.set_options(timeout=SLOW_MS)


@pytest.hookimpl(trylast=True)  # pytest itself moves tests that share a browser together
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Last of all: Playwright leaves its event loop running, and a thread holds only one."""
    for item in items:
        if _is_functional(item):
            item.add_marker(pytest.mark.functional)
            item.add_marker(pytest.mark.timeout(600))
    items.sort(key=_is_functional)


def _is_functional(item: pytest.Item) -> bool:
    return Path(__file__).parent in item.path.parents


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    found = chromium.find()
    if found is None and chromium.is_required():
        pytest.fail("no Chromium on this machine, and KINTSUGI_REQUIRE_BROWSER is set")
    if found is None:
        pytest.skip("no Chromium on this machine: install the package `chromium`")
    return {
        **browser_type_launch_args,
        "executable_path": found,
        "args": chromium.ARGUMENTS,
    }


@pytest.fixture(scope="session")
def stack(browser: Browser) -> Iterator[Stack]:
    """Started once, after the browser, so that nothing starts where there is none."""
    with Stack() as running:
        yield running


@pytest.fixture(scope="session")
def quiet(browser: Browser) -> Iterator[Stack]:
    """As `stack`, without anybody who does the work that is queued: the walk says what a worker
    would find (walk_rows.py)."""
    with Stack(works=False) as running:
        yield running


@pytest.fixture(scope="session")
def administrator(stack: Stack, browser: Browser) -> dict[str, Any]:
    """Signs in with the one-time password, chooses an own one; returns the session's cookies."""
    password = stack.one_time_password("anna")
    context = browser.new_context(base_url=stack.url)
    watcher = Watcher(context, stack.url)
    page = context.new_page()
    page.goto("/")
    page.fill("#id_login", "anna")
    page.fill("#id_password", password)
    page.click(".btn-primary[type=submit]")
    page.wait_for_url("**/accounts/password/change/")
    page.fill("#id_oldpassword", password)
    page.fill("#id_password1", PASSWORD)
    page.fill("#id_password2", PASSWORD)
    with page.expect_navigation():
        page.click(".btn-primary[type=submit]")
    page.goto("/products/")
    assert page.url.endswith("/products/"), page.url
    watcher.check()
    state = context.storage_state()
    context.close()
    return dict(state)


@pytest.fixture
def watcher() -> list[Watcher]:
    return []


@pytest.fixture
def page(
    stack: Stack,
    browser: Browser,
    administrator: dict[str, Any],
    watcher: list[Watcher],
) -> Iterator[Page]:
    """Signed in, 1440 × 900."""
    context = browser.new_context(
        base_url=stack.url,
        storage_state=administrator,  # type: ignore[arg-type]
        viewport={"width": 1440, "height": 900},
    )
    context.set_default_timeout(SLOW_MS)
    watcher.append(Watcher(context, stack.url))
    opened = context.new_page()
    yield opened
    context.close()
    watcher[0].check()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.when == "call":
        running = item.funcargs.get("stack")  # type: ignore[attr-defined]
        if report.failed and running:
            report.sections.append(("the product's logs", running.logs()))
