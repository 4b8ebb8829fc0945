"""Repair zones and symmetries: what is allowed, who may, and what is written down."""

import math

import pytest

from inspection.errors import NotAllowed, UserError, WrongState
from inspection.models import AuditEvent, ModelVersion, Role, Viewpoint
from inspection.services import viewpoints
from tests.factories.jobs import make_version, make_viewpoint
from tests.factories.membership import MembershipFactory

pytestmark = pytest.mark.django_db
ZONE = {"x": 0.1, "y": 0.2, "width": 0.3, "height": 0.4}


@pytest.fixture
def viewpoint() -> Viewpoint:
    return make_viewpoint()


def proposing(names: list[str]) -> ModelVersion:
    version = make_version()
    version.manifest = {**version.manifest, "symmetries": {"proposed": names}}
    version.save()
    return version


def test_zones_are_kept_and_written_down(viewpoint: Viewpoint) -> None:
    viewpoints.set_repair_zones(None, viewpoint, [ZONE])
    viewpoints.set_repair_zones(None, viewpoint, [ZONE])
    viewpoint.refresh_from_db()
    assert viewpoint.repair_zones == [ZONE]
    event = AuditEvent.objects.get(action="viewpoint.repair_zones")
    assert (event.before, event.after) == ({"repair_zones": []}, {"repair_zones": [ZONE]})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": -0.01}, "leads out"),
        ({"x": 0.8}, "leads out"),
        ({"y": 0.61}, "leads out"),
        ({"width": 0.001}, "smaller than 0.5%"),
        ({"height": -0.2}, "smaller than"),
        ({"width": math.nan}, "no number"),
        ({"x": -math.inf}, "no number"),
    ],
)
def test_a_zone_that_makes_no_sense_is_named(
    viewpoint: Viewpoint, change: dict[str, float], words: str
) -> None:
    with pytest.raises(UserError, match=f"Zone 2 .*{words}"):
        viewpoints.set_repair_zones(None, viewpoint, [ZONE, {**ZONE, **change}])
    viewpoint.refresh_from_db()
    assert viewpoint.repair_zones == []


def test_a_zone_up_to_the_edge_stays_inside_after_rounding(viewpoint: Viewpoint) -> None:
    edge = {"x": 0.66666, "y": 0.33333, "width": 0.33341, "height": 0.66673}
    viewpoints.set_repair_zones(None, viewpoint, [edge])
    kept = viewpoint.repair_zones[0]
    assert kept["x"] + kept["width"] <= 1 + 1e-9
    assert kept["y"] + kept["height"] <= 1 + 1e-9


def test_too_many_zones_are_refused(viewpoint: Viewpoint) -> None:
    with pytest.raises(UserError, match="51 zones are more than the 50"):
        viewpoints.set_repair_zones(None, viewpoint, [ZONE] * 51)


def test_symmetries_are_known_ones_in_one_order(viewpoint: Viewpoint) -> None:
    viewpoints.set_symmetries(None, viewpoint, ["shift", "quarter_turns", "shift"])
    assert viewpoint.symmetries == ["quarter_turns", "shift"]
    with pytest.raises(UserError, match="no symmetry “glide”"):
        viewpoints.set_symmetries(None, viewpoint, ["glide"])


def test_only_an_engineer_changes_a_viewpoint() -> None:
    version = proposing(["shift"])
    viewpoint = version.viewpoint
    inspector = MembershipFactory(product=viewpoint.product, role=Role.INSPECTOR).user
    for change in (
        lambda: viewpoints.set_repair_zones(inspector, viewpoint, [ZONE]),
        lambda: viewpoints.set_symmetries(inspector, viewpoint, ["shift"]),
        lambda: viewpoints.accept_symmetries(inspector, version),
    ):
        with pytest.raises(NotAllowed):
            change()
    viewpoint.refresh_from_db()
    assert (viewpoint.repair_zones, viewpoint.symmetries) == ([], [])


def test_what_a_run_proposes_is_added_once_and_says_where_it_comes_from() -> None:
    version = proposing(["shift", "quarter_turns", "unheard of"])
    viewpoints.set_symmetries(None, version.viewpoint, ["shift"])
    assert viewpoints.proposed_symmetries(version) == ["quarter_turns"]
    assert viewpoints.accept_symmetries(None, version) == ["quarter_turns"]
    version.viewpoint.refresh_from_db()
    assert version.viewpoint.symmetries == ["quarter_turns", "shift"]
    event = AuditEvent.objects.get(action="viewpoint.symmetries_accepted")
    assert event.reason == f"proposed by {version}"
    with pytest.raises(WrongState, match="set already"):
        viewpoints.accept_symmetries(None, version)


def test_a_model_without_a_proposal_proposes_nothing() -> None:
    assert viewpoints.proposed_symmetries(make_version()) == []
