"""Tiles of large pictures for programs: the same as the pages show, to who may see the picture."""

import io
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from PIL import Image as Pillow

from inspection.models import Image
from inspection.services import disk, images, pictures
from tests.factories.api_key import Program, key_of
from tests.factories.dataset import DatasetFactory, DatasetImageFactory
from tests.factories.files import encoded
from tests.factories.membership import MembershipFactory
from tests.factories.product import ProductFactory
from tests.factories.user import UserFactory
from tests.unit.web.conftest import signed_in

pytestmark = pytest.mark.django_db
AT = "/api/v1/images"


@pytest.fixture(autouse=True)
def _folder(settings: Any, tmp_path: Path) -> None:
    settings.VAR_DIR = tmp_path


@pytest.fixture
def image() -> Image:
    """A picture of a product's dataset, 4,100 × 1,200 px."""
    content = encoded(Pillow.new("RGB", (4100, 1200), (90, 120, 60)))
    image, _ = images.store_image(None, "large.png", io.BytesIO(content))
    DatasetImageFactory(dataset=DatasetFactory(), image=image)
    return image


@pytest.fixture
def viewer() -> Program:
    return Program(key_of(UserFactory(role="viewer"), ["images:read"]))


def test_it_is_said_how_a_large_picture_is_cut(image: Image, viewer: Program) -> None:
    told = viewer.get(f"{AT}/{image.pk}/tiles").json()
    assert (told["size"], told["overlap"]) == (512, 1)
    assert told["levels"] == [
        {"level": 0, "width": 4100, "height": 1200, "columns": 9, "rows": 3},
        {"level": 1, "width": 2050, "height": 600, "columns": 5, "rows": 2},
    ]
    for level in told["levels"]:
        for x in range(level["columns"]):
            for y in range(level["rows"]):
                address = told["address"].format(level=level["level"], x=x, y=y)
                answer = viewer.get(address.partition("http://testserver")[2])
                assert answer.status_code == 200, address
                with Pillow.open(io.BytesIO(answer.content)) as tile:
                    assert max(tile.size) <= 514


def test_a_tile_is_that_of_the_page_and_kept_for_good(image: Image, viewer: Program) -> None:
    answer = viewer.get(f"{AT}/{image.pk}/tiles/1/2/1", headers={"Accept": "image/webp"})
    page = signed_in(UserFactory(role="viewer")).get(reverse("tile", args=[image.pk, 1, 2, 1]))
    assert answer.content == page.content
    assert answer["Content-Type"] == "image/jpeg"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Cache-Control"] == "private, max-age=31536000, immutable"
    tag = {"If-None-Match": answer["ETag"]}
    again = viewer.get(f"{AT}/{image.pk}/tiles/1/2/1", headers=tag)
    assert (again.status_code, again.content) == (304, b"")
    assert viewer.get(f"{AT}/{image.pk}/tiles/0/0/0", headers=tag).status_code == 200


def test_the_right_to_fetch_is_asked_before_the_tag(image: Image, viewer: Program) -> None:
    tag = {"If-None-Match": viewer.get(f"{AT}/{image.pk}/tiles/0/0/0")["ETag"]}
    elsewhere = MembershipFactory(product=ProductFactory(), role="administrator").user
    for stranger in (UserFactory(), elsewhere):
        theirs = Program(key_of(stranger))
        assert theirs.get(f"{AT}/{image.pk}/tiles").status_code == 404
        assert theirs.get(f"{AT}/{image.pk}/tiles/0/0/0", headers=tag).status_code == 404
    other = Program(key_of(UserFactory(role="viewer"), ["inspections:read"]))
    assert other.get(f"{AT}/{image.pk}/tiles/0/0/0", headers=tag).status_code == 403
    assert Client().get(f"{AT}/{image.pk}/tiles/0/0/0", headers=tag).status_code == 401
    pictures.own(elsewhere, image)  # they sent the same bytes
    assert Program(key_of(elsewhere)).get(f"{AT}/{image.pk}/tiles/0/0/0").status_code == 200


@pytest.mark.parametrize("at", ["2/0/0", "0/9/0", "0/0/3", "1/5/0", f"{10**30}/0/0", "-1/0/0"])
def test_outside_is_404(image: Image, viewer: Program, at: str) -> None:
    answer = viewer.get(f"{AT}/{image.pk}/tiles/{at}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_what_the_preview_shows_whole_has_no_tiles(viewer: Program) -> None:
    item = DatasetImageFactory(dataset=DatasetFactory())
    assert viewer.get(f"{AT}/{item.image_id}/tiles").json()["levels"] == []
    assert viewer.get(f"{AT}/{item.image_id}/tiles/0/0/0").status_code == 404


def test_a_full_disk_is_said(image: Image, viewer: Program, settings: Any) -> None:
    settings.MIN_FREE_GB = disk.free_gb() + 1000
    answer = viewer.get(f"{AT}/{image.pk}/tiles/0/0/0")
    assert (answer.status_code, answer.json()["code"]) == (507, "disk_full")
