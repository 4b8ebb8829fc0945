"""What a CFX endpoint answers, and what it takes over."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from inspection.exchange.cfx import bodies
from inspection.exchange.cfx.envelopes import Envelope
from inspection.exchange.cfx.events import INSPECTED
from inspection.exchange.cfx.options import CfxOptions
from inspection.exchange.cfx.requests import answer
from inspection.models import (
    AuditEvent,
    Endpoint,
    Inspection,
    ModelVersion,
    OutboxEvent,
    Product,
    ReasonCode,
    Review,
    Role,
    TrainingRun,
    Viewpoint,
)
from tests.factories.inspection import InspectionFactory
from tests.factories.membership import MembershipFactory
from tests.factories.model_version import ModelVersionFactory
from tests.factories.training_run import TrainingRunFactory

pytestmark = pytest.mark.django_db
HANDLE, MES = "Kintsugi.Inspection.LINE1", "Plant.Mes.1"


def endpoint(**options: Any) -> Endpoint:
    given = {"handle": HANDLE, "address": "/exchange/cfx/k", "request_address": "/amq/queue/r"}
    return Endpoint.objects.create(
        kind=Endpoint.Kind.CFX,
        name="line 1",
        address="amqp://127.0.0.1",
        options={**given, **options},
    )


def ask(name: str, to: Endpoint, *, target: str | None = HANDLE, **body: Any) -> Envelope | None:
    asked = Envelope(name, body, MES, uuid4(), datetime.now(UTC), target, "R-1")
    return answer(to, CfxOptions.of(to), asked)


def result(told: Envelope | None) -> dict[str, Any]:
    assert told is not None
    said: dict[str, Any] = told.body.get("Result") or told.body["RequestResult"]
    return said


def test_are_you_there() -> None:
    told = ask("CFX.AreYouThereRequest", endpoint(), CFXHandle=HANDLE)

    assert told is not None
    assert (told.name, told.target, told.request_id) == ("CFX.AreYouThereResponse", MES, "R-1")
    assert told.body["CFXHandle"] == HANDLE
    assert told.body["RequestNetworkUri"] == "amqp://127.0.0.1:5672/"
    assert told.body["RequestTargetAddress"] == "/amq/queue/r"


def test_nobody_else_is_asked_for_here() -> None:
    one = endpoint()

    assert ask("CFX.AreYouThereRequest", one, CFXHandle="Other.One.2") is None
    assert ask("CFX.AreYouThereRequest", one, target="Other.One.2", CFXHandle=HANDLE) is None


@pytest.mark.parametrize(
    ("kind", "topics", "answered"),
    [
        ("Ignore", ["CFX.Maintenance"], True),
        ("All", ["CFX.Production"], True),
        ("All", ["CFX.Production", "CFX.Maintenance"], False),
        ("Any", ["CFX.Production", "CFX.Maintenance"], True),
        ("Any", ["CFX.Maintenance"], False),
        (None, [], True),
    ],
)
def test_who_is_there(kind: str | None, topics: list[str], answered: bool) -> None:
    asked = [{"TopicName": name} for name in topics]
    told = ask(
        "CFX.WhoIsThereRequest",
        endpoint(),
        target=None,
        SupportedTopicQueryType=kind,
        SupportedTopics=asked,
    )
    assert (told is not None) == answered


def test_information_says_what_it_takes() -> None:
    told = ask("CFX.GetEndpointInformationRequest", endpoint(may_activate=True), CFXHandle=HANDLE)

    assert told is not None
    about = told.body["EndpointInformation"]
    assert (about["CFXHandle"], about["CFXVersion"]) == (HANDLE, "2.1")
    kinds = {one["TopicName"]: one["TopicSupportType"] for one in about["SupportedTopics"]}
    assert kinds["CFX.Production"] == "PublisherConsumer"
    assert kinds["CFX.Production.TestAndInspection"] == "Publisher"


def test_an_unknown_request_is_refused_by_the_word_of_the_standard() -> None:
    told = ask("CFX.Production.LockStationRequest", endpoint())

    assert told is not None
    assert told.name == "CFX.NotSupportedResponse"
    assert result(told)["Result"] == "Failed"


def test_what_tells_and_what_is_our_own_gets_no_answer() -> None:
    one = endpoint()

    assert ask("CFX.Heartbeat", one) is None
    own = Envelope("CFX.AreYouThereRequest", {}, HANDLE, uuid4(), datetime.now(UTC))
    assert answer(one, CfxOptions.of(one), own) is None


# --- ActivateRecipe ----------------------------------------------------------------------


@pytest.fixture
def second() -> ModelVersion:
    """The model that judges; `model-1` of the same viewpoint judged before it."""
    first = ModelVersionFactory(number=1, promoted_at=datetime.now(UTC), state="retired")
    return ModelVersionFactory(
        training_run=run_beside(first), number=2, promoted_at=datetime.now(UTC)
    )


def run_beside(version: ModelVersion) -> TrainingRun:
    """Another run of the same viewpoint, on the same snapshot."""
    made: TrainingRun = TrainingRunFactory(
        viewpoint=version.viewpoint,
        snapshot__dataset=version.training_run.snapshot.dataset,
        state="done",
    )
    return made


def activate(to: Endpoint, version: ModelVersion, revision: str) -> Envelope | None:
    name = version.viewpoint.recipe_name
    return ask("CFX.Production.ActivateRecipeRequest", to, RecipeName=name, Revision=revision)


def active(version: ModelVersion) -> int:
    number: int = version.viewpoint.model_versions.get(state="active").number
    return number


def test_a_recipe_is_chosen_among_models_that_judged(second: ModelVersion) -> None:
    one = endpoint(may_activate=True)
    told = activate(one, second, "model-1")

    assert told is not None
    assert told.name == "CFX.Production.ActivateRecipeResponse"
    assert result(told)["Result"] == "Success"
    assert active(second) == 1
    line = AuditEvent.objects.get(action="model.chosen")
    assert (line.actor_name, line.reason) == ("system", "by CFX endpoint line 1")


def test_the_same_again_changes_nothing(second: ModelVersion) -> None:
    one = endpoint(may_activate=True)

    for revision in ("model-2", ""):
        assert result(activate(one, second, revision))["Result"] == "Success"
    assert active(second) == 2
    assert not AuditEvent.objects.filter(action="model.chosen").exists()


def test_a_model_that_never_judged_is_not_chosen(second: ModelVersion) -> None:
    ModelVersionFactory(training_run=run_beside(second), number=3, state="candidate")
    refused = result(activate(endpoint(may_activate=True), second, "model-3"))

    assert refused["Result"] == "Failed"
    assert "never promoted" in refused["Message"]
    assert active(second) == 2


def test_unknown_recipes_and_revisions_are_refused(second: ModelVersion) -> None:
    one = endpoint(may_activate=True)

    for revision in ("model-99", "17", "model-"):
        assert result(activate(one, second, revision))["Result"] == "Failed"
    unknown = ask("CFX.Production.ActivateRecipeRequest", one, RecipeName="X/y", Revision="model-1")
    assert result(unknown)["Result"] == "Failed"


@pytest.mark.parametrize(
    ("part", "view", "other_part", "other_view"),
    [
        ("PN/7", "main", "PN", "main"),
        ("PN/7", "main", "PN", "8"),
        ("PN", "7", "PN/8", "main"),
        ("PN/7", "back", "PN", "back"),
        ("PN", "7/back", "PN/7", "main"),
        ("PN", "Top", "PN/Top", "left"),
    ],
)
def test_the_name_that_is_told_chooses_among_the_models_that_it_was_told_of(
    second: ModelVersion, part: str, view: str, other_part: str, other_view: str
) -> None:
    other = ModelVersionFactory(number=1, promoted_at=datetime.now(UTC), state="retired")
    ModelVersionFactory(training_run=run_beside(other), number=2, promoted_at=datetime.now(UTC))
    for one, code, seen in ((second, part, view), (other, other_part, other_view)):
        Product.objects.filter(pk=one.viewpoint.product_id).update(code=code)
        Viewpoint.objects.filter(pk=one.viewpoint_id).update(code=seen)
    to = endpoint(may_activate=True)
    name = Viewpoint.objects.get(pk=second.viewpoint_id).recipe_name

    for said, revision in ((name, "model-1"), (name.lower(), "model-2"), (name, "model-1")):
        told = ask("CFX.Production.ActivateRecipeRequest", to, RecipeName=said, Revision=revision)
        assert result(told)["Result"] == "Success"
    assert (active(second), active(other)) == (1, 2)
    told_of = OutboxEvent.objects.filter(type="model.promoted")
    names = [bodies.recipe_activated(event.payload)["RecipeName"] for event in told_of]
    assert names == [name] * 3


def test_a_name_of_two_recipes_chooses_neither(second: ModelVersion) -> None:
    other = ModelVersionFactory(number=2, promoted_at=datetime.now(UTC))
    Product.objects.filter(pk=second.viewpoint.product_id).update(code="PN/7")
    Product.objects.filter(pk=other.viewpoint.product_id).update(code="PN")
    Viewpoint.objects.filter(pk=other.viewpoint_id).update(code="7")
    one = endpoint(may_activate=True)
    told = ask("CFX.Production.ActivateRecipeRequest", one, RecipeName="PN/7", Revision="model-1")
    assert "Two recipes are called PN/7" in result(told)["Message"]
    assert active(second) == 2
    one.product = second.viewpoint.product  # of this product there is one only
    told = ask("CFX.Production.ActivateRecipeRequest", one, RecipeName="PN/7", Revision="model-1")
    assert (result(told)["Result"], active(second)) == ("Success", 1)


def test_a_name_of_nothing_but_slashes_is_an_unknown_recipe(second: ModelVersion) -> None:
    one = endpoint(may_activate=True)
    for name in ("/", "/" * 5000, "PN/", "/main", ""):
        told = ask("CFX.Production.ActivateRecipeRequest", one, RecipeName=name, Revision="")
        assert result(told)["Result"] == "Failed"


def test_an_endpoint_that_may_not_choose_says_so(second: ModelVersion) -> None:
    told = activate(endpoint(), second, "model-1")

    assert told is not None
    assert told.name == "CFX.NotSupportedResponse"
    assert active(second) == 2


def test_an_endpoint_of_one_product_chooses_for_no_other(second: ModelVersion) -> None:
    one = endpoint(may_activate=True)
    one.product = ModelVersionFactory().viewpoint.product

    assert result(activate(one, second, "model-1"))["Result"] == "Failed"
    assert active(second) == 2


# --- verification states -----------------------------------------------------------------


@pytest.fixture
def inspection() -> Inspection:
    made: Inspection = InspectionFactory()
    return made


def verify(to: Endpoint, key: object, state: str, code: str = "") -> None:
    said = {
        "UniqueIdentifier": str(key),
        "Verification": state,
        "DefectsFound": [{"DefectCode": code}],
    }
    units = [{"UnitIdentifier": "SN1", "Inspections": [said]}]
    assert ask(INSPECTED, to, target=None, InspectedUnits=units) is None


def test_a_repair_station_says_what_became_of_a_part(inspection: Inspection) -> None:
    product = inspection.viewpoint.product
    member = MembershipFactory(product=product, role=Role.INSPECTOR)
    ReasonCode.objects.create(product=product, code="BRIDGE", text="Solder bridge")
    one = endpoint(reviewer=member.user.username)
    verify(one, inspection.pk, "DefectConfirmed", "BRIDGE")
    verify(one, inspection.pk, "DefectConfirmed", "BRIDGE")  # the broker delivers it twice

    inspection.refresh_from_db()
    assert inspection.review_state == "DefectConfirmed"
    review = Review.objects.get(inspection=inspection)
    assert review.author == member.user
    assert review.reason_code is not None
    assert review.reason_code.code == "BRIDGE"
    assert review.comment == f"{MES} by CFX endpoint line 1"


@pytest.mark.parametrize("state", ["NotVerifiedYet", "Nonsense", ""])
def test_a_state_that_says_nothing_changes_nothing(inspection: Inspection, state: str) -> None:
    member = MembershipFactory(product=inspection.viewpoint.product, role=Role.INSPECTOR)
    verify(endpoint(reviewer=member.user.username), inspection.pk, state)
    assert not Review.objects.exists()


def test_without_a_reviewer_or_with_one_who_may_not_nothing_is_taken_over(
    inspection: Inspection,
) -> None:
    viewer = MembershipFactory(product=inspection.viewpoint.product, role=Role.VIEWER)
    one = endpoint(reviewer=viewer.user.username)
    verify(one, inspection.pk, "DefectConfirmed")
    one.options["reviewer"] = ""
    verify(one, inspection.pk, "DefectConfirmed")
    assert not Review.objects.exists()


@pytest.mark.parametrize("key", ["", "nonsense", "0190f000-0000-7000-8000-000000000001"])
def test_parts_of_others_are_passed_over(inspection: Inspection, key: str) -> None:
    member = MembershipFactory(product=inspection.viewpoint.product, role=Role.INSPECTOR)
    verify(endpoint(reviewer=member.user.username), key, "DefectConfirmed")
    assert not Review.objects.exists()


@pytest.mark.parametrize("units", [None, "x", [1], [{"Inspections": ["x", None]}], [{}]])
def test_other_forms_are_passed_over(inspection: Inspection, units: Any) -> None:
    member = MembershipFactory(product=inspection.viewpoint.product, role=Role.INSPECTOR)
    one = endpoint(reviewer=member.user.username)
    assert ask(INSPECTED, one, InspectedUnits=units) is None
