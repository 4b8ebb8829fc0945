"""What the product is for, as a person does it: from good pictures to a heatmap."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from ml.data.assemblies import generate
from tests.functional.stack import Stack
from tests.functional.steps import LONG_MS, create_product, drop, files

LEARN_MS = 240_000


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 good boards to learn from; 4 good ones and one of each defect to judge."""
    folder = tmp_path_factory.mktemp("demo") / "board"
    return generate(folder, seed=3, train=60, good=4, per_kind=1)


def picture_of(page: Page) -> int:
    """How many different colours the zoom viewer's canvas shows."""
    return page.evaluate(
        """() => {
          const canvas = document.querySelector('#viewer canvas');
          const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
          const seen = new Set();
          for (let i = 0; i < data.length; i += 4 * 31)
            seen.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
          return seen.size;
        }"""
    )


def pixels(page: Page) -> list[int]:
    return page.evaluate(
        """() => {
          const canvas = document.querySelector('#viewer canvas');
          const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
          return Array.from(data.filter((_, i) => i % 97 === 0));
        }"""
    )


def at_rest(page: Page) -> list[int]:
    """What the viewer shows when it stands still: it draws with an animation."""
    for _ in range(80):
        before = pixels(page)
        page.wait_for_timeout(250)
        if picture_of(page) > 100 and pixels(page) == before:
            return before
    raise AssertionError("the viewer shows no picture that stands still")


def changes_from(page: Page, before: list[int]) -> bool:
    """Whether the viewer shows something else within a while; it draws with an animation."""
    for _ in range(80):
        page.wait_for_timeout(250)
        if pixels(page) != before:
            return True
    return False


def test_from_good_pictures_to_a_heatmap(page: Page, stack: Stack, pictures: Path) -> None:
    create_product(page, "AX-7", "Sensor board")
    expect(page.get_by_text("60 are enough to begin")).to_be_visible()

    page.get_by_role("link", name="Upload pictures").first.click()
    good = files(pictures / "train" / "good")
    drop(page, good)
    expect(page.locator("#upload-done-words")).to_contain_text(f"{len(good)} accepted")
    page.locator("#upload-done a").click()
    expect(page.locator("#tiles .tile img").first).to_be_visible()
    expect(page.get_by_text("enough to train a first model")).to_be_visible()

    page.get_by_role("link", name="Train a model").click()
    page.locator(".choice", has_text="Tiny").click()
    page.fill("#id_budget_minutes", "0.3")
    expect(page.locator("#expected-time")).not_to_have_text("11 min")
    expect(page.locator("[data-notice=stand-in]")).to_be_visible()
    page.get_by_role("button", name="Start training").click()
    page.wait_for_url("**/runs/**")

    # It stops once to ask; the page hears of it without a reload by hand.
    expect(page.locator("#run")).to_have_attribute("data-state", "paused", timeout=LEARN_MS)
    expect(page.locator("#vetting")).to_have_attribute("data-ready", "yes")
    expect(page.locator("[data-vet]").first).to_be_visible()
    with page.expect_response("**/vetting/**"):  # the mark is drawn before the answer comes
        page.keyboard.press("k")
    expect(page.locator("[data-vet]").first).to_have_attribute("data-decision", "kept")
    page.reload()
    expect(page.locator("[data-vet]").first).to_have_attribute("data-decision", "kept")
    page.get_by_role("button", name="Continue the run").click()
    expect(page.locator("#run")).to_have_attribute("data-state", "done", timeout=LEARN_MS)
    expect(page.locator("#curves canvas").first).to_be_visible()
    expect(page.locator("#sample")).to_be_visible()
    page.wait_for_function("() => document.querySelector('#sample').naturalWidth > 0")

    # A first try judges no production: the next page offers a trial with it.
    expect(page.get_by_text("ready for trials")).to_be_visible()
    page.get_by_role("link", name="Try it on a batch").click()
    expect(page.locator("#id_purpose")).to_have_value("trial")
    page.fill("#id_name", "First batch")
    page.get_by_role("button", name=re.compile("Next")).click()
    page.wait_for_url(re.compile(r"/batches/[0-9a-f-]{36}/"))  # the form is at …/batches/new/
    address = page.url
    to_judge = files(pictures / "test")
    page.set_input_files("#pick-folder", str(pictures / "test"))  # good/ and one folder a kind
    page.get_by_role("button", name="Yes, they name the kind").click()
    everything = f"All {len(to_judge)} parts have a verdict"
    expect(page.locator("#batch-head")).to_contain_text(everything, timeout=LONG_MS)
    judged = page.locator(".verdict-tile:not(.waiting)")
    expect(judged).to_have_count(len(to_judge))  # live, not by a reload
    expect(page.locator("[data-notice=stand-in]")).to_be_visible()
    expect(page.locator("[data-notice=first-try]")).to_be_visible()
    expect(page.locator("#by-kind tr[data-kind=good]")).to_be_visible()
    counts = [int(n) for n in page.locator("[data-count] strong").all_inner_texts()]
    assert sum(counts) == len(to_judge)
    page.reload()
    expect(page.locator(".verdict-tile:not(.waiting)")).to_have_count(len(to_judge))

    page.goto(f"{address}?order=worst")
    page.locator(".verdict-tile").first.click()
    page.wait_for_url("**/inspections/**")
    expect(page.locator("#viewer")).to_have_attribute("data-ready", "yes")
    expect(page.locator("[data-notice=stand-in]")).to_be_visible()
    expect(page.locator("[data-notice=first-try]")).to_be_visible()
    expect(page.locator(".gauge .needle")).to_be_attached()
    page.wait_for_function("() => document.querySelector('#viewer canvas').width > 100")
    with_heatmap = at_rest(page)
    page.keyboard.press("3")
    assert changes_from(page, with_heatmap), "the heatmap is not visible"
    page.keyboard.press("3")
    page.keyboard.press("2")
    assert changes_from(page, with_heatmap), "the restored picture is not visible"
    first = page.url
    page.keyboard.press("j")
    page.wait_for_url(lambda url: url != first and "/inspections/" in url)


def test_every_page_fits_a_phone_and_a_desk(page: Page) -> None:
    """After the walk there is one of everything; no page scrolls sideways at 390 px."""
    page.goto("/products/")
    with page.expect_navigation():
        page.locator(".product-card").first.click()
    product = page.url
    runs = page.locator("a[href^='/runs/']").first.get_attribute("href")
    model = page.locator("a[href^='/models/']:not([href='/models/'])").first.get_attribute("href")
    batch = page.locator("a[href^='/batches/']").first.get_attribute("href")
    page.goto(str(batch))
    inspection = page.locator(".verdict-tile").first.get_attribute("href")
    addresses = [product, f"{product}upload/", f"{product}train/", f"{product}batches/new/"]
    addresses += [runs, model, batch, inspection, "/products/", "/products/new/", "/jobs/"]
    addresses += [
        "/models/",
        "/settings/users/",
        "/settings/keys/",
        "/settings/weights/",
        "/settings/about/",
    ]
    for width, height in ((390, 844), (1440, 900)):
        page.set_viewport_size({"width": width, "height": height})
        for address in addresses:
            page.goto(str(address))
            page.wait_for_load_state("networkidle")
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{address} is {wide} px wide at {width} px"
