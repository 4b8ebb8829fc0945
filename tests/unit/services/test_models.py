"""Which model judges and where its limits lie, decided by one person after the other."""

import threading
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection, transaction

from inspection.errors import NotAllowed, UserError, WrongState
from inspection.models import AuditEvent, ModelVersion, Role
from inspection.services import batches, models
from inspection.services.locking import lock_row
from tests.factories.jobs import make_version
from tests.factories.membership import MembershipFactory
from tests.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)
State = ModelVersion.State


def candidate_beside(active: ModelVersion) -> ModelVersion:
    return make_version(active.viewpoint, state=State.CANDIDATE)


def draw(version: ModelVersion, alpha_fail: float) -> Any:
    own = ModelVersion.objects.get(pk=version.pk)  # each request reads its own row
    return models.set_operating_point(
        None, own, alpha_fail=alpha_fail, alpha_review=0.2, reason="cost of escapes"
    )


def while_locked(version: ModelVersion, change: Callable[[], None], call: Callable[[], Any]) -> Any:
    """Start `call` while another transaction holds the viewpoint and then makes `change`."""
    result: list[Any] = []

    def run() -> None:
        try:
            result.append(call())
        except UserError as error:
            result.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    with transaction.atomic():
        lock_row(version.viewpoint)
        thread.start()
        time.sleep(0.5)
        assert not result, "it did not wait for the viewpoint"
        change()
    thread.join(60)
    return result[0]


def test_limits_drawn_by_eight_at_once_are_all_on_record_and_one_is_in_force() -> None:
    version = make_version()
    alphas = [0.01 + n / 100 for n in range(8)]
    points = at_once([lambda a=a: draw(version, a) for a in alphas])
    assert sorted(point.number for point in points) == list(range(2, 10))
    in_force = version.operating_points.get(in_force=True)
    assert in_force.number == 9
    events = AuditEvent.objects.filter(action="model.operating_point").order_by("id")
    chain = [(event.before["alpha_fail"], event.after["alpha_fail"]) for event in events]
    assert all(after == before for (_, after), (before, _) in pairwise(chain))


def test_limits_that_cannot_be_promised_are_refused_with_the_number_that_could() -> None:
    version = make_version()
    with pytest.raises(UserError, match="needs 199 calibration pictures; this model has 99"):
        draw(version, 0.005)
    assert version.operating_points.count() == 1


def test_two_who_promote_at_once_leave_one_active_model() -> None:
    active = make_version()
    rivals = [candidate_beside(active) for _ in range(4)]
    calls = [lambda v=v: models.promote(None, v, "better") for v in rivals]
    at_once(calls, threads=4)
    states = list(active.viewpoint.model_versions.values_list("state", flat=True))
    assert sorted(states) == [State.ACTIVE] + [State.RETIRED] * 4


def test_who_promotes_waits_for_the_viewpoint_and_looks_again() -> None:
    active = make_version()
    version = candidate_beside(active)
    stale = ModelVersion.objects.get(pk=version.pk)

    def meanwhile() -> None:
        ModelVersion.objects.filter(pk=active.pk).update(state=State.RETIRED)
        ModelVersion.objects.filter(pk=version.pk).update(state=State.ACTIVE)

    refusal = while_locked(active, meanwhile, lambda: models.promote(None, stale, "better"))
    assert isinstance(refusal, WrongState)
    assert refusal.code == "already_active"


@pytest.mark.parametrize("named", [True, False])
def test_a_batch_is_never_opened_on_a_model_that_was_replaced_meanwhile(named: bool) -> None:
    active = make_version()
    newer = candidate_beside(active)
    stale = ModelVersion.objects.get(pk=active.pk) if named else None

    def meanwhile() -> None:
        ModelVersion.objects.filter(pk=active.pk).update(state=State.RETIRED)
        ModelVersion.objects.filter(pk=newer.pk).update(state=State.ACTIVE)

    def open_batch() -> Any:
        return batches.open_batch(
            None, active.viewpoint, name="Monday", purpose="production", model_version=stale
        )

    got = while_locked(active, meanwhile, open_batch)
    if named:
        assert isinstance(got, UserError)
        assert got.code == "not_promoted"
    else:
        assert got.model_version == newer


def test_promoting_takes_an_engineer_and_a_reason() -> None:
    version = candidate_beside(make_version())
    inspector = MembershipFactory(product=version.viewpoint.product, role=Role.INSPECTOR).user
    with pytest.raises(NotAllowed):
        models.promote(inspector, version, "better")
    with pytest.raises(UserError, match="Say why"):
        models.promote(None, version, " ")
