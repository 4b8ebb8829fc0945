"""Watched folders: still files become inspections, every file is accounted for, nothing twice."""

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from inspection.errors import NotAllowed, UserError
from inspection.models import (
    AuditEvent,
    Batch,
    Inspection,
    Intake,
    IntakeFile,
    ModelVersion,
    Role,
    ScoringChunk,
)
from inspection.services import intake_looks, intakes
from inspection.services.intake_folder import Folder
from inspection.services.intake_sources import overlap
from tests.factories.files import picture
from tests.factories.intake import IntakeFactory, drop, look, outcomes
from tests.factories.membership import MembershipFactory
from tests.factories.model_version import ModelVersionFactory
from tests.factories.user import UserFactory
from tests.factories.viewpoint import ViewpointFactory

pytestmark = pytest.mark.django_db
Afterwards = Intake.Afterwards


def message(intake: Intake, path: str) -> str:
    return intake.files.filter(path=path).first().message


# --- taking ------------------------------------------------------------------------------


def test_a_dropped_file_becomes_an_inspection_in_production(intake: Intake, folder: Path) -> None:
    drop(folder, "L7_SN1_3.png", picture(1))
    look(intake)
    inspection = Inspection.objects.get()
    assert inspection.purpose == "production"
    assert (inspection.unit.serial_number, inspection.unit.position_number) == ("SN1", 3)
    assert inspection.lot.code == "L7"
    assert inspection.batch.intake == intake
    assert inspection.pictures.get().file_name == "L7_SN1_3.png"
    assert inspection.chunk is not None  # it does not wait for others
    row = intake.files.get()
    assert (row.outcome, row.inspection) == ("accepted", inspection)
    assert intake.last_error == ""
    assert (folder / "L7_SN1_3.png").exists()  # nothing is deleted unless told


def test_a_lot_is_one_batch_however_many_looks(intake: Intake, folder: Path) -> None:
    for n in range(3):
        drop(folder, f"L7_SN{n}_1.png", picture(n))
        look(intake)
    drop(folder, "L8_SN9_1.png", picture(9))
    look(intake)
    assert sorted(Batch.objects.values_list("lot__code", flat=True)) == ["L7", "L8"]
    assert Inspection.objects.filter(lot__code="L7").count() == 3
    assert ScoringChunk.objects.count() == 4


def test_a_quiet_lot_is_closed_and_opens_again(intake: Intake, folder: Path) -> None:
    drop(folder, "L7_SN1_1.png", picture(1))
    look(intake)
    assert Batch.objects.get().sealed_at is None
    Inspection.objects.update(created_at=timezone.now() - timedelta(minutes=16))
    look(intake)
    assert Batch.objects.get().sealed_at is not None
    drop(folder, "L7_SN2_1.png", picture(2))
    look(intake)
    assert Batch.objects.filter(lot__code="L7").count() == 2


def test_a_new_model_judges_what_comes_after_it(intake: Intake, folder: Path) -> None:
    drop(folder, "L7_SN1_1.png", picture(1))
    look(intake)
    old = ModelVersion.objects.get()
    ModelVersion.objects.update(state=ModelVersion.State.RETIRED)
    new = ModelVersionFactory(
        training_run__viewpoint=intake.viewpoint,
        training_run__snapshot__dataset=old.training_run.snapshot.dataset,
        number=2,
    )
    drop(folder, "L7_SN2_1.png", picture(2))
    look(intake)
    judged = {one.unit.serial_number: one.model_version for one in Inspection.objects.all()}
    assert judged == {"SN1": old, "SN2": new}
    assert Batch.objects.get(model_version=old).sealed_at


# --- stillness ---------------------------------------------------------------------------


def test_a_growing_file_is_left_until_it_lies_still(intake: Intake, folder: Path) -> None:
    content = picture(1)
    path = drop(folder, "L7_SN1_1.png", content[:1000])
    look(intake, 1)
    path.write_bytes(content[:2000])
    look(intake, 1)
    path.write_bytes(content)
    look(intake, 1)
    assert outcomes(intake) == {"L7_SN1_1.png": "waiting"}
    look(intake, 1)
    assert outcomes(intake) == {"L7_SN1_1.png": "accepted"}


def test_it_lies_still_as_long_as_is_told(intake: Intake, folder: Path) -> None:
    Intake.objects.update(stable_seconds=60)
    drop(folder, "L7_SN1_1.png", picture(1))
    look(intake, 3)
    assert outcomes(intake) == {"L7_SN1_1.png": "waiting"}
    IntakeFile.objects.update(same_since=timezone.now() - timedelta(seconds=61))
    look(intake, 1)
    assert outcomes(intake) == {"L7_SN1_1.png": "accepted"}


# --- nothing twice -----------------------------------------------------------------------


def test_the_same_picture_of_the_same_part_is_taken_once(intake: Intake, folder: Path) -> None:
    drop(folder, "L7_SN1_1.png", picture(1))
    drop(folder, "copy/L7_SN1_1.png", picture(1))
    drop(folder, "L7_SN2_1.png", picture(1))  # another part, however alike
    look(intake)
    assert outcomes(intake) == {
        "L7_SN1_1.png": "accepted",
        "L7_SN2_1.png": "accepted",
        "copy/L7_SN1_1.png": "duplicate",
    }
    assert "L7_SN1_1.png" in message(intake, "copy/L7_SN1_1.png")
    assert Inspection.objects.count() == 2


def test_a_name_that_is_used_again_is_another_file(intake: Intake, folder: Path) -> None:
    drop(folder, "L7_SN1_1.png", picture(1))
    look(intake)
    drop(folder, "L7_SN1_1.png", picture(2))
    look(intake)
    assert Inspection.objects.count() == 2
    os.utime(folder / "L7_SN1_1.png", ns=(1, 1))  # touched, the same bytes
    look(intake)
    assert Inspection.objects.count() == 2
    assert intake.files.filter(outcome="duplicate").count() == 1


def test_who_looks_holds_the_folder(intake: Intake, folder: Path) -> None:
    drop(folder, "L7_SN1_1.png", picture(1))
    look(intake, 1)
    until = timezone.now() + timedelta(seconds=60)
    Intake.objects.update(token="0" * 32, lease_expires_at=until)
    assert intake_looks.look_into(intake.pk) == 0
    Intake.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    assert intake_looks.look_into(intake.pk) == 1


@pytest.mark.parametrize("lost", ["token", "paused"])
def test_a_lost_lease_writes_nothing(
    intake: Intake, folder: Path, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(folder, "L7_SN1_1.png", picture(1))
    look(intake, 1)
    store = intake_looks.store_image

    def store_and_lose(*args: Any) -> Any:
        kept = store(*args)
        change = {"token": "1" * 32} if lost == "token" else {"paused_at": timezone.now()}
        Intake.objects.update(**change)
        return kept

    monkeypatch.setattr(intake_looks, "store_image", store_and_lose)
    assert intake_looks.look_into(intake.pk) == 0
    assert outcomes(intake) == {"L7_SN1_1.png": "waiting"}
    assert not Inspection.objects.exists()


def test_an_inspection_without_its_row_never_is(
    intake: Intake, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a kill between the two would leave it."""
    drop(folder, "L7_SN1_1.png", picture(1))
    look(intake, 1)

    def killed(*_: Any, **__: Any) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(intake_looks._Look, "_end", killed)
        with pytest.raises(SystemExit):
            intake_looks.look_into(intake.pk)
    assert not Inspection.objects.exists()
    look(intake)
    assert Inspection.objects.count() == 1


# --- refusals ----------------------------------------------------------------------------


def test_every_file_is_accounted_for_with_a_sentence(intake: Intake, folder: Path) -> None:
    (folder.parent / "secret.png").write_bytes(picture(5))
    drop(folder, "L7_SN1_1.png", picture(1))
    drop(folder, "other name.png", picture(2))
    drop(folder, "L7_SN3_1.png", b"not a picture")
    drop(folder, "L7_SN4_1.png", b"")
    (folder / "L7_SN5_1.png").symlink_to(folder.parent / "secret.png")
    (folder / "linked").symlink_to(folder.parent)
    drop(folder, "L7_SN6\x07_1.png", picture(6))
    bad = os.fsencode(folder) + b"/L7_\xff\xfe_1.png"
    Path(os.fsdecode(bad)).write_bytes(picture(7))
    drop(folder, ".DS_Store", b"left by a system")
    look(intake)
    said = {row.path: (row.outcome, row.code) for row in intake.files.all()}
    assert said == {
        "L7_SN1_1.png": ("accepted", ""),
        "other name.png": ("rejected", "other_name"),
        "L7_SN3_1.png": ("rejected", "not_a_picture"),
        "L7_SN4_1.png": ("rejected", "empty_file"),
        "L7_SN5_1.png": ("rejected", "link"),
        "linked": ("rejected", "link"),
        "L7_SN6\x07_1.png": ("rejected", "bad_name"),
        "L7_��_1.png": ("rejected", "bad_name"),
    }
    assert all(row.message for row in intake.files.filter(outcome="rejected"))
    assert "is not named like {lot}_{serial}_{position}.png" in message(intake, "other name.png")
    look(intake)
    assert intake.files.count() == 8  # nothing is written twice


def test_a_file_that_vanished_says_so_and_may_come_back(intake: Intake, folder: Path) -> None:
    path = drop(folder, "L7_SN1_1.png", picture(1))
    look(intake, 1)
    content, times = path.read_bytes(), path.stat()
    path.unlink()
    look(intake, 1)
    assert outcomes(intake) == {"L7_SN1_1.png": "rejected"}
    assert "disappeared" in message(intake, "L7_SN1_1.png")
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    look(intake)
    assert Inspection.objects.count() == 1


def test_an_unreadable_file_waits_with_a_sentence(
    intake: Intake, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from inspection.services import intake_sources

    drop(folder, "L7_SN1_1.png", picture(1))
    look(intake, 1)

    def refused(*_: Any) -> int:  # who runs the tests may read everything
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(intake_sources.Folder, "_open", refused)
        look(intake, 1)
    assert outcomes(intake) == {"L7_SN1_1.png": "waiting"}
    assert "Permission denied" in message(intake, "L7_SN1_1.png")
    look(intake, 1)
    assert outcomes(intake) == {"L7_SN1_1.png": "accepted"}


def test_a_link_put_in_the_way_is_not_followed(intake: Intake, folder: Path) -> None:
    """Between the look and the reading a folder becomes a link to elsewhere."""
    drop(folder, "sub/L7_SN1_1.png", picture(1))
    seen = next(Folder(folder).files())
    elsewhere = folder.parent / "elsewhere"
    (folder / "sub").rename(elsewhere)
    (folder / "sub").symlink_to(elsewhere)
    with pytest.raises(UserError) as refused, Folder(folder).open(seen):
        pass
    assert refused.value.code == "link"


def test_a_folder_that_is_gone_says_so_and_loses_nothing(intake: Intake, folder: Path) -> None:
    drop(folder, "L7_SN1_1.png", picture(1))
    look(intake, 1)
    folder.rename(folder.parent / "away")
    look(intake, 1)
    assert "cannot be looked into" in intake.last_error
    assert outcomes(intake) == {"L7_SN1_1.png": "waiting"}
    (folder.parent / "away").rename(folder)
    look(intake, 1)
    assert intake.last_error == ""
    assert outcomes(intake) == {"L7_SN1_1.png": "accepted"}


def test_without_a_model_files_wait_and_the_folder_says_why(intake: Intake, folder: Path) -> None:
    ModelVersion.objects.update(state=ModelVersion.State.RETIRED)
    drop(folder, "L7_SN1_1.png", picture(1))
    look(intake)
    assert "no model" in intake.last_error
    assert outcomes(intake) == {"L7_SN1_1.png": "waiting"}


def test_who_may_no_longer_bring_parts_brings_none(intake: Intake, folder: Path) -> None:
    drop(folder, "L7_SN1_1.png", picture(1))
    look(intake, 1)
    intake.created_by.memberships.update(role=Role.VIEWER)
    look(intake, 1)
    assert "needs the role" in intake.last_error
    assert not Inspection.objects.exists()


def test_a_lot_of_another_work_order_is_rejected(intake: Intake, folder: Path) -> None:
    Intake.objects.update(pattern="{work_order}_{lot}_{serial}.png")
    drop(folder, "W1_L7_SN1.png", picture(1))
    drop(folder, "W2_L7_SN2.png", picture(2))
    look(intake)
    assert sorted(outcomes(intake).values()) == ["accepted", "rejected"]
    assert "W1" in message(intake, "W2_L7_SN2.png")


def test_the_side_must_be_this_viewpoints(intake: Intake, folder: Path) -> None:
    Intake.objects.update(pattern="{serial}_{side}.png")
    type(intake.viewpoint).objects.update(side="top")
    drop(folder, "SN1_TOP.png", picture(1))
    drop(folder, "SN2_bottom.png", picture(2))
    look(intake)
    assert outcomes(intake) == {"SN1_TOP.png": "accepted", "SN2_bottom.png": "rejected"}


# --- afterwards --------------------------------------------------------------------------


def lies_for(path: Path, hours: float) -> None:
    written = time.time() - hours * 3600
    os.utime(path, (written, written))


def test_files_are_moved_where_told(intake: Intake, folder: Path) -> None:
    Intake.objects.update(afterwards=Afterwards.MOVE)
    drop(folder, "day1/L7_SN1_1.png", picture(1))
    lies_for(drop(folder, "what.png", picture(2)), hours=2)
    look(intake)
    assert (folder / "processed/day1/L7_SN1_1.png").exists()
    assert (folder / "rejected/what.png").exists()
    assert not (folder / "what.png").exists()
    assert intake.files.exclude(put_away_at=None).count() == 2
    look(intake)
    assert intake.files.count() == 2  # what was put away is not seen again


def test_a_file_with_another_name_may_still_get_its_own(intake: Intake, folder: Path) -> None:
    """Written as part.tmp and then renamed: it must not be moved away in between."""
    Intake.objects.update(afterwards=Afterwards.MOVE)
    path = drop(folder, "part.tmp", picture(1))
    look(intake, 3)
    assert outcomes(intake) == {"part.tmp": "rejected"}
    path.rename(folder / "L7_SN1_1.png")
    drop(folder, "L7_SN2_1.png", b"not a picture")  # its name does fit
    left = drop(folder, "left.tmp", picture(2))
    look(intake)
    assert (folder / "processed/L7_SN1_1.png").exists()
    assert (folder / "rejected/L7_SN2_1.png").exists()
    assert left.exists()
    lies_for(left, hours=2)
    look(intake)
    assert (folder / "rejected/left.tmp").exists()


def test_what_is_put_back_is_a_new_file(intake: Intake, folder: Path) -> None:
    """As `mv` and `cp -p` put it back: the same size, the same time."""
    Intake.objects.update(afterwards=Afterwards.MOVE)
    drop(folder, "L7_SN1_1.png", picture(1))
    broken = drop(folder, "L7_SN2_1.png", picture(2)[:-400])
    look(intake)
    (folder / "processed/L7_SN1_1.png").rename(folder / "L7_SN1_1.png")
    (folder / "rejected/L7_SN2_1.png").rename(broken)
    look(intake)
    assert outcomes(intake) == {"L7_SN1_1.png": "duplicate", "L7_SN2_1.png": "rejected"}
    assert intake.files.count() == 4
    assert sorted(path.name for path in folder.iterdir()) == ["processed", "rejected"]
    assert Inspection.objects.count() == 1


def test_a_link_is_one_file_however_often_it_is_seen(intake: Intake, folder: Path) -> None:
    Intake.objects.update(afterwards=Afterwards.MOVE)
    (folder / "L7_SN5_1.png").symlink_to(folder.parent)
    look(intake, 5)
    assert intake.files.get().code == "link"
    assert (folder / "L7_SN5_1.png").is_symlink()


@pytest.mark.parametrize("afterwards", [Afterwards.MOVE, Afterwards.DELETE])
def test_a_link_put_in_the_way_of_putting_away_is_not_followed(
    intake: Intake, folder: Path, afterwards: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Intake.objects.update(afterwards=afterwards)
    drop(folder, "sub/L7_SN1_1.png", picture(1))
    theirs = drop(folder.parent, "elsewhere/L7_SN1_1.png", b"of somebody else")
    look(intake, 1)

    def swapping(act: Any) -> Any:
        def swap_and_act(*args: Any, **where: Any) -> None:
            is_ours = os.fsencode(args[0]).endswith(b"L7_SN1_1.png")
            if is_ours and not (folder / "sub").is_symlink():
                (folder / "sub").rename(folder.parent / "sub")
                (folder / "sub").symlink_to(theirs.parent)
            act(*args, **where)

        return swap_and_act

    with monkeypatch.context() as patched:
        real = os.rename, os.unlink
        patched.setattr(os, "rename", lambda *args, **where: swapped[0](*args, **where))
        patched.setattr(os, "unlink", lambda *args, **where: swapped[1](*args, **where))
        swapped = [swapping(act) for act in real]
        look(intake, 1)
    assert theirs.read_bytes() == b"of somebody else"
    assert not (folder.parent / "sub/L7_SN1_1.png").exists()


def test_what_has_the_name_in_processed_keeps_it(intake: Intake, folder: Path) -> None:
    Intake.objects.update(afterwards=Afterwards.MOVE)
    for n in range(2):
        drop(folder, "L7_SN1_1.png", picture(n))
        look(intake)
    assert len(list((folder / "processed").iterdir())) == 2
    assert Inspection.objects.count() == 2


def test_only_what_was_taken_is_deleted(intake: Intake, folder: Path) -> None:
    Intake.objects.update(afterwards=Afterwards.DELETE)
    drop(folder, "L7_SN1_1.png", picture(1))
    drop(folder, "what.png", picture(2))
    look(intake)
    assert [path.name for path in folder.iterdir()] == ["what.png"]
    assert Inspection.objects.count() == 1


def test_killed_before_it_was_put_away_it_is_put_away_later(
    intake: Intake, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Intake.objects.update(afterwards=Afterwards.MOVE)
    drop(folder, "L7_SN1_1.png", picture(1))
    look(intake, 1)
    with monkeypatch.context() as patched:
        patched.setattr(intake_looks._Look, "_put_away", lambda *_: None)
        look(intake, 1)
    assert (folder / "L7_SN1_1.png").exists()
    look(intake, 1)
    assert (folder / "processed/L7_SN1_1.png").exists()
    assert Inspection.objects.count() == 1


@pytest.mark.parametrize("afterwards", [Afterwards.MOVE, Afterwards.DELETE])
def test_killed_just_after_it_was_put_away_that_is_written_down_later(
    intake: Intake, folder: Path, afterwards: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Intake.objects.update(afterwards=afterwards)
    drop(folder, "L7_SN1_1.png", picture(1))
    look(intake, 1)
    act = {"move": Folder.move, "delete": Folder.delete}[afterwards]

    def killed(*args: Any) -> None:
        act(*args)
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(Folder, act.__name__, killed)
        with pytest.raises(SystemExit):
            look(intake, 1)
    assert intake.files.get().put_away_at is None
    look(intake, 1)
    assert intake.files.get().put_away_at is not None
    assert outcomes(intake) == {"L7_SN1_1.png": "accepted"}


def test_processed_may_not_lead_out_of_the_folder(intake: Intake, folder: Path) -> None:
    Intake.objects.update(afterwards=Afterwards.MOVE)
    (folder.parent / "elsewhere").mkdir()
    (folder / "processed").symlink_to(folder.parent / "elsewhere")
    drop(folder, "L7_SN1_1.png", picture(1))
    look(intake)
    assert (folder / "L7_SN1_1.png").exists()
    assert "cannot be moved" in intake.last_error
    assert Inspection.objects.count() == 1


# --- setting up --------------------------------------------------------------------------


def engineer(viewpoint: Any) -> Any:
    return MembershipFactory(product=viewpoint.product, role=Role.ENGINEER).user


def test_setting_up_is_an_engineers_matter_and_is_recorded(folder: Path) -> None:
    viewpoint = ViewpointFactory()
    told = {"name": "AOI 3", "location": str(folder), "pattern": "{serial}.png"}
    with pytest.raises(NotAllowed):
        intakes.create_intake(UserFactory(role="inspector"), viewpoint=viewpoint, **told)
    user = engineer(viewpoint)
    made = intakes.create_intake(user, viewpoint=viewpoint, **told)
    intakes.pause_intake(user, made)
    with pytest.raises(UserError):
        intakes.pause_intake(user, made)
    intakes.resume_intake(user, made)
    assert made.paused_at is None
    actions = AuditEvent.objects.values_list("action", flat=True)
    assert set(actions) >= {"intake.created", "intake.paused", "intake.resumed"}


@pytest.mark.parametrize(
    "location", ["/etc", "relative", "{root}/aoi/../../etc", "{root}/out", "s3://bucket/x", ""]
)
def test_only_allowed_places_are_watched(folder: Path, location: str) -> None:
    (folder.parent / "out").symlink_to("/etc")
    viewpoint = ViewpointFactory()
    place = location.replace("{root}", str(folder.parent))
    with pytest.raises(UserError) as refused:
        intakes.create_intake(
            engineer(viewpoint),
            name="x",
            viewpoint=viewpoint,
            location=place,
            pattern="{serial}.png",
        )
    assert refused.value.field == "location"


def test_two_folders_never_take_the_same_files(intake: Intake, folder: Path) -> None:
    user = intake.created_by
    for place in (folder, folder / "below", folder.parent):
        with pytest.raises(UserError) as refused:
            intakes.create_intake(
                user,
                name="second",
                viewpoint=intake.viewpoint,
                location=str(place),
                pattern="{serial}.png",
            )
        assert refused.value.code == "watched_already"


@pytest.mark.parametrize(
    "place", ["{root}/./aoi", "{root}//aoi", "{root}/linked", "{root}/linked/below"]
)
def test_one_folder_is_one_folder_however_it_is_written(
    intake: Intake, folder: Path, place: str
) -> None:
    (folder.parent / "linked").symlink_to(folder)
    location = place.replace("{root}", str(folder.parent))
    for mine, theirs in ((location, str(folder)), (str(folder), location)):
        Intake.objects.update(location=theirs)
        with pytest.raises(UserError) as refused:
            second(intake.created_by, intake.viewpoint, mine)
        assert refused.value.code == "watched_already"
        assert intake.name in refused.value.message


def second(user: Any, viewpoint: Any, location: str) -> Intake:
    return intakes.create_intake(
        user, name="second", viewpoint=viewpoint, location=location, pattern="{serial}.png"
    )


@pytest.mark.parametrize("place", ["s3://plant/aoi3//", "s3://plant//aoi3", "s3://plant/./aoi3/x"])
def test_one_prefix_is_one_prefix_however_it_is_written(place: str) -> None:
    assert overlap("s3://plant/aoi3", place)
    assert overlap(place, "s3://plant/aoi3/")
    assert not overlap("s3://plant/aoi33", place)


def test_a_stranger_does_not_learn_what_is_watched(intake: Intake, folder: Path) -> None:
    viewpoint = ViewpointFactory()
    with pytest.raises(UserError) as refused:
        second(engineer(viewpoint), viewpoint, str(folder.parent))
    assert refused.value.code == "watched_already"
    assert intake.name not in refused.value.message
    assert str(folder) not in refused.value.message


def test_of_two_who_ask_at_once_one_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one is just done when we get the lock."""
    viewpoint = ViewpointFactory()

    def lock_late(*_: Any) -> None:
        IntakeFactory(location=str(folder), name="first")

    monkeypatch.setattr(intakes, "lock_row", lock_late, raising=False)
    with pytest.raises(UserError) as refused:
        second(engineer(viewpoint), viewpoint, str(folder))
    assert refused.value.code == "watched_already"


def test_another_pattern_reads_rejected_names_again(intake: Intake, folder: Path) -> None:
    drop(folder, "SN1.png", picture(1))
    look(intake)
    assert outcomes(intake) == {"SN1.png": "rejected"}
    intakes.edit_intake(intake.created_by, intake, pattern="{serial}.png", stable_seconds=1)
    Intake.objects.update(stable_seconds=0)
    look(intake)
    assert outcomes(intake) == {"SN1.png": "accepted"}
    assert Inspection.objects.get().unit.serial_number == "SN1"


def test_a_paused_folder_is_left_alone(intake: Intake, folder: Path) -> None:
    drop(folder, "L7_SN1_1.png", picture(1))
    intakes.pause_intake(intake.created_by, intake)
    assert intake_looks.look_into_all() == 0
    assert not intake.files.exists()
