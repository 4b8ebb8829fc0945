"""Events: one per cause, in its transaction, for whoever listens."""

import hashlib
import json
import threading
import time
from collections import Counter
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from inspection import tasks
from inspection.jobs.claim import claim
from inspection.models import (
    Batch,
    Delivery,
    Disposition,
    DriftAlert,
    Endpoint,
    EventType,
    ImageResult,
    Inspection,
    JobState,
    ModelVersion,
    OutboxEvent,
    Purpose,
    ReviewState,
    ScoringChunk,
    Submission,
    TrainingRun,
    User,
    Verdict,
)
from inspection.services import batch_end, batches, drift, models, outbox, scoring, training
from inspection.services.registering import finish_run
from inspection.services.reviews import record_review, undo_review
from inspection.services.run_body import end_run
from inspection.services.verdicts import complete
from tests.factories.exchange import EndpointFactory
from tests.factories.inspection import InspectionFactory
from tests.factories.jobs import (
    make_batch,
    make_chunk,
    make_inspection,
    make_run,
    make_version,
)
from tests.factories.station import StationFactory
from tests.factories.unit import UnitFactory
from tests.factories.user import UserFactory
from tests.threads import at_once

LONG_AGO = timedelta(days=1)


@pytest.fixture
def listener(db: None) -> Endpoint:
    return EndpointFactory()


@pytest.fixture
def engineer(db: None) -> User:
    return UserFactory(role="engineer")


def types() -> dict[str, int]:
    return dict(Counter(OutboxEvent.objects.values_list("type", flat=True)))


def judge(inspection: Inspection) -> bool:
    """Give it the verdict Failed, as a worker does."""
    result = ImageResult(
        inspection=inspection,
        picture=inspection.pictures.get(),
        model_version=inspection.model_version,
        operating_point=inspection.operating_point,
        verdict=Verdict.FAILED,
        disposition=Disposition.AUTO,
        score=1.2,
    )
    with transaction.atomic():
        result.save(force_insert=True)
        return complete(inspection, [result])


# --- verdicts ----------------------------------------------------------------------------


def test_a_verdict_is_told_once_to_everybody_who_listens(listener: Endpoint) -> None:
    other = EndpointFactory(event_types=[EventType.INSPECTION_COMPLETED])
    EndpointFactory(event_types=[EventType.RUN_FINISHED])
    EndpointFactory(disabled_at=timezone.now())
    inspection = make_inspection(make_batch())
    Inspection.objects.update(updated_at=timezone.now() - LONG_AGO)
    assert judge(inspection)
    assert not complete(inspection, list(inspection.results.all())), "it has one already"
    event = OutboxEvent.objects.get()
    assert (event.type, event.sequence_key) == (
        "inspection.completed",
        f"inspection:{inspection.pk}",
    )
    assert event.payload["result"] == "Failed"
    assert event.payload["decision_of_record"] is True, "written after it was settled"
    assert set(event.deliveries.values_list("endpoint", flat=True)) == {listener.pk, other.pk}
    inspection.refresh_from_db()
    assert inspection.updated_at == inspection.completed_at


def test_where_nobody_listens_a_verdict_costs_one_query_more(db: None) -> None:
    batch = make_batch()
    one, two, three = (make_inspection(batch) for _ in range(3))
    judge(one)  # the first of an hour writes a new row of its sums
    with CaptureQueriesContext(connection) as alone:
        judge(two)
    asked = [q["sql"] for q in alone if "endpoint" in q["sql"].lower()]
    assert len(asked) == 1
    EndpointFactory()
    with CaptureQueriesContext(connection) as heard:
        judge(three)
    assert len(heard) >= len(alone) + 3, "facts, event and delivery are there only for a listener"


def test_parts_of_trials_are_nobodys_business(listener: Endpoint) -> None:
    judge(make_inspection(make_batch(purpose=Purpose.TRIAL)))
    assert types() == {}


def test_an_event_of_another_product_is_not_for_a_products_endpoint(listener: Endpoint) -> None:
    mine, other = make_inspection(make_batch()), make_inspection(make_batch())
    Endpoint.objects.filter(pk=listener.pk).update(product=mine.viewpoint.product)
    judge(mine)
    judge(other)
    assert OutboxEvent.objects.get().product == mine.viewpoint.product


def test_what_is_told_goes_back_with_its_cause(listener: Endpoint) -> None:
    inspection = make_inspection(make_batch())

    class Broken(Exception):
        pass

    def judged_and_broken() -> None:
        with transaction.atomic():
            assert judge(inspection)
            assert OutboxEvent.objects.count() == Delivery.objects.count() == 1
            raise Broken

    with pytest.raises(Broken):
        judged_and_broken()
    assert OutboxEvent.objects.count() == Delivery.objects.count() == 0


def test_a_failed_write_of_the_event_takes_the_verdict_back(
    listener: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason to write both in one transaction: never a verdict without its event."""
    inspection = make_inspection(make_batch())
    monkeypatch.setattr(outbox, "verdict_facts", lambda _: {"not": {"json"}})
    with pytest.raises(TypeError):
        judge(inspection)
    inspection.refresh_from_db()
    assert inspection.verdict == ""


def test_skipped_parts_and_errors_are_told_too(listener: Endpoint) -> None:
    batch = make_batch()
    chunk = make_chunk(batch, state=JobState.FAILED, error="the model is gone.")
    make_inspection(batch, chunk=chunk)
    make_inspection(batch)
    done = make_inspection(batch, verdict=Verdict.PASSED, completed_at=timezone.now())
    Inspection.objects.update(updated_at=timezone.now() - LONG_AGO)
    scoring.settle_chunk(chunk)
    batches.cancel_batch(None, batch)
    told = OutboxEvent.objects.filter(type=EventType.INSPECTION_COMPLETED).order_by("id")
    assert [event.payload["result"] for event in told] == ["Error", "Skipped"]
    fresh = Inspection.objects.filter(updated_at__gt=timezone.now() - LONG_AGO / 2)
    assert fresh.count() == 2
    assert done not in fresh


def test_events_of_one_unit_share_their_key_and_their_order(
    listener: Endpoint, engineer: User
) -> None:
    batch = make_batch()
    unit = UnitFactory(product=batch.viewpoint.product)
    inspection = make_inspection(batch, unit=unit)
    judge(inspection)
    inspection.refresh_from_db()
    record_review(engineer, inspection, state=ReviewState.CONFIRMED)
    told = Delivery.objects.filter(sequence_key=f"unit:{unit.pk}").order_by("event_id")
    assert [one.event.type for one in told] == ["inspection.completed", "review.recorded"]


# --- reviews -----------------------------------------------------------------------------


def test_reviews_undos_and_second_looks_are_told(listener: Endpoint, engineer: User) -> None:
    part = InspectionFactory()
    Inspection.objects.update(updated_at=timezone.now() - LONG_AGO)
    review = record_review(engineer, part, state=ReviewState.REJECTED, comment="dust")
    at_review = Inspection.objects.get().updated_at
    other = UserFactory(role="inspector")
    record_review(other, part, state=ReviewState.CONFIRMED, look="second")
    undo_review(engineer, review)
    told = list(OutboxEvent.objects.filter(type=EventType.REVIEW_RECORDED).order_by("id"))
    assert [(e.payload["review"]["state"], e.payload["review"]["look"]) for e in told] == [
        ("DefectRejected", "first"),
        ("DefectConfirmed", "second"),
        ("NotVerifiedYet", "first"),
    ]
    assert told[0].payload["inspection"]["verification"] == "DefectRejected"
    assert told[0].payload["review"]["comment"] == "dust"
    assert told[2].payload["review"]["undoes"] == str(review.pk)
    assert timezone.now() - LONG_AGO / 2 < at_review < Inspection.objects.get().updated_at


def test_a_refused_review_tells_nothing(listener: Endpoint, engineer: User) -> None:
    part = InspectionFactory()
    Inspection.objects.update(review_state=ReviewState.ACCEPTED)
    with pytest.raises(Exception, match="judged this part a moment ago"):
        record_review(engineer, part, state=ReviewState.CONFIRMED)
    assert types() == {}


# --- batches -----------------------------------------------------------------------------


def ends(batch: Batch) -> int:
    return OutboxEvent.objects.filter(sequence_key=f"batch:{batch.pk}").count()


def test_a_batch_is_done_when_sealed_and_judged_whichever_comes_last(listener: Endpoint) -> None:
    sealed_first, judged_first = make_batch(), make_batch()
    first, second = make_inspection(sealed_first), make_inspection(judged_first)
    batches.seal(None, sealed_first)
    assert ends(sealed_first) == 0
    judge(first)
    judge(second)
    assert batch_end.settle(sealed_first.pk)
    assert not batch_end.settle(sealed_first.pk)
    assert not batch_end.settle(judged_first.pk), "more may come"
    batches.seal(None, judged_first)
    batches.seal(None, judged_first)
    assert ends(sealed_first) == ends(judged_first) == 1
    event = OutboxEvent.objects.get(sequence_key=f"batch:{judged_first.pk}")
    assert event.payload["counts"]["failed"] == 1
    assert event.payload["completed_at"] is not None


def test_an_empty_batch_and_a_cancelled_one_are_done(listener: Endpoint) -> None:
    empty, cancelled = make_batch(), make_batch()
    batches.seal(None, empty)
    make_inspection(cancelled)
    batches.cancel_batch(None, cancelled)
    assert ends(empty) == ends(cancelled) == 1
    last = OutboxEvent.objects.order_by("id").last()
    assert last is not None
    assert last.payload["counts"]["state"] == "cancelled"


def test_a_cancelled_batch_of_many_parts_is_told_in_few_queries(listener: Endpoint) -> None:
    small, large = make_batch(make_version()), make_batch(make_version())
    counts = []
    for batch, parts in ((small, 3), (large, 30)):
        for _ in range(parts):
            make_inspection(batch)
        with CaptureQueriesContext(connection) as asked:
            batches.cancel_batch(None, batch)
        counts.append(len(asked))
        told = OutboxEvent.objects.filter(payload__batch=str(batch.pk))
        assert told.filter(type=EventType.INSPECTION_COMPLETED).count() == parts
    assert Delivery.objects.filter(endpoint=listener).count() == 33 + 2  # and both batches
    assert counts[0] == counts[1]


def test_what_the_reaper_gives_up_ends_its_batch(
    listener: Endpoint, django_capture_on_commit_callbacks: Any
) -> None:
    batch = make_batch(sealed_at=timezone.now())
    chunk = make_chunk(batch, state=JobState.RUNNING, token=uuid4(), attempt=4)
    make_inspection(batch, chunk=chunk)
    with django_capture_on_commit_callbacks(execute=True):
        tasks.reap()
    assert ScoringChunk.objects.get().state == JobState.FAILED
    assert types() == {"inspection.completed": 1, "batch.completed": 1}


def test_what_a_crash_left_untold_is_told_by_the_reaper(listener: Endpoint) -> None:
    batch = make_batch(sealed_at=timezone.now())
    make_inspection(batch, verdict=Verdict.PASSED, completed_at=timezone.now())
    make_batch()
    tasks.reap()
    tasks.reap()
    assert ends(batch) == 1
    assert types() == {"batch.completed": 1}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("turn", range(6))
def test_chunks_that_end_at_once_and_a_cancel_tell_of_the_batch_once(turn: int) -> None:
    """Each chunk skips its own parts in a transaction of its own; the last to commit must see
    them all. On SQLite they queue up anyway; PostgreSQL runs them side by side."""
    EndpointFactory()
    batch = make_batch()
    held = []
    for _ in range(4):
        chunk = make_chunk(batch)
        make_inspection(batch, chunk=chunk)
        one = claim(ScoringChunk, chunk.pk)
        assert one is not None
        held.append(one)
    ScoringChunk.objects.update(cancel_requested_at=timezone.now())
    ends_of_chunks = [partial(scoring._finish, one, Batch.objects.get(pk=batch.pk)) for one in held]
    cancel = partial(batches.cancel_batch, None, Batch.objects.get(pk=batch.pk))
    at_once([*ends_of_chunks, cancel], threads=5)
    assert not Inspection.objects.filter(batch=batch, verdict="").exists()
    assert types() == {"inspection.completed": 4, "batch.completed": 1}


@pytest.mark.django_db(transaction=True)
def test_a_part_that_is_judged_while_its_batch_is_sealed_does_not_lose_the_event() -> None:
    """The sealing saw it unjudged, and is not committed when its chunk ends: on PostgreSQL
    neither sees the other, unless the second waits for the first."""
    EndpointFactory()
    batch = make_batch()
    part = make_inspection(batch, chunk=make_chunk(batch))
    sealed = threading.Event()

    def seal() -> None:
        with transaction.atomic():
            batches.seal(None, Batch.objects.get(pk=batch.pk))
            sealed.set()
            time.sleep(1)

    def end() -> bool:
        sealed.wait(60)
        judge(part)
        return batch_end.settle(batch.pk)

    assert at_once([seal, end], threads=2) == [None, True]
    assert ends(batch) == 1


@pytest.mark.django_db(transaction=True)
def test_many_who_settle_one_batch_at_once_tell_of_it_once() -> None:
    EndpointFactory()
    batch = make_batch(sealed_at=timezone.now())
    said = at_once([lambda: batch_end.settle(batch.pk)] * 16)
    assert sorted(said) == [False] * 15 + [True]
    assert ends(batch) == 1


# --- runs, models, drift -----------------------------------------------------------------


def model_folder(folder: Path) -> Path:
    """What the training process leaves, without a network in it."""
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "weights.safetensors").write_bytes(b"weights")
    manifest = {
        "method": "paper",
        "files": {"weights.safetensors": hashlib.sha256(b"weights").hexdigest()},
        "scoring_backbone": {"name": "ssl_encoder", "stand_in": True},
        "scale": {"low": 0.0, "high": 2.0},
        "calibration": {"n": 40, "scores": [n / 40 for n in range(40)]},
    }
    (folder / "model" / "manifest.json").write_text(json.dumps(manifest))
    (folder / "state.json").write_text(json.dumps({"train": [], "calibration": []}))
    return folder


def test_a_run_that_makes_the_first_model_tells_of_both(listener: Endpoint, tmp_path: Path) -> None:
    held = claim(TrainingRun, make_run(preset="compact").pk)
    assert held is not None
    finish_run(held, model_folder(tmp_path))
    assert types() == {"run.finished": 1, "model.promoted": 1}
    event = OutboxEvent.objects.get(type=EventType.RUN_FINISHED)
    assert (event.payload["state"], event.payload["model_revision"]) == ("done", "model-1")


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
def test_a_run_without_a_model_is_told_once(listener: Endpoint, state: JobState) -> None:
    held = claim(TrainingRun, make_run().pk)
    assert held is not None
    end_run(held, state, error="no space left")
    end_run(held, state, error="too late")
    event = OutboxEvent.objects.get()
    assert (event.payload["state"], event.payload["error"]) == (state, "no space left")


def test_a_cancelled_run_is_told_when_it_ends(listener: Endpoint) -> None:
    queued, running = make_run(), make_run(state=JobState.RUNNING, token=uuid4())
    training.cancel_run(None, queued)
    training.cancel_run(None, running)
    assert OutboxEvent.objects.get().payload["id"] == str(queued.pk)
    TrainingRun.objects.filter(pk=running.pk).update(lease_expires_at=timezone.now() - LONG_AGO)
    tasks.reap()
    tasks.reap()
    assert types() == {"run.finished": 2}


def test_a_run_that_is_queued_again_has_not_finished(listener: Endpoint) -> None:
    make_run(state=JobState.RUNNING, token=uuid4(), attempt=1)
    tasks.reap()
    assert types() == {}


def test_promotion_and_rollback_name_what_they_replace(listener: Endpoint) -> None:
    before = make_version()
    after = make_version(before.viewpoint, state=ModelVersion.State.CANDIDATE)
    models.promote(None, after, "better light")
    models.rollback(None, after)
    told = OutboxEvent.objects.filter(type=EventType.MODEL_PROMOTED).order_by("id")
    names = [(e.payload["recipe"]["revision"], e.payload["replaces"]) for e in told]
    assert names == [(after.revision, before.revision), (before.revision, after.revision)]
    assert told[0].payload["reason"] == "better light"


def test_drift_is_told_when_it_begins(listener: Endpoint) -> None:
    version, station = make_version(), StationFactory()
    point = drift.Point(timezone.localdate(), 100, 0.5, 0.5, 0.1, 0.2, usual=False)
    for _ in range(2):
        drift._open(version.viewpoint_id, station.pk, version.pk, drift.Chart(0.15, [point]))
    assert DriftAlert.objects.count() == 1
    event = OutboxEvent.objects.get()
    assert event.type == EventType.DRIFT_ALERT
    assert event.payload["station_id"] == station.code


# --- callbacks ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://mes.example/line/7", True),
        ("https://MES.example:443/", True),
        ("https://mes.example:8443/", False),
        ("http://mes.example/", False),
        ("https://mes.example.evil.test/", False),
        ("https://mes.example@evil.test/", False),
        ("https://user:pw@mes.example/", False),
        ("https://mes.example:port/", False),
        ("ftp://mes.example/", False),
        ("", False),
    ],
)
def test_a_callback_needs_an_endpoint_of_the_same_origin(db: None, url: str, found: bool) -> None:
    endpoint = EndpointFactory(address="https://mes.example/hook")
    EndpointFactory(kind=Endpoint.Kind.MQTT, address="https://mes.example/hook")
    assert outbox.callback_endpoint(url, None) == (endpoint if found else None)


def test_a_disabled_endpoint_or_one_of_another_product_signs_nothing(db: None) -> None:
    inspection = make_inspection(make_batch())
    other = make_version().viewpoint.product
    EndpointFactory(address="https://mes.example/", disabled_at=timezone.now())
    EndpointFactory(address="https://mes.example/", product=other)
    url = "https://mes.example/x"
    assert outbox.callback_endpoint(url, inspection.viewpoint.product_id) is None


def submit(inspection: Inspection, url: str) -> None:
    Submission.objects.create(
        inspection=inspection,
        station=StationFactory(),
        external_id=str(uuid4()),
        owner=UserFactory(),
        idempotency_key=str(uuid4()),
        fingerprint="0" * 64,
        expires_at=timezone.now(),
        callback_url=url,
    )


def test_a_callback_gets_the_verdict_whatever_else_the_endpoint_wants(db: None) -> None:
    endpoint = EndpointFactory(
        address="https://mes.example/all", event_types=[EventType.RUN_FINISHED]
    )
    inspection = make_inspection(make_batch())
    submit(inspection, "https://mes.example/line/7")
    judge(inspection)
    delivery = Delivery.objects.get()
    assert (delivery.endpoint, delivery.address) == (endpoint, "https://mes.example/line/7")
    assert delivery.event.payload["external_id"] == inspection.submission.external_id


def test_a_callback_to_the_endpoints_own_address_is_one_delivery(db: None) -> None:
    EndpointFactory(address="https://mes.example/all")
    inspection = make_inspection(make_batch())
    submit(inspection, "https://mes.example/all")
    judge(inspection)
    assert Delivery.objects.get().address == ""
