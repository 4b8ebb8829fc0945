"""The pages of watched folders: set up, previewed, paused; the log of files; who may."""

from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from inspection.models import Intake, IntakeFile, Role
from inspection.services import intake_looks
from tests.factories.files import picture
from tests.factories.intake import IntakeFactory, drop
from tests.factories.membership import MembershipFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def intake(tmp_path: Path, settings: Any) -> Intake:
    settings.INTAKE_ROOTS = [str(tmp_path)]
    (tmp_path / "aoi").mkdir()
    return IntakeFactory(location=str(tmp_path / "aoi"), name="AOI 3")


def client_of(intake: Intake, role: Role) -> Client:
    client = Client()
    client.force_login(MembershipFactory(product=intake.viewpoint.product, role=role).user)
    return client


def form(intake: Intake, **fields: Any) -> dict[str, Any]:
    return {
        "name": "AOI 4",
        "viewpoint": intake.viewpoint.pk,
        "location": intake.location + "-4",
        "pattern": "{serial}.png",
        "stable_seconds": 5,
        "quiet_minutes": 15,
        "afterwards": "leave",
        **fields,
    }


def test_a_folder_is_set_up_changed_and_paused(intake: Intake) -> None:
    engineer = client_of(intake, Role.ENGINEER)
    assert engineer.get(reverse("folder_new")).status_code == 200
    answer = engineer.post(reverse("folder_new"), form(intake))
    made = Intake.objects.get(name="AOI 4")
    assert answer["Location"] == reverse("folder", args=[made.pk])
    edit = reverse("folder_edit", args=[made.pk])
    assert "{serial}.png" in engineer.get(edit).content.decode()
    engineer.post(edit, form(intake, pattern="{lot}_{serial}.png"))
    for action in ("pause", "resume"):
        engineer.post(reverse("folder_act", args=[made.pk, action]))
        made.refresh_from_db()
        assert (made.paused_at is not None) == (action == "pause")
    assert made.pattern == "{lot}_{serial}.png"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"location": "/etc"}, "may not be watched"),
        ({"pattern": "{serial}{lot}"}, "Put a sign between"),
        ({"name": "AOI 3"}, "There is a watched folder"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(intake: Intake, fields: Any, says: str) -> None:
    engineer = client_of(intake, Role.ENGINEER)
    page = engineer.post(reverse("folder_new"), form(intake, **fields)).content.decode()
    assert says in page
    assert Intake.objects.count() == 1


def test_names_are_read_while_the_pattern_is_written(intake: Intake) -> None:
    engineer = client_of(intake, Role.ENGINEER)
    asked = {"pattern": "{lot}_{serial}.png", "examples": "L7_SN1.png\nother.png"}
    page = engineer.get(reverse("folder_preview"), asked).content.decode()
    assert "<td>SN1</td><td>L7</td>" in page
    assert page.count("it would be rejected") == 1
    wrong = engineer.get(reverse("folder_preview"), {"pattern": "{x}"}).content.decode()
    assert "There is no field {x}" in wrong


def test_the_log_shows_every_file_and_narrows(intake: Intake) -> None:
    folder = Path(intake.location)
    drop(folder, "L7_SN1_1.png", picture(1))
    drop(folder, "<b>what</b>.png".replace("/", "-"), picture(2))
    for _ in range(2):
        intake_looks.look_into(intake.pk)
    viewer = client_of(intake, Role.VIEWER)
    place = reverse("folder", args=[intake.pk])
    page = viewer.get(place).content.decode()
    assert (
        reverse("inspection", args=[IntakeFile.objects.get(outcome="accepted").inspection_id])
        in page
    )
    assert "&lt;b&gt;what" in page
    rejected = viewer.get(place, {"outcome": "rejected"}).content.decode()
    assert "L7_SN1_1.png" not in rejected.split("audit-filter")[1]
    assert viewer.get(place, {"after": "x"}).status_code == 404
    listed = viewer.get(reverse("folders")).content.decode()
    assert "AOI 3" in listed


def test_what_is_wrong_with_a_folder_is_said(intake: Intake) -> None:
    folder = Path(intake.location)
    (folder / "processed").symlink_to(folder.parent)  # nothing can be moved there
    Intake.objects.update(afterwards=Intake.Afterwards.MOVE)
    drop(folder, "L7_SN1_1.png", picture(1))
    for _ in range(2):
        intake_looks.look_into(intake.pk)
    viewer = client_of(intake, Role.VIEWER)
    for place in (reverse("folder", args=[intake.pk]), reverse("folders")):
        page = viewer.get(place).content.decode()
        assert "must be folders, and no links" in page


def test_who_may(intake: Intake) -> None:
    places = [reverse("folder", args=[intake.pk]), reverse("folder_edit", args=[intake.pk])]
    pause = reverse("folder_act", args=[intake.pk, "pause"])
    viewer, inspector = client_of(intake, Role.VIEWER), client_of(intake, Role.INSPECTOR)
    stranger = Client()
    stranger.force_login(MembershipFactory(role=Role.ADMINISTRATOR).user)
    assert [viewer.get(place).status_code for place in places] == [200, 403]
    assert [stranger.get(place).status_code for place in places] == [404, 404]
    assert "AOI 3" not in stranger.get(reverse("folders")).content.decode()
    assert inspector.get(reverse("folder_new")).status_code == 403
    json = {"Accept": "application/json"}
    assert stranger.post(pause, headers=json).status_code == 404
    assert inspector.post(pause, headers=json).status_code == 403
    intake.refresh_from_db()
    assert intake.paused_at is None
