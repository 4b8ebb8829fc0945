"""A large zip goes in pieces: a broken connection and a left page cost nothing that was sent."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, Request, Route, expect

from tests.factories.files import zipped
from tests.functional.steps import create_product
from tests.functional.watcher import Watcher

PIECE = 5_000_000
PICTURES = 4  # of noise, 3 MB each


@pytest.fixture(scope="module")
def large_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    draw = np.random.default_rng(2)
    files = {}
    for n in range(PICTURES):
        picture = folder / f"{n}.png"
        Image.fromarray(draw.integers(0, 256, (900, 1150, 3), np.uint8)).save(picture)
        files[f"part-{n}.png"] = picture.read_bytes()
    (folder / "lot.zip").write_bytes(zipped(files))
    return folder / "lot.zip"


def sent_pieces(page: Page) -> list[tuple[str, int]]:
    """Every PATCH of this page from now on: its address, and the offset that it begins at."""
    seen: list[tuple[str, int]] = []

    def note(request: Request) -> None:
        if request.method == "PATCH":
            seen.append((request.url, int(request.headers["upload-offset"])))

    page.on("request", note)
    return seen


def test_a_cut_connection_goes_on(page: Page, large_zip: Path) -> None:
    assert large_zip.stat().st_size > 2 * PIECE
    create_product(page, "LARGE-1", "A large zip")
    page.get_by_role("link", name="Upload pictures").first.click()
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url))
    seen, cut = sent_pieces(page), []

    def cut_once(route: Route) -> None:
        if route.request.method == "PATCH" and len(seen) == 2 and not cut:
            cut.append(route.request.url)
            route.abort("connectionreset")
        else:
            route.continue_()

    page.route("**/resumable/**", cut_once)
    page.set_input_files("#pick-files", str(large_zip))
    expect(page.locator("#upload-done-words")).to_contain_text("4 accepted", timeout=90_000)
    assert cut
    assert [offset for _, offset in seen] == [0, PIECE, PIECE, 2 * PIECE]
    assert any("/js/pieces" in url for url in loaded)  # only where it is used


def test_a_left_page_goes_on(page: Page, large_zip: Path, watcher: list[Watcher]) -> None:
    create_product(page, "LARGE-2", "A large zip, and a page that was left")
    page.get_by_role("link", name="Upload pictures").first.click()
    page.on("dialog", lambda dialog: dialog.accept())  # "leave this page?"
    seen = sent_pieces(page)
    held: list[Route] = []

    def hold_the_second(route: Route) -> None:
        if route.request.method == "PATCH" and len(seen) == 2:
            held.append(route)  # until the page is left
        else:
            route.continue_()

    page.route("**/resumable/**", hold_the_second)
    page.set_input_files("#pick-files", str(large_zip))
    page.wait_for_url("**/uploads/**")
    while not held:
        page.wait_for_timeout(50)
    page.reload()
    page.unroute("**/resumable/**")  # after it: what is held would go on its way
    expect(page.locator("#upload-absent")).to_be_visible()
    seen.clear()
    page.set_input_files("#pick-files", str(large_zip))
    expect(page.locator("#upload-done-words")).to_contain_text("4 accepted", timeout=90_000)
    assert [offset for _, offset in seen] == [PIECE, 2 * PIECE]
    address = str(page.get_attribute("#uploader", "data-receipts"))
    receipts = json.loads(page.request.get(address).text())["receipts"]
    assert sorted(one["file_name"] for one in receipts) == [f"part-{n}.png" for n in range(4)]
    # The page forgets its place when it is told that the zip is done: a moment after the receipts.
    page.wait_for_function(
        "() => !Object.keys(localStorage).some((key) => key.startsWith('kintsugi:'))"
    )
