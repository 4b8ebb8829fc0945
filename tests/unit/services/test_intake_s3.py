"""A watched prefix of an S3 store, against a real server of the protocol."""

import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.response import StreamingBody

from inspection.errors import UserError
from inspection.models import Inspection, Intake
from inspection.services import intake_looks
from inspection.services.intake_sources import source_of
from tests.factories.files import picture
from tests.factories.intake import IntakeFactory, look
from tests.processes import wait_for

pytestmark = pytest.mark.django_db
pytest.importorskip("moto.server", reason="moto[server] is not installed")
PLACE = "s3://plant/aoi3"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert server.poll() is None, "the S3 server ended at once"
        try:
            return bool(urllib.request.urlopen(f"{address}/moto-api/", timeout=5).status == 200)
        except (urllib.error.URLError, OSError):
            return False

    wait_for(answers, 60, "the S3 server answers")
    yield address
    server.kill()
    server.wait()


@pytest.fixture
def store(address: str, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[Any]:
    """A bucket of its own; credentials come from the environment, as in production."""
    import boto3

    settings.INTAKE_ROOTS = ["s3://plant"]
    for name, value in {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="plant")
    yield client
    urllib.request.urlopen(
        urllib.request.Request(f"{address}/moto-api/reset", method="POST"), timeout=30
    )


def put(store: Any, key: str, content: bytes) -> None:
    store.put_object(Bucket="plant", Key=key, Body=content)


def keys(store: Any) -> set[str]:
    found = store.list_objects_v2(Bucket="plant").get("Contents", ())
    return {one["Key"] for one in found}


def test_objects_become_inspections_and_are_left(store: Any) -> None:
    intake = IntakeFactory(location=PLACE)
    put(store, "aoi3/day1/L7_SN1_3.png", picture(1))
    put(store, "aoi3/what.png", picture(2))
    put(store, "aoi4/L7_SN9_3.png", picture(9))  # another prefix
    put(store, "aoi33/L7_SN8_3.png", picture(8))  # begins alike
    before = keys(store)
    look(intake)
    unit = Inspection.objects.get().unit
    assert (unit.serial_number, unit.position_number) == ("SN1", 3)
    said = dict(intake.files.values_list("path", "outcome"))
    assert said == {"day1/L7_SN1_3.png": "accepted", "what.png": "rejected"}
    assert keys(store) == before


def test_objects_are_moved_where_told(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_looks, "OTHER_NAME_STAYS_S", 0)
    intake = IntakeFactory(location=PLACE, afterwards=Intake.Afterwards.MOVE)
    for n in range(2):  # the second under the name of the first
        put(store, "aoi3/L7_SN1_1.png", picture(n))
        look(intake)
    put(store, "aoi3/what.png", picture(7))
    look(intake)
    there = keys(store)
    assert {"aoi3/processed/L7_SN1_1.png", "aoi3/rejected/what.png"} <= there
    assert len([key for key in there if key.startswith("aoi3/processed/")]) == 2
    assert Inspection.objects.count() == 2


def test_only_what_was_taken_is_deleted(store: Any) -> None:
    intake = IntakeFactory(location=PLACE, afterwards=Intake.Afterwards.DELETE)
    put(store, "aoi3/L7_SN1_1.png", picture(1))
    put(store, "aoi3/what.png", picture(2))
    look(intake)
    assert keys(store) == {"aoi3/what.png"}


def test_an_object_that_is_written_anew_waits_again(store: Any) -> None:
    intake = IntakeFactory(location=PLACE)
    put(store, "aoi3/L7_SN1_1.png", picture(1)[:500])
    look(intake, 1)
    put(store, "aoi3/L7_SN1_1.png", picture(1))
    look(intake, 1)
    assert intake.files.get().outcome == "waiting"
    look(intake, 1)
    assert intake.files.get().outcome == "accepted"


def test_a_store_that_is_away_says_so(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    intake = IntakeFactory(location="s3://plant/aoi3")
    store.delete_bucket(Bucket="plant")
    assert "cannot be looked into" in look(intake, 1).last_error
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert "cannot be looked into" in look(intake, 1).last_error


# --- a newer object under the same key -----------------------------------------------------


@pytest.mark.parametrize("afterwards", [Intake.Afterwards.DELETE, Intake.Afterwards.MOVE])
def test_a_newer_object_is_never_deleted_unread(
    store: Any, monkeypatch: pytest.MonkeyPatch, afterwards: str
) -> None:
    intake = IntakeFactory(location=PLACE, afterwards=afterwards)
    put(store, "aoi3/L7_SN1_1.png", picture(1))
    look(intake, 1)
    read = intake_looks.store_image

    def read_and_write_anew(*args: Any) -> Any:
        kept = read(*args)
        put(store, "aoi3/L7_SN1_1.png", picture(2))
        return kept

    with monkeypatch.context() as patched:
        patched.setattr(intake_looks, "store_image", read_and_write_anew)
        look(intake, 1)
    assert "aoi3/L7_SN1_1.png" in keys(store)
    look(intake)
    assert Inspection.objects.count() == 2
    assert "aoi3/L7_SN1_1.png" not in keys(store)


def test_the_store_is_told_what_may_be_deleted(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between our last look and the deletion; a store that knows no condition says so."""
    put(store, "aoi3/L7_SN1_1.png", picture(1))
    bucket: Any = source_of(PLACE)
    seen = next(bucket.files())
    delete, said = bucket.client.delete_object, "PreconditionFailed"

    def answer(**asked: Any) -> Any:
        if "IfMatch" in asked:
            raise ClientError({"Error": {"Code": said}}, "DeleteObject")
        return delete(**asked)

    monkeypatch.setattr(bucket.client, "delete_object", answer)
    with pytest.raises(UserError) as refused:
        bucket.delete(seen)
    assert refused.value.code == "changed"
    assert keys(store)
    said = "NotImplemented"
    bucket.delete(seen)
    assert not keys(store)


def test_the_same_object_put_back_is_a_new_file(store: Any) -> None:
    intake = IntakeFactory(location=PLACE, afterwards=Intake.Afterwards.DELETE)
    for _ in range(2):  # the same bytes have the same ETag
        put(store, "aoi3/L7_SN1_1.png", picture(1))
        look(intake)
        assert not keys(store)
    assert list(intake.files.order_by("id").values_list("outcome", flat=True)) == [
        "accepted",
        "duplicate",
    ]


# --- much, and what breaks -----------------------------------------------------------------


def test_every_object_is_come_to_however_short_the_looks(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_looks, "LOOK_S", -1)  # one object a look
    intake = IntakeFactory(location=PLACE)
    names = [f"L7_SN{n}_1.png" for n in range(4)]
    for n, name in enumerate(names):
        put(store, f"aoi3/{name}", picture(n))
    look(intake, 10)
    assert Inspection.objects.count() == 4
    put(store, "aoi3/L7_SN01_1.png", picture(9))  # sorts in the middle
    look(intake, 12)
    assert Inspection.objects.count() == 5


def test_what_was_put_away_is_passed_over_at_once(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from inspection.services import intake_bucket

    monkeypatch.setattr(intake_bucket, "PAGE", 2)
    for n in range(9):
        put(store, f"aoi3/processed/{n}.png", b"")
        put(store, f"aoi3/rejected/{n}.png", b"")
    for name in ("a1", "a2", "a3", "processed-not", "q", "rejectee", "z1", "z2", "z3"):
        put(store, f"aoi3/{name}.png", b"x")
    bucket: Any = source_of(PLACE)
    asked = []
    list_ = bucket.client.list_objects_v2
    monkeypatch.setattr(
        bucket.client, "list_objects_v2", lambda **what: asked.append(what) or list_(**what)
    )
    names = [seen.shown.removesuffix(".png") for seen in bucket.files()]
    assert names == ["a1", "a2", "a3", "processed-not", "q", "rejectee", "z1", "z2", "z3"]
    assert len(asked) <= 8
    behind = [seen.shown for seen in bucket.files(b"q.png")]
    assert behind == ["rejectee.png", "z1.png", "z2.png", "z3.png"]


def test_a_broken_connection_is_that_objects_matter(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    intake = IntakeFactory(location=PLACE)
    put(store, "aoi3/L7_SN1_1.png", picture(1))
    put(store, "aoi3/L7_SN2_1.png", picture(2))
    look(intake, 1)
    read, times = StreamingBody.read, []

    def broken_once(body: Any, amt: Any = None) -> bytes:
        times.append(1)
        if len(times) == 1:
            raise ReadTimeoutError(endpoint_url="http://store")
        return read(body, amt)

    with monkeypatch.context() as patched:
        patched.setattr(StreamingBody, "read", broken_once)
        look(intake, 1)
    said = dict(intake.files.values_list("path", "code"))
    assert said == {"L7_SN1_1.png": "unreadable", "L7_SN2_1.png": ""}
    look(intake, 1)
    assert Inspection.objects.count() == 2
