"""Hundreds of files: each gets its receipt, and the page keeps telling how far it is."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from tests.functional.steps import create_product, drop

MANY = 500
LET_THROUGH = 20


@pytest.fixture(scope="module")
def small_pictures(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("small")
    draw = np.random.default_rng(1)
    names = []
    for n in range(MANY):
        noise = draw.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        file = folder / f"part-{n:04}.png"
        Image.fromarray(noise).save(file)
        names.append(str(file))
    return names


def receipts(page: Page) -> list[dict[str, str]]:
    """What the server says became of every file, however many pages of it there are."""
    base, after, found = str(page.get_attribute("#uploader", "data-receipts")), "", []
    while True:
        answer = page.request.get(f"{base}?after={after}")
        body = json.loads(answer.text())
        found += body["receipts"]
        after = body["after"]
        if not body["more"]:
            return found


def test_five_hundred_files_none_lost(page: Page, small_pictures: list[str]) -> None:
    create_product(page, "MANY-1", "Five hundred")
    page.get_by_role("link", name="Upload pictures").first.click()
    page.set_input_files("#pick-files", small_pictures)
    seen: set[float] = set()
    while page.get_attribute("#uploader", "data-state") != "closed":
        seen.add(page.evaluate("document.querySelector('#upload-bar').value"))
        page.wait_for_timeout(100)
    moving = {value for value in seen if 0 < value < MANY}
    assert len(moving) >= 3, f"the progress bar did not move: {sorted(seen)}"
    expect(page.locator("#upload-done-words")).to_contain_text(
        f"All {MANY} files have a receipt: {MANY} accepted"
    )
    page.reload()  # receipts come from the server
    expect(page.locator("#upload-count")).to_have_text(f"{MANY} of {MANY} files have a receipt")
    got = receipts(page)
    names = {Path(name).name for name in small_pictures}
    assert {receipt["file_name"] for receipt in got} == names
    assert len(got) == MANY
    assert {receipt["outcome"] for receipt in got} == {"accepted"}


def test_a_reload_on_the_way_says_what_was_never_sent(
    page: Page, small_pictures: list[str]
) -> None:
    create_product(page, "GONE-1", "Left on the way")
    page.get_by_role("link", name="Upload pictures").first.click()
    page.on("dialog", lambda dialog: dialog.accept())  # "leave this page?"
    sent: list[Route] = []

    def hold_the_rest(route: Route) -> None:
        if len(sent) < LET_THROUGH:  # the others wait until the page is left
            sent.append(route)
            route.continue_()

    page.route("**/uploads/*/files/", hold_the_rest)
    page.set_input_files("#pick-files", small_pictures[:200])
    page.wait_for_url("**/uploads/**")
    while int(page.get_attribute("#uploader", "data-done") or 0) < 4:
        page.wait_for_timeout(50)
    page.reload()
    page.unroute("**/uploads/*/files/")  # after it: what is held would go on its way
    absent = page.locator("#upload-absent")
    expect(absent).to_be_visible()
    expect(absent).to_contain_text("of the 200 announced files were never sent")
    page.set_input_files("#pick-files", small_pictures[:200])
    expect(page.locator("#upload-done-words")).to_contain_text("200 accepted", timeout=60_000)
    expect(absent).to_be_hidden()


def test_what_is_refused_says_why_and_the_rest_is_kept(
    page: Page, small_pictures: list[str], tmp_path: Path
) -> None:
    create_product(page, "MIX-1", "Mixed files")
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "nothing.png").touch()
    packed = tmp_path / "lot.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for name in small_pictures[:5]:
            archive.write(name, f"deep/inside/{Path(name).name}")
        archive.write(tmp_path / "text.png", "deep/bad.png")
    page.get_by_role("link", name="Upload pictures").first.click()
    drop(page, [str(tmp_path / "text.png"), str(tmp_path / "nothing.png"), str(packed)])
    expect(page.locator("#upload-done-words")).to_contain_text("5 accepted", timeout=60_000)
    page.locator("[data-filter=refused]").click()
    lines = page.locator(".receipt")
    expect(lines).to_have_count(3)
    expect(lines.filter(has_text="nothing.png")).to_contain_text("empty")
    assert {line.get_attribute("data-outcome") for line in lines.all()} == {"refused"}
    page.reload()
    expect(page.locator("#n-refused")).to_have_text("3")
