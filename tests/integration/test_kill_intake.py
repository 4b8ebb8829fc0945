"""Workers that look into a folder are killed again and again: no unit is lost, none is doubled."""

from pathlib import Path

import pytest

from inspection.models import Inspection, Intake, IntakeFile
from tests.factories.files import picture
from tests.factories.intake import IntakeFactory, drop
from tests.processes import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.django_db(transaction=True)]
UNITS, KILLS = 60, 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "aoi").mkdir()
    for n in range(UNITS):
        drop(tmp_path / "aoi", f"L{n % 3}_SN{n}_1.png", picture(n))
        if n % 6 == 0:
            drop(tmp_path / "aoi", f"again/L{n % 3}_SN{n}_1.png", picture(n))
    return tmp_path / "aoi"


def test_killed_workers_lose_and_double_nothing(worker, folder: Path) -> None:
    intake = IntakeFactory(location=str(folder), afterwards=Intake.Afterwards.MOVE)
    looks = {"KINTSUGI_INTAKE_ROOTS": str(folder.parent), "KINTSUGI_INTAKE_LOOK_EVERY_S": "1"}
    for kill in range(KILLS):
        running = worker("io", "default", beat=True, **looks)
        wanted = (kill + 1) * UNITS // (KILLS + 2)
        wait_for(lambda wanted=wanted: Inspection.objects.count() >= wanted, 90, f"{wanted} units")
        running.kill_whole()
        Intake.objects.update(lease_expires_at=None)  # as a minute of waiting would do
    worker("io", "default", beat=True, **looks)
    waiting = IntakeFile.objects.filter(put_away_at=None)
    wait_for(lambda: _all_seen() and not waiting.exists(), 120, "every file is put away")
    assert Inspection.objects.count() == UNITS
    serials = Inspection.objects.values_list("unit__serial_number", flat=True)
    assert sorted(serials) == sorted(f"SN{n}" for n in range(UNITS))
    assert intake.files.filter(outcome="duplicate").count() == UNITS // 6
    assert intake.files.count() == UNITS + UNITS // 6
    moved = list((folder / "processed").rglob("*.png"))
    assert len(moved) == UNITS + UNITS // 6
    undispatched = Inspection.objects.filter(chunk=None)
    wait_for(lambda: not undispatched.exists(), 60, "every part is in a chunk")


def _all_seen() -> bool:
    return IntakeFile.objects.exclude(outcome="waiting").count() >= UNITS + UNITS // 6
