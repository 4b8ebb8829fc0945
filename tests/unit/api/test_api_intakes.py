"""Watched folders by program: as the page sets them up, and what they took in."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from inspection.models import SCOPES, AuditEvent, Intake, IntakeFile, Role, User
from tests.factories.api_key import Program, key_of
from tests.factories.files import picture
from tests.factories.intake import IntakeFactory, drop, look
from tests.factories.membership import MembershipFactory
from tests.factories.product import ProductFactory
from tests.factories.station import StationFactory
from tests.factories.user import UserFactory
from tests.factories.viewpoint import ViewpointFactory

pytestmark = pytest.mark.django_db
LIST = "intakes"


@pytest.fixture
def engineer() -> User:
    return UserFactory(username="ida", role="engineer")


@pytest.fixture
def program(engineer: User) -> Program:
    return Program(key_of(engineer))


@pytest.fixture
def root(tmp_path: Path, settings: Any) -> Path:
    """Below it folders may be watched."""
    settings.INTAKE_ROOTS = [str(tmp_path), "s3://plant"]
    return tmp_path


@pytest.fixture
def intake(root: Path) -> Intake:
    (root / "aoi").mkdir()
    return IntakeFactory(location=str(root / "aoi"), name="AOI 3", stable_seconds=5)


def wanted(intake: Intake, **fields: Any) -> dict[str, Any]:
    """Beside the one that is there."""
    return {
        "name": "AOI 4",
        "viewpoint": str(intake.viewpoint_id),
        "location": f"{intake.location}-4",
        "pattern": "{lot}_{serial}.png",
        **fields,
    }


def events(action: str) -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(action=f"intake.{action}").order_by("id"))


# --- setting up ---------------------------------------------------------------------------


def test_a_folder_is_set_up_told_and_written_down(program: Program, intake: Intake) -> None:
    StationFactory(code="AOI-4")
    made = program.json("POST", LIST, wanted(intake, station="aoi-4", afterwards="move"))
    assert made.status_code == 201, made.content
    read = program.json("GET", f"{LIST}/{made.json()['id']}")
    assert (made.json(), made["ETag"]) == (read.json(), read["ETag"])
    told = made.json()
    assert (told["station"], told["afterwards"], told["created_by"]) == ("AOI-4", "move", "ida")
    assert (told["stable_seconds"], told["quiet_minutes"], told["paused_at"]) == (5, 15, None)
    assert told["recipe"] == intake.viewpoint.recipe_name
    (event,) = events("created")
    assert (event.actor_name, event.product) == ("ida", intake.viewpoint.product)
    assert event.after["location"] == f"{intake.location}-4"


def test_a_prefix_of_a_store_is_set_up_without_its_keys(program: Program, intake: Intake) -> None:
    body = wanted(intake, location="s3://plant/aoi4")
    assert program.json("POST", LIST, body).status_code == 201
    refused = program.json("POST", LIST, wanted(intake, secret_key="x"))
    assert refused.json()["errors"][0]["pointer"] == "/secret_key", "the administrator's matter"


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"name": "AOI 3"}, "/name"),
        ({"viewpoint": str(uuid4())}, "/viewpoint"),
        ({"station": "AOI-99"}, "/station"),
        ({"location": "/etc"}, "/location"),
        ({"location": "aoi"}, "/location"),
        ({"location": "s3://other/aoi"}, "/location"),
        ({"pattern": "{serial}{lot}"}, "/pattern"),
        ({"pattern": "all.png"}, "/pattern"),
        ({"stable_seconds": 0}, "/stable_seconds"),
        ({"quiet_minutes": 10081}, "/quiet_minutes"),
        ({"afterwards": "burn"}, "/afterwards"),
        ({"created_by": "ada"}, "/created_by"),
    ],
)
def test_a_wrong_field_is_pointed_at(
    program: Program, intake: Intake, fields: dict[str, Any], pointer: str
) -> None:
    other = IntakeFactory(
        name="AOI 5",
        location=f"{intake.location}-5",
        viewpoint=intake.viewpoint,
        stable_seconds=5,
    )
    for method, at in (("POST", LIST), ("PATCH", f"{LIST}/{other.pk}")):
        body = wanted(intake, **fields) if method == "POST" else fields
        refused = program.json(method, at, body)
        assert refused.status_code == 422, refused.content
        assert [one["pointer"] for one in refused.json()["errors"]] == [pointer]
    assert events("created") == events("edited") == []


def test_one_place_is_watched_once(program: Program, intake: Intake) -> None:
    for place in (intake.location, f"{intake.location}/below", str(Path(intake.location).parent)):
        refused = program.json("POST", LIST, wanted(intake, location=place))
        assert (refused.status_code, refused.json()["code"]) == (422, "watched_already")


# --- changing -----------------------------------------------------------------------------


def test_what_is_not_said_stays_and_the_rights_are_those_of_who_changed_it(
    program: Program, intake: Intake
) -> None:
    Intake.objects.update(station=StationFactory(code="AOI-3"))
    at = f"{LIST}/{intake.pk}"
    told = program.json("PATCH", at, {"quiet_minutes": 20}).json()
    assert (told["quiet_minutes"], told["station"], told["name"]) == (20, "AOI-3", "AOI 3")
    assert told["created_by"] == "ida"
    assert program.json("PATCH", at, {"station": None}).json()["station"] is None
    Intake.objects.update(created_by=UserFactory(username="another"))
    assert program.json("PATCH", at, {}).json()["created_by"] == "another", "nothing was changed"
    first, second = events("edited")
    assert (first.before["quiet_minutes"], first.after["quiet_minutes"]) == (15, 20)
    assert second.after["station"] == ""


def test_another_pattern_reads_names_again(program: Program, intake: Intake) -> None:
    drop(Path(intake.location), "SN7.png", picture(1))
    Intake.objects.update(stable_seconds=0)
    look(intake)
    at = f"{LIST}/{intake.pk}"
    assert program.json("GET", f"{at}/standing").json()["rejected"] == 1
    body = {"pattern": "{serial}.png", "stable_seconds": 1}
    assert program.json("PATCH", at, body).status_code == 200
    assert program.json("GET", f"{at}/standing").json()["waiting"] == 1


def test_what_was_changed_meanwhile_is_not_overwritten_and_a_look_changes_nothing(
    program: Program, intake: Intake
) -> None:
    at = f"{LIST}/{intake.pk}"
    tag = {"If-Match": program.json("GET", at)["ETag"]}
    drop(Path(intake.location), "L7_SN1_1.png", picture(1))
    look(intake)
    assert program.json("PATCH", at, {"quiet_minutes": 20}, **tag).status_code == 200
    assert program.json("PATCH", at, {"quiet_minutes": 30}, **tag).status_code == 412
    intake.refresh_from_db()
    assert intake.quiet_minutes == 20


def test_it_goes_to_a_product_only_where_one_may_set_up(intake: Intake) -> None:
    mine = intake.viewpoint.product
    other = ViewpointFactory(product=ProductFactory(code="BOARD-B"))
    who = MembershipFactory(product=mine, role=Role.ENGINEER).user
    MembershipFactory(user=who, product=other.product, role=Role.VIEWER)
    answer = Program(key_of(who)).json("PATCH", f"{LIST}/{intake.pk}", {"viewpoint": str(other.pk)})
    assert answer.status_code == 403
    intake.refresh_from_db()
    assert intake.viewpoint.product == mine


def test_it_is_paused_and_resumed(program: Program, intake: Intake) -> None:
    at = f"{LIST}/{intake.pk}"
    again = program.json("POST", f"{at}/resume")
    assert (again.status_code, again.json()["code"]) == (409, "already")
    assert program.json("POST", f"{at}/pause").json()["paused_at"]
    assert program.json("POST", f"{at}/pause").status_code == 409
    assert len(program.json("GET", f"{LIST}?paused=true").json()["results"]) == 1
    assert program.json("GET", f"{LIST}/standing?paused=false").json()["results"] == []
    drop(Path(intake.location), "L7_SN1_1.png", picture(1))
    look(intake)
    assert not intake.files.exists()
    assert program.json("POST", f"{at}/resume").json()["paused_at"] is None
    assert [len(events(one)) for one in ("paused", "resumed")] == [1, 1]


# --- what was taken in --------------------------------------------------------------------


def test_every_file_is_counted_and_listed(program: Program, intake: Intake) -> None:
    folder = Path(intake.location)
    Intake.objects.update(stable_seconds=0)
    drop(folder, "L7_SN1_1.png", picture(1))
    drop(folder, "again/L7_SN1_1.png", picture(1))
    drop(folder, "other.png", picture(2))
    look(intake)
    drop(folder, "L7_SN2_1.png", picture(3))
    look(intake, times=1)
    at = f"{LIST}/{intake.pk}"
    standing = program.json("GET", f"{at}/standing").json()
    outcomes = ("accepted", "duplicate", "rejected", "waiting")
    assert [standing[one] for one in outcomes] == [1, 1, 1, 1]
    assert (standing["last_error"], bool(standing["last_look_at"])) == ("", True)
    (listed,) = program.json("GET", f"{LIST}/standing").json()["results"]
    assert listed == standing
    files = program.json("GET", f"{at}/files").json()["results"]
    assert sorted(one["outcome"] for one in files) == sorted(outcomes)
    assert files[0]["path"] == "L7_SN2_1.png", "the newest first"
    (bad,) = program.json("GET", f"{at}/files?outcome=rejected").json()["results"]
    assert (bad["path"], bad["code"], bad["inspection"]) == ("other.png", "other_name", None)
    assert bad["message"]
    found = program.json("GET", f"{at}/files?path=SN1&outcome=accepted").json()["results"]
    taken = IntakeFile.objects.get(outcome="accepted")
    assert [one["inspection"] for one in found] == [str(taken.inspection_id)]


def test_a_folder_that_is_away_says_so(program: Program, intake: Intake) -> None:
    Path(intake.location).rmdir()
    look(intake)
    told = program.json("GET", f"{LIST}/{intake.pk}/standing").json()
    assert "cannot be looked into" in told["last_error"]


def test_names_are_read_before_anything_is_watched(program: Program) -> None:
    asked = {"pattern": "{lot}_{serial}.png", "names": "L7_SN1.png\nother.png"}
    told = program.get(f"/api/v1/{LIST}/preview", asked).json()["names"]
    assert [(one["name"], one["read"] is None) for one in told] == [
        ("L7_SN1.png", False),
        ("other.png", True),
    ]
    assert (told[0]["read"]["lot"], told[0]["read"]["serial"]) == ("L7", "SN1")
    wrong = program.get(f"/api/v1/{LIST}/preview", {**asked, "pattern": "{x}"})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/pattern")


# --- who may ------------------------------------------------------------------------------


def test_they_are_listed_by_product_and_others_do_not_exist(
    program: Program, intake: Intake
) -> None:
    ProductFactory(code="BOARD-B")
    code = intake.viewpoint.product.code
    assert len(program.json("GET", f"{LIST}?product={code}").json()["results"]) == 1
    assert program.json("GET", f"{LIST}/standing?product=BOARD-B").json()["results"] == []
    stranger = Program(key_of(MembershipFactory(role=Role.ADMINISTRATOR).user))
    for below in ("", "/standing", "/files"):
        assert stranger.json("GET", f"{LIST}/{intake.pk}{below}").status_code == 404
    assert stranger.json("GET", f"{LIST}/standing").json()["results"] == []
    body = wanted(intake, location=f"{intake.location}/below")
    assert stranger.json("POST", LIST, body).json()["errors"][0]["pointer"] == "/viewpoint"


def test_a_key_of_an_mes_watches_nothing(intake: Intake, engineer: User) -> None:
    mes = Program(key_of(engineer, [one for one in SCOPES if not one.startswith(LIST)]))
    assert mes.json("POST", LIST, wanted(intake)).status_code == 403
    assert mes.json("GET", LIST).status_code == 403
    assert mes.json("POST", f"{LIST}/{intake.pk}/pause").status_code == 403
