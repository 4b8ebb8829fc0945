"""Retraining plans by program: as the page sets them."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from inspection.models import AuditEvent, RetrainingPlan, Viewpoint
from inspection.services import retraining_plans
from inspection.services.retraining import Settings
from tests.factories.api_key import Program, key_of
from tests.factories.product import ProductFactory
from tests.factories.user import UserFactory
from tests.factories.viewpoint import ViewpointFactory

pytestmark = pytest.mark.django_db
LIST = "retraining_plans"


@pytest.fixture
def viewpoint() -> Viewpoint:
    return ViewpointFactory(product=ProductFactory(code="BOARD-A"))


@pytest.fixture
def program() -> Program:
    return Program(key_of(UserFactory(username="ida", role="engineer")))


@pytest.fixture
def plan(viewpoint: Viewpoint) -> RetrainingPlan:
    return retraining_plans.set_plan(
        None,
        viewpoint,
        every_days=30,
        on_drift=True,
        least_new=5,
        settings=Settings("tiny", "memory", 3),
    )


def planned() -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(action="retraining.planned").order_by("id"))


def test_a_plan_is_made_told_and_written_down(program: Program, viewpoint: Viewpoint) -> None:
    body = {"viewpoint": str(viewpoint.pk), "every_days": 7}
    made = program.json("POST", LIST, body)
    assert made.status_code == 201, made.content
    told = made.json()
    assert told == program.json("GET", f"{LIST}/{told['id']}").json()
    assert (told["every_days"], told["on_drift"], told["least_new"]) == (7, False, 20)
    assert (told["preset"], told["method"], told["budget_minutes"]) == ("compact", "fused", 10)
    assert (told["recipe"], told["changed_by"]) == ("BOARD-A", "ida")
    due = RetrainingPlan.objects.get().due_at
    assert due is not None
    assert timedelta(days=6) < due - timezone.now() <= timedelta(days=7)
    (event,) = planned()
    assert (event.actor_name, event.product, event.after["every_days"]) == (
        "ida",
        viewpoint.product,
        7,
    )


def test_a_second_one_replaces_the_first(
    program: Program, viewpoint: Viewpoint, plan: RetrainingPlan
) -> None:
    again = program.json("POST", LIST, {"viewpoint": str(viewpoint.pk), "on_drift": True})
    assert (again.status_code, again.json()["id"]) == (200, str(plan.pk))
    assert (again.json()["every_days"], again.json()["least_new"]) == (None, 20)
    assert RetrainingPlan.objects.count() == 1


def test_what_is_not_said_stays(program: Program, plan: RetrainingPlan) -> None:
    told = program.json("PATCH", f"{LIST}/{plan.pk}", {"least_new": 9}).json()
    kept = {name: told[name] for name in ("every_days", "on_drift", "preset", "method")}
    assert kept == {"every_days": 30, "on_drift": True, "preset": "tiny", "method": "memory"}
    assert (told["least_new"], told["budget_minutes"]) == (9, 3)
    before, due = planned()[-1], plan.due_at
    assert (before.before["least_new"], before.after["least_new"]) == (5, 9)
    plan.refresh_from_db()
    assert plan.due_at == due, "its turn comes when it came"


def test_it_is_switched_off(program: Program, plan: RetrainingPlan) -> None:
    RetrainingPlan.objects.update(drift_at=timezone.now())
    off = program.json("PATCH", f"{LIST}/{plan.pk}", {"every_days": None, "on_drift": False})
    assert (off.json()["due_at"], off.json()["drift_at"]) == (None, None)
    assert retraining_plans.start_due(timezone.now() + timedelta(days=99)) == []


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"every_days": 0}, "/every_days"),
        ({"every_days": 367}, "/every_days"),
        ({"least_new": -1}, "/least_new"),
        ({"on_drift": "often"}, "/on_drift"),
        ({"preset": "huge"}, "/preset"),
        ({"method": "magic"}, "/method"),
        ({"budget_minutes": 0}, "/budget_minutes"),
        ({"budget_minutes": 10081}, "/budget_minutes"),
        ({"due_at": "2026-01-01T00:00:00Z"}, "/due_at"),
    ],
)
def test_a_wrong_field_is_pointed_at(
    program: Program, plan: RetrainingPlan, fields: dict[str, Any], pointer: str
) -> None:
    for answer in (
        program.json("PATCH", f"{LIST}/{plan.pk}", fields),
        program.json("POST", LIST, {"viewpoint": str(plan.viewpoint_id), **fields}),
    ):
        assert answer.status_code == 422
        assert [one["pointer"] for one in answer.json()["errors"]] == [pointer]
    assert len(planned()) == 1


def test_a_plan_that_was_changed_meanwhile_is_not_overwritten(
    program: Program, plan: RetrainingPlan
) -> None:
    at = f"{LIST}/{plan.pk}"
    tag = program.json("GET", at)["ETag"]
    assert program.json("PATCH", at, {"least_new": 6}, **{"If-Match": tag}).status_code == 200
    assert program.json("PATCH", at, {"least_new": 7}, **{"If-Match": tag}).status_code == 412
    plan.refresh_from_db()
    assert plan.least_new == 6


def test_a_look_of_the_scheduler_is_no_change_of_a_plan(
    program: Program, plan: RetrainingPlan
) -> None:
    at = f"{LIST}/{plan.pk}"
    tag = program.json("GET", at)["ETag"]
    RetrainingPlan.objects.update(last_looked_at=timezone.now(), last_note="Too few new parts.")
    later = program.json("GET", at, **{"If-None-Match": tag})
    assert later.json()["last_note"] == "Too few new parts."
    assert program.json("PATCH", at, {"least_new": 6}, **{"If-Match": tag}).status_code == 200


def test_plans_are_listed_by_product_and_others_do_not_exist(
    program: Program, plan: RetrainingPlan
) -> None:
    ProductFactory(code="BOARD-B")
    assert len(program.json("GET", f"{LIST}?product=BOARD-A").json()["results"]) == 1
    assert program.json("GET", f"{LIST}?product=BOARD-B").json()["results"] == []
    stranger = Program(key_of(UserFactory()))
    assert stranger.json("GET", LIST).json()["results"] == []
    body = {"viewpoint": str(plan.viewpoint_id), "every_days": 1}
    assert stranger.json("POST", LIST, body).status_code == 422
    assert stranger.json("PATCH", f"{LIST}/{plan.pk}", {"every_days": 1}).status_code == 404
