"""An inspector comes close to a large picture, and sees the pixels that the camera saw."""

import io
import json
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.functional.stack import Stack

WIDTH, HEIGHT, GRID = 5000, 3000, 100
LINE = (2500, 1500)  # a crossing near the middle
SEED = """
import django; django.setup()
import io, json
import numpy as np
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from PIL import Image
from inspection.services import images, tallies
from tests.factories.batch import BatchFactory
from tests.factories.files import encoded
from tests.factories.inspection import ImageResultFactory, InspectionFactory, InspectionImageFactory
from tests.factories.unit import UnitFactory
pixels = np.full((3000, 5000, 3), 225, np.uint8)
pixels[::100] = pixels[:, ::100] = 0
batch = BatchFactory(name="Large")
product = batch.viewpoint.product
product.code = "ZOOM-1"
product.save()
content = encoded(Image.fromarray(pixels), compress_level=1)
image, _ = images.store_image(None, "large.png", io.BytesIO(content))
restored = encoded(Image.new("RGB", (512, 307), (40, 110, 60)), "WEBP")
heatmap = encoded(Image.new("RGBA", (512, 307), (0, 0, 0, 0)))
part = InspectionFactory(batch=batch, is_record=True, unit=UnitFactory(product=product))
result = ImageResultFactory(
    picture=InspectionImageFactory(inspection=part, image=image, file_name="large.png"),
    view_key=default_storage.save("results/zoom/view.webp", ContentFile(restored)),
    restored_key=default_storage.save("results/zoom/restored.webp", ContentFile(restored)),
    heatmap_key=default_storage.save("results/zoom/heatmap.png", ContentFile(heatmap)),
    regions=[{"x": 0.5, "y": 0.5, "width": 0.02, "height": 0.04, "area": 0.001, "peak": 1.3}],
)
tallies.recount()
print(json.dumps({"inspection": str(part.pk), "image": str(image.pk)}))
"""


@pytest.fixture(scope="module")
def large(stack: Stack) -> dict[str, str]:
    """A part whose picture has 5,000 × 3,000 px: a grid of lines one pixel wide."""
    return dict(json.loads(stack.run(SEED).splitlines()[-1]))


# Where a pixel of the original lies on the screen.
AT = """([x, y]) => {
  const viewer = OpenSeadragon.getViewer(document.querySelector("#viewer"));
  const item = viewer.world.getItemAt(0), size = item.getContentSize();
  const place = viewer.viewport.pixelFromPoint(new OpenSeadragon.Point(x / 5000, y / 5000), true);
  const box = viewer.element.getBoundingClientRect();
  return [place.x + box.x, place.y + box.y, 5000, size.x];
}"""
BOUNDS = """() => {
  const { world } = OpenSeadragon.getViewer(document.querySelector("#viewer"));
  return [...Array(world.getItemCount()).keys()].map((i) => {
    const item = world.getItemAt(i), { x, y, width, height } = item.getBounds();
    return [item.getContentSize().x, x, y, width, height];
  });
}"""
LOADED = """() => {
  const { world } = OpenSeadragon.getViewer(document.querySelector("#viewer"));
  return world.getItemAt(1).getContentSize().x === 5000 && world.getItemAt(1).getFullyLoaded();
}"""


def darkest(page: Page, x: float, y: float, reach: int = 12) -> int:
    """On the screen, in a small square around a place."""
    shot = Image.open(io.BytesIO(page.screenshot())).convert("L")
    left, top = round(x) - reach, round(y) - reach
    extrema: Any = shot.crop((left, top, left + 2 * reach, top + 2 * reach)).getextrema()
    return int(extrema[0])


def come_close(page: Page, large: dict[str, str]) -> None:
    """To where a pixel of the original is several of the screen; the tiles are asked for."""
    viewer = page.locator("#viewer")
    expect(viewer).to_have_attribute("data-ready", "yes")
    expect(viewer).not_to_have_attribute("data-close", "yes")
    page.keyboard.press("4" if "/inspections/" in page.url else "o")  # lines alone, no outlines
    box = viewer.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    address = f"/files/images/{large['image']}/tiles/0/4/2.jpg"
    with page.expect_response(lambda one: one.url.endswith(address)) as sent:
        for _ in range(16):
            page.mouse.wheel(0, -240)
            page.wait_for_timeout(60)
    assert sent.value.status == 200
    assert sent.value.headers["content-type"] == "image/jpeg"
    expect(viewer).to_have_attribute("data-close", "yes")
    expect(page.locator("#viewer-note")).to_be_empty()
    page.wait_for_function(LOADED)
    page.wait_for_timeout(500)  # the springs come to rest


def check_sharp_and_aligned(page: Page) -> None:
    x, y, _, _ = page.evaluate(AT, LINE)
    assert darkest(page, x, y) < 60, "the line has its own black, not the preview's grey"
    step = page.evaluate(AT, (LINE[0] + 1, LINE[1]))[0] - x
    assert step > 2, "a pixel of the original is several of the screen"
    boxes = page.evaluate(BOUNDS)
    assert {2048, 5000} <= {box[0] for box in boxes}
    for _, left, top, width, height in boxes:
        assert (left, top, width) == (0, 0, 1)
        assert abs(height - HEIGHT / WIDTH) < 0.002


def test_the_page_of_an_inspection_shows_original_pixels(page: Page, large: dict[str, str]) -> None:
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url) if "/tiles/" in one.url else None)
    page.goto(f"/inspections/{large['inspection']}/")
    expect(page.locator("#viewer")).to_have_attribute("data-ready", "yes")
    page.wait_for_load_state("networkidle")
    assert not asked, "the preview is enough for the whole picture"
    come_close(page, large)
    check_sharp_and_aligned(page)

    # The box of a region lies where its pixels are.
    page.keyboard.press("4")
    region = page.locator(".osd-region").first.bounding_box()
    x, y, _, _ = page.evaluate(AT, LINE)
    assert region
    assert abs(region["x"] - x) < 2
    assert abs(region["y"] - y) < 2
    page.keyboard.press("4")

    # The restored picture takes the place of all of the original, the whole that of the tiles.
    page.keyboard.press("3")
    page.keyboard.press("2")
    page.wait_for_timeout(500)
    assert darkest(page, x, y) > 60, "no line shines through"
    page.keyboard.press("1")
    page.keyboard.press("0")
    page.wait_for_timeout(1000)
    shown = page.evaluate(
        "() => OpenSeadragon.getViewer(document.querySelector('#viewer')).world.getItemAt(1)"
        ".getOpacity()"
    )
    assert shown == 0


def test_the_station_shows_original_pixels(page: Page, large: dict[str, str]) -> None:
    page.goto("/verify/?product=ZOOM-1")
    expect(page.locator("#station")).to_have_attribute("data-part", large["inspection"])
    come_close(page, large)
    check_sharp_and_aligned(page)


def test_who_cannot_have_the_tiles_is_told_and_keeps_the_preview(
    page: Page, large: dict[str, str], watcher: list[Any]
) -> None:
    watcher[0].expected.add(507)
    page.route("**/tiles/**", lambda route: route.fulfill(status=507))
    page.goto(f"/inspections/{large['inspection']}/")
    viewer = page.locator("#viewer")
    expect(viewer).to_have_attribute("data-ready", "yes")
    for _ in range(8):
        page.get_by_role("button", name="Zoom in").click()
    expect(page.locator("#viewer-note")).to_contain_text("could not be loaded")
    expect(viewer).not_to_have_attribute("data-close", "yes")
    page.unroute("**/tiles/**")
    page.wait_for_timeout(3500)
    page.get_by_role("button", name="Zoom in").click()
    expect(viewer).to_have_attribute("data-close", "yes")
    expect(page.locator("#viewer-note")).to_be_empty()
