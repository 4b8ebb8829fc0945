"""Watched folders that are large, slow or partly unreadable: every file is come to all the same."""

import io
import logging
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from inspection import policies
from inspection.models import Batch, Inspection, Intake, Role
from inspection.services import batches, intake_looks, intakes
from tests.factories.files import picture
from tests.factories.intake import drop, look, outcomes

pytestmark = pytest.mark.django_db


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks that end after one file."""
    monkeypatch.setattr(intake_looks, "LOOK_S", -1)


# --- rounds ------------------------------------------------------------------------------


@pytest.mark.usefixtures("short")
def test_every_file_is_come_to_however_short_the_looks(intake: Intake, folder: Path) -> None:
    # In the order of the look, which is not that of the whole paths: `a` lies before `a.b`.
    names = ["a.b/L7_SN2_1.png", "a/L7_SN1_1.png", "a/z/L7_SN3_1.png", "b/L7_SN4_1.png"]
    for n, name in enumerate(names):
        drop(folder, name, picture(n))
    look(intake, 10)
    assert outcomes(intake) == dict.fromkeys(names, "accepted")
    drop(folder, "a/a/L7_SN5_1.png", picture(9))  # behind the last one only after a wrap
    look(intake, 11)
    assert outcomes(intake)["a/a/L7_SN5_1.png"] == "accepted"
    assert Inspection.objects.count() == 5


@pytest.mark.usefixtures("short")
def test_what_is_gone_is_known_after_a_whole_round(intake: Intake, folder: Path) -> None:
    Intake.objects.update(stable_seconds=3600)
    names = [f"L7_SN{n}_1.png" for n in range(4)]
    for n, name in enumerate(names):
        drop(folder, name, picture(n))
    look(intake, 5)  # the fifth finds nothing behind the last
    assert outcomes(intake) == dict.fromkeys(names, "waiting")
    (folder / names[0]).unlink()
    (folder / names[3]).unlink()
    look(intake, 2)
    assert outcomes(intake) == dict.fromkeys(names, "waiting")
    look(intake, 1)
    assert outcomes(intake) == {
        names[0]: "rejected",
        names[1]: "waiting",
        names[2]: "waiting",
        names[3]: "rejected",
    }


@pytest.mark.usefixtures("short")
def test_names_read_again_in_the_middle_of_a_round_are_not_gone(
    intake: Intake, folder: Path
) -> None:
    for n in range(3):
        drop(folder, f"SN{n}.png", picture(n))
    look(intake, 10)  # of the third round, two looks
    assert set(outcomes(intake).values()) == {"rejected"}
    intakes.edit_intake(intake.created_by, intake, pattern="{serial}.png", stable_seconds=3600)
    look(intake, 2)
    assert set(outcomes(intake).values()) == {"waiting"}
    Intake.objects.update(stable_seconds=0)
    look(intake, 4)
    assert set(outcomes(intake).values()) == {"accepted"}
    assert intake.files.count() == 3


@pytest.mark.usefixtures("short")
def test_another_place_is_looked_at_from_its_first_file(intake: Intake, folder: Path) -> None:
    drop(folder, "L7_SN8_1.png", picture(8))
    drop(folder, "L7_SN9_1.png", picture(9))
    look(intake, 1)
    drop(folder.parent, "new/L7_SN1_1.png", picture(1))
    intakes.edit_intake(
        intake.created_by, intake, location=str(folder.parent / "new"), stable_seconds=1
    )
    look(intake, 1)
    assert outcomes(intake)["L7_SN1_1.png"] == "waiting"


def test_one_file_that_breaks_the_look_keeps_no_others_waiting(
    intake: Intake, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(3):
        drop(folder, f"L7_SN{n}_1.png", picture(n))
    look(intake, 1)
    store = intake_looks.store_image

    def breaks(user: Any, name: str, stream: Any) -> Any:
        if "SN1" in name:
            raise RuntimeError("nobody thought of that")
        return store(user, name, stream)

    monkeypatch.setattr(intake_looks, "store_image", breaks)
    with pytest.raises(RuntimeError):
        look(intake, 1)
    intake.refresh_from_db()
    assert "broke off" in intake.last_error
    assert intake.lease_expires_at is None
    look(intake, 1)
    assert outcomes(intake) == {
        "L7_SN0_1.png": "accepted",
        "L7_SN1_1.png": "waiting",
        "L7_SN2_1.png": "accepted",
    }


def test_the_folder_is_held_while_a_large_file_is_read(
    intake: Intake, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(folder, "L7_SN1_1.png", picture(1))
    look(intake, 1)
    store, held = intake_looks.store_image, []

    def slowly(user: Any, name: str, stream: Any) -> Any:
        ends = timezone.now() + timedelta(seconds=1)  # the minute is nearly over
        Intake.objects.update(lease_expires_at=ends)
        kept = store(user, name, stream)
        held.append(Intake.objects.get().lease_expires_at > ends)
        return kept

    monkeypatch.setattr(intake_looks, "store_image", slowly)
    look(intake, 1)
    assert held == [True]
    assert outcomes(intake) == {"L7_SN1_1.png": "accepted"}


def test_the_folder_is_held_while_it_is_listed(
    intake: Intake, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(3):
        drop(folder, f"L7_SN{n}_1.png", picture(n))
    scandir, held = os.scandir, []

    class Slow(Listed):
        def __iter__(self) -> Any:
            ends = timezone.now() + timedelta(seconds=1)  # the minute is nearly over
            Intake.objects.update(lease_expires_at=ends)
            yield from super().__iter__()
            held.append(Intake.objects.get().lease_expires_at > ends)

    monkeypatch.setattr(intake_looks, "HEARD_EVERY_S", 0, raising=False)
    monkeypatch.setattr(os, "scandir", lambda path: Slow(scandir(path)))
    look(intake, 1)
    assert held == [True]


class Listed(list):
    """A listing as os.scandir gives it."""

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        pass


# --- what cannot be read -----------------------------------------------------------------


def test_a_subfolder_without_rights_keeps_nothing_else_waiting(
    intake: Intake, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(folder, "locked/L7_SN1_1.png", picture(1))
    drop(folder, "open/L7_SN2_1.png", picture(2))
    look(intake, 1)
    scandir = os.scandir

    def refused(path: Any) -> Any:  # who runs the tests may look into everything
        if b"locked" in os.fsencode(path):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", refused)
        look(intake, 1)
    assert intake.last_error.startswith("locked/ cannot be looked into: Permission denied.")
    assert outcomes(intake) == {"locked/L7_SN1_1.png": "waiting", "open/L7_SN2_1.png": "accepted"}
    look(intake, 1)
    assert intake.last_error == ""
    assert outcomes(intake)["locked/L7_SN1_1.png"] == "accepted"


def test_a_file_of_which_nothing_can_be_known_keeps_nothing_else_waiting(
    intake: Intake, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(folder, "sub/L7_SN1_1.png", picture(1))
    drop(folder, "sub/L7_SN2_1.png", picture(2))
    look(intake, 1)
    scandir = os.scandir

    class Entry:
        def __init__(self, entry: Any) -> None:
            self.name, self.is_dir, self.entry = entry.name, entry.is_dir, entry

        def stat(self, **how: Any) -> Any:
            if b"SN1" in self.name:
                raise OSError(5, "Input/output error")
            return self.entry.stat(**how)

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", lambda path: Listed(map(Entry, scandir(path))))
        look(intake, 1)
    assert "sub/ cannot be looked into: Input/output error" in intake.last_error
    assert outcomes(intake) == {"sub/L7_SN1_1.png": "waiting", "sub/L7_SN2_1.png": "accepted"}


def test_a_file_that_breaks_while_it_is_read_waits_with_a_sentence(
    intake: Intake, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = drop(folder, "L7_SN1_1.png", picture(1))
    drop(folder, "L7_SN2_1.png", picture(2))
    look(intake, 1)
    fdopen = os.fdopen

    class Broken(io.FileIO):
        def read(self, *_: Any) -> bytes:
            raise OSError(5, "Input/output error")

    def opened(handle: int, mode: str) -> Any:
        is_bad = os.fstat(handle).st_ino == bad.stat().st_ino
        return Broken(handle) if is_bad else fdopen(handle, mode)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdopen", opened)
        look(intake, 1)
    assert outcomes(intake) == {"L7_SN1_1.png": "waiting", "L7_SN2_1.png": "accepted"}
    row = intake.files.get(path="L7_SN1_1.png")
    assert (row.code, "Input/output error" in row.message) == ("unreadable", True)
    look(intake, 1)
    assert Inspection.objects.count() == 2


# --- lots --------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", ["away", "no role"])
def test_a_quiet_lot_is_closed_whatever_is_wrong(
    intake: Intake, folder: Path, trouble: str
) -> None:
    drop(folder, "L7_SN1_1.png", picture(1))
    look(intake)
    Inspection.objects.update(created_at=timezone.now() - timedelta(minutes=16), chunk=None)
    if trouble == "away":
        folder.rename(folder.parent / "away")
    else:
        intake.created_by.memberships.update(role=Role.VIEWER)
    look(intake, 1)
    assert intake.last_error
    assert Batch.objects.get().sealed_at is not None
    assert Inspection.objects.get().chunk is not None


def test_a_batch_that_a_person_closes_meanwhile_costs_no_file(
    intake: Intake, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(folder, "L7_SN1_1.png", picture(1))
    look(intake)
    drop(folder, "L7_SN2_1.png", picture(2))
    look(intake, 1)

    def closed_just_before(batch: Batch, *_: Any, **__: Any) -> None:
        batch.sealed_at = timezone.now()
        policies.check_open(batch)

    with monkeypatch.context() as patched:
        patched.setattr(batches, "add_image", closed_just_before)
        look(intake, 1)
    batches.seal(intake.created_by, Batch.objects.get())
    assert outcomes(intake)["L7_SN2_1.png"] == "waiting"
    look(intake, 1)
    assert outcomes(intake)["L7_SN2_1.png"] == "accepted"
    assert Batch.objects.filter(lot__code="L7").count() == 2


def test_a_look_that_breaks_off_is_logged_and_said(
    intake: Intake, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(_: str) -> None:
        raise RuntimeError("nobody thought of that")

    monkeypatch.setattr(intake_looks, "source_of", breaks)
    with caplog.at_level(logging.ERROR):
        assert intake_looks.look_into_all() == 0
    intake.refresh_from_db()
    assert "broke off" in intake.last_error
