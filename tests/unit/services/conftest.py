from pathlib import Path
from typing import Any

import pytest

from inspection.models import Intake, Upload
from tests.factories.intake import IntakeFactory
from tests.factories.upload import UploadFactory


@pytest.fixture
def upload(db: None) -> Upload:
    """An open upload into a dataset."""
    return UploadFactory()


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Path:
    """One that may be watched."""
    settings.INTAKE_ROOTS = [str(tmp_path)]
    (tmp_path / "aoi").mkdir()
    return tmp_path / "aoi"


@pytest.fixture
def intake(folder: Path) -> Intake:
    """A watch of `folder`."""
    return IntakeFactory(location=str(folder))
