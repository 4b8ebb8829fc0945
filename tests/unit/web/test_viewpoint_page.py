"""The settings of a viewpoint, as a person without a mouse sends them."""

import pytest
from django.test import Client
from django.urls import reverse

from inspection.models import ModelVersion
from tests.unit.web.conftest import World


def send_zones(client: Client, world: World, *rows: tuple[str, str, str, str]) -> str:
    sides = ("x", "y", "width", "height")
    sent: dict[str, object] = {side: [row[i] for row in rows] for i, side in enumerate(sides)}
    address = reverse("viewpoint_zones", args=[world.product.pk])
    answer = client.post(address, {**sent, "viewpoint": "main"}, follow=True)
    world.dataset.viewpoint.refresh_from_db()
    return answer.content.decode()


def test_zones_are_typed_in_per_cent_and_an_empty_row_is_none(
    world: World, engineer: Client
) -> None:
    page = send_zones(engineer, world, ("10", "20,5", "30", "40"), ("", " ", "", ""))
    assert world.dataset.viewpoint.repair_zones == [
        {"x": 0.1, "y": 0.205, "width": 0.3, "height": 0.4}
    ]
    assert '<rect x="10.0" y="20.5" width="30.0" height="40.0"/>' in page
    send_zones(engineer, world)
    assert world.dataset.viewpoint.repair_zones == []


@pytest.mark.parametrize("row", [("10", "", "30", "40"), ("10", "a", "30", "40")])
def test_a_zone_with_a_side_missing_is_refused_by_its_number(
    world: World, engineer: Client, row: tuple[str, str, str, str]
) -> None:
    page = send_zones(engineer, world, ("1", "1", "9", "9"), row)
    assert "Zone 2: fill in all four sides" in page
    assert world.dataset.viewpoint.repair_zones == []


def test_symmetries_are_ticked(world: World, engineer: Client) -> None:
    address = reverse("viewpoint_symmetries", args=[world.product.pk])
    engineer.post(address, {"viewpoint": "main", "symmetry": ["shift", "quarter_turns"]})
    world.dataset.viewpoint.refresh_from_db()
    assert world.dataset.viewpoint.symmetries == ["quarter_turns", "shift"]
    for name, address in (
        ("train", reverse("train", args=[world.product.pk])),
        ("viewpoint", reverse("viewpoint", args=[world.product.pk])),
    ):
        assert "Quarter turns" in engineer.get(address).content.decode(), name


def test_a_proposal_is_accepted_with_one_button(
    world: World, engineer: Client, viewer: Client
) -> None:
    newest = ModelVersion.objects.filter(viewpoint=world.dataset.viewpoint).latest("number")
    newest.manifest = {**newest.manifest, "symmetries": {"proposed": ["mirror_left_right"]}}
    newest.save()
    accept = reverse("run_symmetries", args=[newest.training_run_id])
    for address in (
        reverse("viewpoint", args=[world.product.pk]),
        reverse("run", args=[newest.training_run_id]),
    ):
        assert accept in engineer.get(address).content.decode()
        page = viewer.get(address).content.decode()
        assert "Mirror, left and right" in page
        assert accept not in page
    assert viewer.post(accept).status_code == 403
    engineer.post(accept)
    world.dataset.viewpoint.refresh_from_db()
    assert world.dataset.viewpoint.symmetries == ["mirror_left_right"]
    assert accept not in engineer.get(address).content.decode()


def test_a_viewer_looks_at_zones_but_has_no_form_for_them(world: World, viewer: Client) -> None:
    page = viewer.get(reverse("viewpoint", args=[world.product.pk])).content.decode()
    assert reverse("viewpoint_zones", args=[world.product.pk]) not in page
    assert "Save the symmetries" not in page
    for name in ("viewpoint_zones", "viewpoint_symmetries"):
        sent = {"viewpoint": "main", "x": "1", "y": "1", "width": "9", "height": "9"}
        sent["symmetry"] = "shift"
        assert viewer.post(reverse(name, args=[world.product.pk]), sent).status_code == 403
