"""Tiles of large pictures through their addresses, and what the pages tell the viewer of them."""

import io
import json
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from PIL import Image as Pillow

from inspection.models import Image, InspectionImage, Role
from inspection.services import disk, images, tallies
from tests.factories.files import encoded
from tests.factories.inspection import (
    ImageResultFactory,
    InspectionFactory,
    InspectionImageFactory,
)
from tests.factories.membership import MembershipFactory
from tests.unit.web.conftest import World, signed_in


@pytest.fixture(autouse=True)
def _folder(settings: Any, tmp_path: Path) -> None:
    settings.VAR_DIR = tmp_path


@pytest.fixture
def image(world: World) -> Image:
    """A picture of an inspection of the world's product, 4,100 × 1,200 px."""
    content = encoded(Pillow.new("RGB", (4100, 1200), (90, 120, 60)))
    image, _ = images.store_image(None, "large.png", io.BytesIO(content))
    part = InspectionFactory(batch=world.batch, is_record=True)
    ImageResultFactory(picture=InspectionImageFactory(inspection=part, image=image))
    tallies.recount()
    return image


def address(image: Image, level: int = 0, x: int = 0, y: int = 0) -> str:
    return reverse("tile", args=[image.pk, level, x, y])


def test_a_tile_is_sent_to_members_only_and_kept_by_their_browser(
    image: Image, viewer: Client, stranger: Client, nobody: Client
) -> None:
    answer = viewer.get(address(image, 1, 2, 1))
    assert answer.status_code == 200
    assert answer["Content-Type"] == "image/jpeg"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Disposition"] == "inline"
    assert answer["Cache-Control"] == "private, max-age=31536000, immutable"
    with Pillow.open(io.BytesIO(answer.content)) as tile:
        assert tile.size == (514, 600 - 511)
    tag = {"If-None-Match": answer["ETag"]}
    again = viewer.get(address(image, 1, 2, 1), headers=tag)
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", answer["ETag"])
    assert viewer.get(address(image), headers=tag).status_code == 200
    for other in (stranger, nobody):
        assert other.get(address(image)).status_code == 404
        assert other.get(address(image, 1, 2, 1), headers=tag).status_code == 404
    assert Client().get(address(image)).status_code == 302
    assert viewer.post(address(image)).status_code == 405


def test_outside_is_404(image: Image, world: World, viewer: Client) -> None:
    for at in ((2, 0, 0), (0, 9, 0), (0, 0, 3), (1, 5, 0), (10**30, 0, 0)):
        assert viewer.get(address(image, *at)).status_code == 404, at
    small = world.item.image
    assert viewer.get(address(small)).status_code == 404
    assert viewer.get(address(image).replace("/0/0/0.", "/-1/0/0.")).status_code == 404


def test_a_full_disk_refuses_and_the_preview_stays(
    image: Image, viewer: Client, settings: Any
) -> None:
    settings.MIN_FREE_GB = disk.free_gb() + 1000
    assert viewer.get(address(image)).status_code == 507
    assert viewer.get(reverse("preview", args=[image.pk])).status_code == 200


def attribute(page: str, name: str) -> Any:
    return json.loads(unescape(page.split(f'{name}="')[1].split('"')[0]))


def test_both_pages_tell_the_viewer_where_the_tiles_are(image: Image, world: World) -> None:
    user = MembershipFactory(product=world.product, role=Role.INSPECTOR).user
    client = signed_in(user)
    wanted = {
        "address": f"/files/images/{image.pk}/tiles/",
        "levels": 2,
        "size": 512,
        "overlap": 1,
        "preview": 2048,
    }
    part = InspectionImage.objects.get(image=image).inspection_id
    page = client.get(reverse("inspection", args=[part])).content.decode()
    assert attribute(page, "data-tiles") == wanted
    assert 'id="viewer-note"' in page
    page = client.get(reverse("verify")).content.decode()
    start = page.index(f'id="p-{part}"')
    assert attribute(page[start:], "data-pictures")[0]["tiles"] == wanted


def test_a_small_picture_has_none(world: World, viewer: Client) -> None:
    page = viewer.get(reverse("inspection", args=[world.inspection.pk])).content.decode()
    assert attribute(page, "data-tiles") is None
