"""Good parts that were called wrongly, by program: learned by the next run."""

from uuid import uuid4

import pytest

from inspection.models import (
    SCOPES,
    AuditEvent,
    DatasetImage,
    Inspection,
    ReviewState,
    Role,
    Viewpoint,
)
from inspection.services import golden
from tests.factories.api_key import Program, key_of
from tests.factories.inspection import inspected, rejected
from tests.factories.jobs import make_version
from tests.factories.membership import MembershipFactory
from tests.factories.user import UserFactory

pytestmark = pytest.mark.django_db
AT = "inspections/learn"


@pytest.fixture
def viewpoint() -> Viewpoint:
    return make_version().viewpoint


@pytest.fixture
def program() -> Program:
    return Program(key_of(UserFactory(username="ida", role="engineer")))


def chosen(*inspections: Inspection) -> dict[str, list[str]]:
    return {"inspections": [str(one.pk) for one in inspections]}


def test_false_calls_and_passed_parts_join_the_good_parts_of_their_viewpoints(
    program: Program, viewpoint: Viewpoint
) -> None:
    other = make_version().viewpoint
    parts = [rejected(viewpoint), inspected(viewpoint, verdict="Passed"), rejected(other)]
    done = program.json("POST", AT, chosen(*parts))
    assert done.status_code == 201, done.content
    told = done.json()
    assert (told["added"], told["already"]) == (3, 0)
    assert sorted(told["viewpoints"]) == sorted([str(viewpoint.pk), str(other.pk)])
    assert {item.origin for item in DatasetImage.objects.all()} == set(parts)
    events = AuditEvent.objects.filter(action="dataset.learned")
    assert {(one.actor_name, one.product) for one in events} == {
        ("ida", viewpoint.product),
        ("ida", other.product),
    }
    again = program.json("POST", AT, chosen(parts[0], parts[0]))
    assert (again.status_code, again.json()["added"], again.json()["already"]) == (200, 0, 1)


def test_one_that_may_not_be_learned_refuses_all(program: Program, viewpoint: Viewpoint) -> None:
    good = rejected(viewpoint)
    held = inspected(viewpoint, verdict="Passed")
    golden.take_over(None, held, label="", must=True)
    before = DatasetImage.objects.count()
    refused = {
        "confirmed_defect": inspected(viewpoint, review_state=ReviewState.CONFIRMED),
        "not_verified": inspected(viewpoint),
        "golden_part": held,
    }
    for code, part in refused.items():
        answer = program.json("POST", AT, chosen(good, part))
        assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert DatasetImage.objects.count() == before


def test_a_part_that_is_not_there_is_pointed_at(program: Program, viewpoint: Viewpoint) -> None:
    hidden = Program(key_of(MembershipFactory(role=Role.ADMINISTRATOR).user))
    gone = {"inspections": [str(uuid4())]}
    for who, body in ((program, gone), (hidden, chosen(rejected(viewpoint)))):
        answer = who.json("POST", AT, body)
        assert (answer.status_code, answer.json()["code"]) == (422, "no_such_part")
        assert answer.json()["errors"][0]["pointer"] == "/inspections"


@pytest.mark.parametrize("wrong", [[], ["x"], "x", None, [str(uuid4())] * 2001])
def test_what_is_no_choice_is_refused(program: Program, wrong: object) -> None:
    answer = program.json("POST", AT, {"inspections": wrong})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"].startswith("/inspections")


def test_it_takes_an_engineer_and_the_scope_of_datasets(viewpoint: Viewpoint) -> None:
    part = chosen(rejected(viewpoint))
    inspector = Program(key_of(UserFactory(role="inspector")))
    assert inspector.json("POST", AT, part).status_code == 403
    owner = UserFactory(role="engineer")
    mes = Program(key_of(owner, [one for one in SCOPES if one != "datasets:write"]))
    assert mes.json("POST", AT, part).status_code == 403
    assert not DatasetImage.objects.exists()
