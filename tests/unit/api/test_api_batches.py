"""Batches as programs list them."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from inspection.models import Verdict
from tests.factories.api_key import Program, key_of
from tests.factories.jobs import make_batch, make_chunk, make_inspection
from tests.factories.user import UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def mes() -> Program:
    return Program(key_of(UserFactory(role="inspector")))


def test_each_batch_of_a_page_has_its_own_counts(mes: Program) -> None:
    empty, full = make_batch(), make_batch(sealed_at=timezone.now())
    done = {"verdict": Verdict.PASSED, "disposition": "auto", "completed_at": timezone.now()}
    make_chunk(full, started_at=timezone.now())
    for _ in range(2):
        make_inspection(full, **done)
    make_inspection(full)
    listed = {row["id"]: row["counts"] for row in mes.json("GET", "batches").json()["results"]}
    for batch in (empty, full):
        assert listed[str(batch.pk)] == mes.json("GET", f"batches/{batch.pk}").json()["counts"]
    assert (listed[str(empty.pk)]["total"], listed[str(empty.pk)]["state"]) == (0, "open")
    counts = listed[str(full.pk)]
    assert (counts["total"], counts["passed"], counts["state"]) == (3, 2, "scoring")


def test_a_list_asks_a_fixed_number_of_questions(mes: Program) -> None:
    make_inspection(make_batch())
    mes.json("GET", "batches")  # notes that the key is used, once a minute
    with CaptureQueriesContext(connection) as few:
        mes.json("GET", "batches")
    for _ in range(6):
        make_inspection(make_batch())
    with CaptureQueriesContext(connection) as many:
        assert len(mes.json("GET", "batches").json()["results"]) == 7
    assert len(many) == len(few)
