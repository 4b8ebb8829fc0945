"""A quality manager finds parts, narrows them down, and says what they are; keys only."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.functional.stack import Stack

SEED = """
import django; django.setup()
from inspection.models import ReasonCode, Station
from inspection.services import images, tallies
from tests.factories.batch import BatchFactory
from tests.factories.inspection import ImageResultFactory, InspectionFactory, InspectionImageFactory
from tests.factories.pictures import draw_part, png
from tests.factories.unit import LotFactory, UnitFactory
import io
batch = BatchFactory(name="Found again")
product = batch.viewpoint.product
product.code = "WALK-9"
product.save()
station = Station.objects.create(code="AOI-W", name="AOI after reflow", line="SMT 9")
lot = LotFactory(product=product, code="L-9001")
ReasonCode.objects.create(product=product, code="DUST", text="Dust")
for n in range(70):
    image, _ = images.store_image(None, f"{n}.png", io.BytesIO(png(draw_part(900 + n))))
    failed = n % 2 == 0
    inspection = InspectionFactory(
        batch=batch, lot=lot, station=station, score=1.5 if failed else 0.5,
        cell=27 if failed else None,
        verdict="Failed" if failed else "Passed", is_record=True,
        unit=UnitFactory(product=product, lot=lot, serial_number=f"WALK{n:04}"),
    )
    picture = InspectionImageFactory(inspection=inspection, image=image, file_name=f"{n}.png")
    ImageResultFactory(picture=picture, view_key="", restored_key="", heatmap_key="", regions=[])
tallies.recount()
"""

MANY = """
import django; django.setup()
from inspection.ids import new_id
from inspection.models import Inspection
from tests.factories.inspection import InspectionFactory
first = InspectionFactory()
product = first.viewpoint.product
product.code = "WALK-10"
product.save()
fields = {f.attname: getattr(first, f.attname) for f in Inspection._meta.concrete_fields}
more = [Inspection(**{**fields, "id": new_id()}) for _ in range(2999)]
Inspection.objects.bulk_create(more, batch_size=100)
"""


@pytest.fixture(scope="module")
def parts(stack: Stack) -> None:
    """Seventy parts of a lot, every second one failed."""
    stack.run(SEED)


def asked(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def go_on(page: Page) -> None:
    """To the next part, and not twice from the same one."""
    here = page.url
    page.keyboard.press("j")
    page.wait_for_url(lambda url: url != here)


def test_parts_are_found_narrowed_down_and_judged(page: Page, parts: None) -> None:
    page.goto("/defects/?product=WALK-9")
    expect(page.locator("#found-count")).to_contain_text("70 inspections")
    expect(page.locator(".verdict-tile")).to_have_count(60)
    page.keyboard.press("]")
    expect(page.locator(".verdict-tile")).to_have_count(10)
    page.go_back()
    expect(page.locator(".verdict-tile")).to_have_count(60)

    # Filters: a click, a choice, typed text; all in the address, kept over reload and back.
    with page.expect_navigation():  # a place is heard from then on
        page.locator(".verdict-filters").get_by_role("link", name="Fail").click()
    expect(page.locator("#found-count")).to_contain_text("35 inspections")
    page.locator(".place-grid label").nth(27).click()
    page.wait_for_url(re.compile("cell=27"))
    page.keyboard.press("/")
    page.keyboard.type("WALK000")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("serial=WALK000"))
    expect(page.locator("#found-count")).to_contain_text("5 inspections")
    assert asked(page).keys() == {"product", "verdict", "cell", "serial"}
    page.reload()
    expect(page.locator("#found-count")).to_contain_text("5 inspections")
    expect(page.locator("#f-serial")).to_have_value("WALK000")

    # Two are picked by keys and called false.
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.locator("#bulk-said")).to_have_text("2 picked")
    with page.expect_navigation():  # keys are heard from then on
        page.keyboard.press("r")
    expect(page.locator("#toasts")).to_contain_text("2 parts are now “False call”.")
    assert asked(page)["serial"] == ["WALK000"], "the filter is still there"
    expect(page.locator(".cap-review.v-pass")).to_have_count(2)

    # One is opened, confirmed and taken back; then the eyes are where they were.
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/inspections/"))
    expect(page.locator(".crumbs")).to_contain_text("L-9001")
    go_on(page)
    go_on(page)
    expect(page.locator("#judge")).to_contain_text("Nobody has judged this part yet.")
    page.wait_for_load_state()  # keys are heard from then on
    page.keyboard.press("c")
    expect(page.locator("#judge")).to_contain_text("Undo the last review")
    page.wait_for_load_state()
    page.keyboard.press("u")
    expect(page.locator("#judge")).to_contain_text("taken back")
    page.wait_for_load_state()
    opened = urlsplit(page.url).path.split("/")[2]
    page.keyboard.press("b")
    expect(page.locator(f"#i-{opened}")).to_be_focused()


def test_the_filter_is_downloaded(page: Page, parts: None) -> None:
    page.goto("/defects/?product=WALK-9&verdict=pass&view=table")
    expect(page.locator(".defects-table tbody tr")).to_have_count(35)
    with page.expect_download() as waiting:
        page.get_by_role("link", name="CSV").click()
    lines = waiting.value.path().read_text("utf-8-sig").splitlines()
    assert len(lines) == 36
    assert all(",Passed," in line for line in lines[1:])


def test_a_long_file_is_in_the_status_bar_until_it_is_whole(page: Page, stack: Stack) -> None:
    stack.run(MANY)
    page.goto("/defects/?product=WALK-10&view=table")
    expect(page.locator("#live-word")).to_have_text("Live")
    page.evaluate(
        """() => {
          window.said = [];
          const bar = document.querySelector("#status-jobs");
          new MutationObserver(() => said.push(bar.textContent)).observe(bar, {childList: true});
        }"""
    )
    with page.expect_download() as waiting:
        page.get_by_role("link", name="CSV").click()
    assert len(waiting.value.path().read_text("utf-8-sig").splitlines()) == 3001
    expect(page.locator("#toasts")).to_contain_text("The CSV is whole: 3,000 rows.")
    told = page.evaluate("said")
    assert any("CSV of inspections" in one and "1,000 of 3,000 rows" in one for one in told), told
    expect(page.locator("#status-jobs")).to_contain_text("Nothing is running.")


def test_an_impossible_filter_says_what_would_do(page: Page, parts: None) -> None:
    page.goto("/defects/?score_min=high")
    expect(page.get_by_role("alert")).to_contain_text("A score is a number like 1.25.")
    page.get_by_role("link", name="Show all inspections").click()
    expect(page.locator(".verdict-tile").first).to_be_visible()
