"""A folder of this machine comes in with the same receipts."""

from pathlib import Path

import pytest

from inspection.errors import UserError
from inspection.models import Purpose
from inspection.services import folder_import
from tests.factories.batch import BatchFactory
from tests.factories.dataset import DatasetFactory
from tests.factories.files import picture

pytestmark = pytest.mark.django_db


def test_import_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "lot 1").mkdir()
    (tmp_path / "lot 1" / "a.png").write_bytes(picture(1))
    (tmp_path / "b.png").write_bytes(picture(2))
    (tmp_path / "c.png").write_bytes(b"no picture")
    (tmp_path / ".DS_Store").write_bytes(b"x")
    seen: list[tuple[int, int]] = []
    upload = folder_import.import_folder(
        None,
        dataset=DatasetFactory(),
        folder=tmp_path,
        progress=lambda done, total: seen.append((done, total)),
    )
    outcomes = dict(upload.receipts.values_list("file_name", "outcome"))
    assert outcomes == {"lot 1/a.png": "accepted", "b.png": "accepted", "c.png": "refused"}
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert upload.closed_at is not None
    assert (tmp_path / "b.png").read_bytes() == picture(2)


def test_import_into_a_trial_takes_labels_from_folders(tmp_path: Path) -> None:
    for kind, seed in (("good", 1), ("bridge", 2)):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "1.png").write_bytes(picture(seed))
    batch = BatchFactory(purpose=Purpose.TRIAL)
    folder_import.import_folder(None, batch=batch, folder=tmp_path, labels=True)
    assert set(batch.inspections.values_list("reference_label", flat=True)) == {"good", "bridge"}


def test_import_of_what_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a folder"):
        folder_import.import_folder(None, dataset=DatasetFactory(), folder=tmp_path / "nowhere")
