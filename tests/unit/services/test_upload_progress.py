"""What a page is told while files come."""

import json
from itertools import count
from types import SimpleNamespace

import pytest

from inspection.live import push as live
from inspection.services import uploads
from tests.factories.files import picture, pictures, zipped
from tests.factories.upload import UploadFactory, send

pytestmark = pytest.mark.django_db


@pytest.fixture
def pushed(monkeypatch) -> list[dict]:
    """What browsers were told."""
    told: list[dict] = []
    monkeypatch.setattr(live, "_send", lambda topic, text: told.append(json.loads(text)))
    return told


@pytest.mark.django_db(transaction=True)
def test_progress_is_written_and_pushed_at_most_once_a_second(
    monkeypatch, pushed: list[dict]
) -> None:
    upload = UploadFactory(expected_files=1)
    send(upload, "a.zip", zipped(pictures(40)))
    ticks = count()  # a tenth of a second passes at every look at the clock
    clock = SimpleNamespace(monotonic=lambda: next(ticks) * 0.1)
    monkeypatch.setattr("inspection.services.unpacking.time", clock)
    uploads.unpack(upload.pk)
    mine = [message for message in pushed if message["topic"] == f"upload:{upload.pk}"]
    assert 3 <= len(mine) <= 6
    assert sum(len(message["receipts"]) for message in mine) == 40
    last = mine[-1]
    assert (last["done"], last["total"], last["state"]) == (40, 40, "done")
    first = mine[0]["receipts"][0]
    assert set(first) == {"client_key", "file_name", "outcome", "code", "message", "image_id"}
    upload.refresh_from_db()
    assert upload.progress["total"] == 40


def test_the_total_counts_what_is_in_the_zips() -> None:
    upload = UploadFactory(expected_files=3)
    send(upload, "a.png", picture(1))
    send(upload, "a.zip", zipped(pictures(10)))
    assert uploads.upload_progress(upload)["total"] == 3
    uploads.unpack(upload.pk)
    progress = uploads.upload_progress(upload)
    assert (progress["done"], progress["total"]) == (11, 12)
