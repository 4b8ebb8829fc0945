"""Models, by program: what asking twice does."""

import pytest

from inspection.models import ModelVersion
from inspection.services import models
from tests.factories.api_key import Program, key_of
from tests.factories.jobs import make_version
from tests.factories.user import UserFactory

pytestmark = pytest.mark.django_db
State = ModelVersion.State


def test_a_rollback_that_is_asked_again_goes_back_one_step_only() -> None:
    program = Program(key_of(UserFactory(role="engineer")))
    first = make_version()
    second, third = (make_version(first.viewpoint, state=State.CANDIDATE) for _ in range(2))
    models.promote(None, second, "better")
    models.promote(None, third, "better still")
    back = f"models/{third.pk}/rollback"
    done = program.json("POST", back, {"reason": "lot 7"})
    assert (done.status_code, done.json()["id"]) == (200, str(second.pk))
    again = program.json("POST", back, {"reason": "lot 7"})
    assert (again.status_code, again.json()["code"]) == (409, "not_active")
    second.refresh_from_db()
    assert second.state == State.ACTIVE
