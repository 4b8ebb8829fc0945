"""A lot's report ordered on the page, made by a worker, and downloaded as what it says it is."""

import csv
import hashlib
import io
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.functional.stack import Stack

LONG_MS = 120_000


@pytest.fixture(autouse=True)
def seeded(stack: Stack) -> None:
    stack.seed()


def order(page: Page, kind: str) -> None:
    page.goto("/reports/")
    page.select_option("#order select[name=report-kind]", kind)
    page.select_option("#order select[name=report-product]", index=0)
    page.fill("#order input[name=report-lot]", lot_of(page))
    with page.expect_navigation():  # else the newest row is still the one before
        page.get_by_role("button", name="Make the report").click()


def lot_of(page: Page) -> str:
    return str(page.locator("#lots option").first.get_attribute("value"))


def newest(page: Page, word: str) -> Path:
    """The file behind the newest row's button, once a worker has made it."""
    row = page.locator("#reports tbody tr").first
    button = row.get_by_role("link", name="Download")
    expect(button).to_have_text(word, timeout=LONG_MS)
    with page.expect_download() as coming:
        button.click()
    return Path(coming.value.path())


def test_a_lot_report_is_ordered_made_and_downloaded(page: Page) -> None:
    order(page, "lot_csv")
    file = newest(page, "CSV")
    content = file.read_bytes()
    shown = page.locator("#reports tbody tr").first.locator(".mono").get_attribute("title") or ""
    assert hashlib.sha256(content).hexdigest() in shown
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))
    lines = [row for row in rows if len(row) > 5]
    assert len(lines) > 2, rows[:5]

    order(page, "lot_pdf")
    if page.get_by_text("Pango").count():
        pytest.skip("no Pango on this machine, and the page says so")
    assert newest(page, "PDF").read_bytes().startswith(b"%PDF-")


def test_an_order_without_a_lot_says_what_is_missing(page: Page) -> None:
    page.goto("/reports/")
    page.select_option("#order select[name=report-kind]", "lot_csv")
    page.select_option("#order select[name=report-product]", index=0)
    page.fill("#order input[name=report-lot]", "no such lot")
    page.get_by_role("button", name="Make the report").click()
    expect(page.locator("#order")).to_contain_text("no such lot")
