"""The verification station through its pages: what is handed out, said, undone, and hidden."""

import json
from datetime import timedelta
from html import unescape

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from inspection.models import (
    Inspection,
    Look,
    Review,
    ReviewClaim,
    ReviewState,
    Role,
    Verdict,
)
from inspection.services import tallies
from inspection.services.reviews import record_review
from tests.factories.batch import BatchFactory
from tests.factories.inspection import ImageResultFactory, InspectionFactory
from tests.factories.membership import MembershipFactory
from tests.factories.review import ReasonCodeFactory, UnitFactory
from tests.factories.user import UserFactory
from tests.unit.web.conftest import signed_in

MOST = 20
JSON = {"Accept": "application/json"}


def make_parts(how_many: int = 3) -> list[Inspection]:
    batch = BatchFactory()
    product = batch.viewpoint.product
    ReasonCodeFactory(product=product, text="Solder bridge")
    made = []
    for _ in range(how_many):
        unit = UnitFactory(product=product)
        part = InspectionFactory(batch=batch, unit=unit, is_record=True)
        ImageResultFactory(picture__inspection=part)
        made.append(part)
    tallies.recount()
    return made


@pytest.fixture
def parts(db: None) -> list[Inspection]:
    return make_parts()


@pytest.fixture
def inspector(parts: list[Inspection]) -> Client:
    product = parts[0].viewpoint.product
    return signed_in(MembershipFactory(product=product, role=Role.INSPECTOR).user)


def say(client: Client, part: Inspection, **data: str):  # type: ignore[no-untyped-def]
    return client.post(reverse("review", args=[part.pk]), data, headers=JSON)


def test_the_page_hands_out_parts_and_holds_them(
    inspector: Client, parts: list[Inspection]
) -> None:
    page = inspector.get(reverse("verify"))
    text = page.content.decode()
    assert page["Cache-Control"].count("no-store")
    for part in parts:
        assert str(part.unit) in text
        assert f'id="p-{part.pk}"' in text
    assert "Failed by the model" in text
    assert "Solder bridge" in text
    assert ReviewClaim.objects.count() == len(parts)
    other = signed_in(UserFactory(role=Role.INSPECTOR)).get(reverse("verify")).content.decode()
    assert "Everything that is left is on somebody else" in other
    assert str(parts[0].unit) not in other


def test_more_parts_come_besides_those_at_hand(inspector: Client, parts: list[Inspection]) -> None:
    have = f"{parts[0].pk},{parts[1].pk},nonsense"
    more = inspector.post(reverse("verify_parts"), {"have": have}).content.decode()
    assert f'id="p-{parts[2].pk}"' in more
    assert f'id="p-{parts[0].pk}"' not in more


def test_a_review_is_said_undone_and_said_again(inspector: Client, parts: list[Inspection]) -> None:
    part = parts[0]
    reason = part.viewpoint.product.reason_codes.get()
    seen = {"seen": "NotVerifiedYet", "seen_at": ""}
    answer = say(
        inspector, part, state="DefectConfirmed", reason=str(reason.pk), comment="R22", **seen
    )
    body = answer.json()
    assert (answer.status_code, body["word"]) == (200, "Defect confirmed")
    part.refresh_from_db()
    assert (part.review_state, part.review_reason) == (ReviewState.CONFIRMED, reason)
    strip = inspector.get(reverse("verify")).content.decode()
    assert reverse("thumb", args=[part.pictures.get().image_id]) in strip
    assert body["review"] in strip
    late = say(inspector, part, state="DefectRejected", **seen)
    assert late.status_code == 409
    assert late.json()["code"] == "changed_meanwhile"
    undone = inspector.post(reverse("review_undo", args=[body["review"]]), headers=JSON).json()
    assert (undone["seen"], undone["seen_at"]) == ("NotVerifiedYet", "")
    again = say(inspector, part, state="DefectRejected", **seen)
    assert again.status_code == 200
    from_the_new_state = {"seen": again.json()["seen"], "seen_at": again.json()["seen_at"]}
    changed = say(inspector, part, state="DefectAccepted", **from_the_new_state)
    assert changed.status_code == 200


def test_an_undone_part_is_on_one_desk(inspector: Client, parts: list[Inspection]) -> None:
    part = parts[0]
    inspector.get(reverse("verify"))
    said = say(inspector, part, state="DefectConfirmed").json()
    undone = inspector.post(reverse("review_undo", args=[said["review"]]), headers=JSON).json()
    assert undone["held"] is True
    other = signed_in(UserFactory(role=Role.INSPECTOR))
    assert "station-part" not in other.post(reverse("verify_parts")).content.decode()
    kept = inspector.post(reverse("verify_claims"), {"keep": str(part.pk)}).json()["kept"]
    assert kept == [str(part.pk)], "it does not vanish from the page that shows it"


def test_an_undo_says_that_another_has_the_part(inspector: Client, parts: list[Inspection]) -> None:
    said = say(inspector, parts[0], state="DefectConfirmed").json()
    other = UserFactory(role=Role.INSPECTOR)
    ReviewClaim.objects.create(
        inspection=parts[0], holder=other, expires_at=timezone.now() + timedelta(minutes=1)
    )
    undone = inspector.post(reverse("review_undo", args=[said["review"]]), headers=JSON)
    assert (undone.status_code, undone.json()["held"]) == (200, False)
    assert ReviewClaim.objects.get().holder == other


@pytest.mark.parametrize(
    ("data", "status", "field"),
    [
        ({"state": "no"}, 409, "state"),
        ({"state": "DefectConfirmed", "reason": "x"}, 409, "reason_code"),
        ({"state": "DefectConfirmed", "seen": "x"}, 409, "state"),
        ({"state": "DefectConfirmed", "comment": "x" * 2001}, 409, "comment"),
        ({"state": "DefectConfirmed", "reason": "0" * 32}, 404, None),
    ],
)
def test_nonsense_is_refused(
    inspector: Client, parts: list[Inspection], data: dict[str, str], status: int, field: str | None
) -> None:
    answer = say(inspector, parts[0], **data)
    assert answer.status_code == status
    if field:
        assert answer.json()["field"] == field
    assert not Review.objects.exists()


def test_roles(parts: list[Inspection]) -> None:
    product = parts[0].viewpoint.product
    stranger = signed_in(MembershipFactory(role=Role.ADMINISTRATOR).user)
    viewer = signed_in(MembershipFactory(product=product, role=Role.VIEWER).user)
    nobody = signed_in(UserFactory())
    assert say(stranger, parts[0], state="DefectConfirmed").status_code == 404
    assert say(viewer, parts[0], state="DefectConfirmed").status_code == 403
    assert say(nobody, parts[0], state="DefectConfirmed").status_code == 404
    assert viewer.get(reverse("verify")).status_code == 403
    assert nobody.get(reverse("verify")).status_code == 403
    for client in (viewer, nobody, stranger):
        assert "station-part" not in client.post(reverse("verify_parts")).content.decode()
    review = record_review(UserFactory(role=Role.INSPECTOR), parts[0], state="DefectConfirmed")
    undo = reverse("review_undo", args=[review.pk])
    assert stranger.post(undo, headers=JSON).status_code == 404
    assert viewer.post(undo, headers=JSON).status_code == 403
    colleague = signed_in(MembershipFactory(product=product, role=Role.INSPECTOR).user)
    assert colleague.post(undo, headers=JSON).status_code == 403, "another's needs an engineer"
    engineer = signed_in(MembershipFactory(product=product, role=Role.ENGINEER).user)
    assert engineer.post(undo, headers=JSON).status_code == 200


def test_claims_are_renewed_dropped_and_counted(inspector: Client, parts: list[Inspection]) -> None:
    inspector.get(reverse("verify"))
    keys = [str(part.pk) for part in parts]
    body = inspector.post(reverse("verify_claims"), {"keep": ",".join(keys[:2])}).json()
    assert set(body["kept"]) == set(keys[:2])
    assert (body["counts"]["left"], body["counts"]["today"]) == (3, 0)
    inspector.post(reverse("verify_claims"), {"drop": ",".join(keys)})
    assert not ReviewClaim.objects.exists()


def test_the_queue_is_that_of_product_kind_and_line(
    inspector: Client, parts: list[Inspection]
) -> None:
    page, code = reverse("verify"), parts[0].viewpoint.product.code
    for query, there in (
        ("kind=fail", True),
        ("kind=audit", False),
        ("kind=%27", True),
        (f"product={code}", True),
        ("product=ANOTHER", False),
        ("line=SMT+9", False),
        ("station=AOI-99", False),
    ):
        text = inspector.get(f"{page}?{query}").content.decode()
        assert ("station-part" in text) is there, query


class TestBlind:
    @pytest.fixture
    def drawn(self, parts: list[Inspection]) -> Inspection:
        product = parts[0].viewpoint.product
        product.second_look_rate = 1.0
        product.save()
        Inspection.objects.filter(pk=parts[0].pk).update(score=8642.5)  # no time says that
        part = Inspection.objects.select_related("viewpoint__product").get(pk=parts[0].pk)
        first = UserFactory(username="first-inspector", role=Role.INSPECTOR)
        record_review(first, part, state=ReviewState.CONFIRMED, comment="it is the coil")
        return part

    def test_a_second_look_shows_neither_verdict_nor_first_look(
        self, inspector: Client, drawn: Inspection
    ) -> None:
        page = inspector.get(reverse("verify") + "?kind=second").content.decode()
        start = page.index(f'id="p-{drawn.pk}"')
        shown = page[start : page.index("</article>", start)]
        for secret in (
            "coil",
            "first-inspector",
            "8642",
            "8,642",
            "heatmap",
            "restored",
            "v-fail",
            "Failed",
        ):
            assert secret not in shown, secret
        first = drawn.reviews.get()
        for judged in ("data-seen", ReviewState.CONFIRMED, first.created_at.isoformat()):
            assert judged not in shown, judged
        pictures = json.loads(unescape(shown.split('data-pictures="')[1].split('"')[0]))
        assert pictures[0]["regions"] == []
        assert reverse("inspection", args=[drawn.pk]) not in shown

    def test_afterwards_the_two_are_compared(self, inspector: Client, drawn: Inspection) -> None:
        inspector.get(reverse("verify") + "?kind=second")
        body = say(inspector, drawn, state="DefectRejected", look="second").json()
        assert body["agrees"] is False
        assert body["first"] == "First look: Defect confirmed by first-inspector"
        drawn.refresh_from_db()
        assert drawn.review_state == ReviewState.CONFIRMED
        assert Review.objects.get(look=Look.SECOND).state == ReviewState.REJECTED
        page = inspector.get(reverse("verify_agreement")).content.decode()
        assert "1 blind second looks" in " ".join(page.split())
        assert "first-inspector: Defect confirmed" in page


def test_audits_ask_another_question(inspector: Client, parts: list[Inspection]) -> None:
    Inspection.objects.filter(pk=parts[0].pk).update(verdict=Verdict.PASSED, audit_rate=0.1)
    text = inspector.get(reverse("verify")).content.decode()
    assert "Passed; drawn for an audit" in text
    assert f'data-part="{parts[0].pk}" data-kind="audit"' in text


def questions(client: Client, address: str, data: dict[str, str] | None = None) -> int:
    with CaptureQueriesContext(connection) as asked:
        answer = client.get(address) if data is None else client.post(address, data, headers=JSON)
    assert answer.status_code == 200
    return len(asked)


def test_more_rows_are_not_more_questions(db: None) -> None:
    asked = []
    for how_many in (2, 8):
        parts = make_parts(how_many=how_many)
        user = MembershipFactory(product=parts[0].viewpoint.product, role=Role.INSPECTOR).user
        client = signed_in(user)
        client.get(reverse("verify"))  # takes the claims
        asked.append(questions(client, reverse("verify")))
    assert asked[0] >= asked[1]
    assert asked[1] <= MOST


def test_a_decision_costs_few_questions(inspector: Client, parts: list[Inspection]) -> None:
    address = reverse("review", args=[parts[0].pk])
    assert questions(inspector, address, {"state": "DefectConfirmed"}) <= 25


def test_agreement_and_escapes_open_for_members_and_ask_little(
    inspector: Client, parts: list[Inspection]
) -> None:
    for part in parts:
        record_review(
            UserFactory(role=Role.INSPECTOR),
            Inspection.objects.get(pk=part.pk),
            state=ReviewState.CONFIRMED,
        )
    for page in ("verify_agreement", "escapes"):
        assert questions(inspector, reverse(page)) <= MOST
    text = inspector.get(reverse("verify_agreement")).content.decode()
    assert "not enough audits" in text
    assert "0.0 %" not in text
