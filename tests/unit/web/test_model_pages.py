"""What an engineer does on the pages of models, and what the pages say of it."""

from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from inspection.models import (
    AuditEvent,
    Dataset,
    DatasetImage,
    GateCheck,
    Inspection,
    ModelVersion,
    RetrainingPlan,
    ReviewState,
)
from inspection.services import golden
from inspection.services.gate_rules import Call, Part, outcome
from tests.factories.inspection import InspectionFactory, InspectionImageFactory
from tests.unit.web.conftest import World

State = ModelVersion.State


def text(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200, (address, answer.status_code)
    return answer.content.decode()


def refused(client: Client, address: str, **data: object) -> str:
    """The code of a refusal, as a script is told."""
    answer = client.post(address, data, headers={"Accept": "application/json"})
    assert answer.status_code in (403, 409), answer.status_code
    return str(answer.json()["code"])


class TestLimits:
    def test_figures_follow_the_address_and_unknown_is_never_zero(
        self, world: World, engineer: Client
    ) -> None:
        Inspection.objects.update(reference_label="")  # nothing is known of the golden parts
        page = reverse("model_limit_figures", args=[world.version.pk])
        said = text(engineer, f"{page}?fail=2&review=20")
        assert 'data-fail="2" data-review="20"' in said
        assert "20.0 <span" in said, "per 1,000 good parts"
        assert "not in force" in said
        assert said.count('class="unknown">unknown') == 2, "escapes and cost"

    def test_costs_are_told_once_all_is_known(self, world: World, engineer: Client) -> None:
        world.product.cost_escape, world.product.cost_overkill = 100, 2
        world.product.save()
        Inspection.objects.filter(pk=world.inspection.pk).update(review_state=ReviewState.CONFIRMED)
        InspectionImageFactory(inspection=world.inspection, index=1)
        page = reverse("model_limit_figures", args=[world.version.pk])
        said = text(engineer, f"{page}?fail=1&review=5&defects=10")
        assert "with 10.0 defective of 1,000" in said
        assert "0 of 5 known defects pass; 95 % interval 0.0 % to 52.2 %" in said

    def test_a_rate_that_cannot_be_promised_says_what_it_takes(
        self, world: World, engineer: Client
    ) -> None:
        page = reverse("model_limit_figures", args=[world.version.pk])
        assert "needs 999 calibration parts; this model has 99" in text(
            engineer, f"{page}?fail=0.1&review=5"
        )

    @pytest.mark.parametrize(
        "query", ["?fail=x&review=", "?lots=-3", "?fail=nan&review=1", "?lots=9e9"]
    )
    def test_nonsense_in_the_address_shows_what_is_in_force(
        self, world: World, engineer: Client, query: str
    ) -> None:
        assert "in force" in text(
            engineer, reverse("model_limits", args=[world.version.pk]) + query
        )

    def test_saving_takes_a_reason_and_keeps_it(self, world: World, engineer: Client) -> None:
        page = reverse("model_limits_save", args=[world.version.pk])
        assert refused(engineer, page, fail="2", review="5", reason="") == "reason_missing"
        assert refused(engineer, page, fail="0.1", review="5", reason="x") == "alpha_too_small"
        assert (
            engineer.post(page, {"fail": "2", "review": "5", "reason": "costs"}).status_code == 302
        )
        point = world.version.operating_points.get(in_force=True)
        assert (point.threshold_fail, point.threshold_review, point.reason) == (0.98, 0.95, "costs")

    def test_a_viewer_looks_only(self, world: World, viewer: Client) -> None:
        assert "Put in force" not in text(viewer, reverse("model_limits", args=[world.version.pk]))
        page = reverse("model_limits_save", args=[world.version.pk])
        assert refused(viewer, page, fail="2", review="5", reason="x") == "not_allowed"

    def test_a_lot_of_another_product_is_not_there(self, world: World, engineer: Client) -> None:
        other = InspectionFactory().viewpoint.product.lots.create(code="X")
        page = reverse("model_limit_changes", args=[world.version.pk])
        assert engineer.get(f"{page}?was=pass&will=fail&lot={other.pk}").status_code == 404

    def test_the_address_of_the_product_leads_to_the_active_model(
        self, world: World, engineer: Client
    ) -> None:
        answer = engineer.get(reverse("product_limits", args=[world.product.pk]))
        assert answer["Location"] == reverse("model_limits", args=[world.version.pk])


class TestGate:
    def test_the_page_names_what_is_broken_and_shows_the_part(
        self, world: World, engineer: Client
    ) -> None:
        said = text(engineer, reverse("gate", args=[world.check.pk]))
        assert 'class="v-fail" data-rule="must_catch"' in said
        assert "Must be judged right, and is not" in said
        assert "for the better" in said

    def test_more_good_parts_to_look_at_are_a_rule_that_older_checks_lack(
        self, world: World, engineer: Client
    ) -> None:
        page = reverse("gate", args=[world.check.pk])
        key = str(world.inspection.pk)
        calls = Call("review", 0.5, key), Call("pass", 0.5, key)
        goods = [Part(str(uuid4()), "g", "", False, False, *calls) for _ in range(9)]
        found = outcome(goods)
        GateCheck.objects.filter(pk=world.check.pk).update(outcome=found)
        said = text(engineer, page)
        assert 'class="v-fail" data-rule="looked_at"' in said
        assert "At most 1 more good parts fail or are sent to review" in said
        for side in ("candidate", "baseline"):
            del found[side]["looked_at"]
        GateCheck.objects.filter(pk=world.check.pk).update(outcome=found | {"failures": []})
        said = text(engineer, page)
        assert 'data-rule="looked_at"' not in said
        assert 'class="v-pass" data-rule="false_calls"' in said

    def test_a_candidate_is_promoted_only_past_the_gate(
        self, world: World, engineer: Client
    ) -> None:
        page = reverse("model_promote", args=[world.candidate.pk])
        assert refused(engineer, page, reason="better").startswith("gate_")
        assert engineer.post(page, {"override": "the customer agreed"}).status_code == 302
        world.candidate.refresh_from_db()
        assert world.candidate.state == State.ACTIVE
        assert (
            AuditEvent.objects.get(action="model.gate_overridden").reason == "the customer agreed"
        )
        assert "Back to model" in text(engineer, reverse("model", args=[world.candidate.pk]))
        back = reverse("model_rollback", args=[world.candidate.pk])
        engineer.post(back)
        world.version.refresh_from_db()
        assert world.version.state == State.ACTIVE
        assert refused(engineer, back) == "not_active", "the button of a page that is old"
        world.version.refresh_from_db()
        assert world.version.state == State.ACTIVE

    def test_it_can_be_run_again(self, world: World, engineer: Client) -> None:
        answer = engineer.post(reverse("gate_start", args=[world.candidate.pk]))
        check = GateCheck.objects.latest("id")
        assert answer["Location"] == reverse("gate", args=[check.pk])
        assert "verdicts are there" in text(engineer, answer["Location"])

    @pytest.mark.parametrize("name", ["gate_start", "model_rollback", "model_rescore"])
    def test_a_viewer_may_not(self, world: World, viewer: Client, name: str) -> None:
        lot = world.product.lots.create(code="L")
        assert (
            refused(viewer, reverse(name, args=[world.candidate.pk]), lot=lot.pk) == "not_allowed"
        )

    def test_golden_parts_are_described_and_taken_out(self, world: World, engineer: Client) -> None:
        items = list(world.check.dataset.items.order_by("id"))
        page = reverse("golden_describe", args=[world.check.dataset_id])
        chosen = {"item": [items[0].pk], "kind": "defect", "must": "yes", "do": "describe"}
        assert refused(engineer, page, **chosen) == "label_missing"
        engineer.post(page, {**chosen, "label": "dent"})
        items[0].refresh_from_db()
        assert (items[0].label, items[0].must_catch) == ("dent", True)
        engineer.post(page, {"item": [items[1].pk], "do": "remove"})
        assert not DatasetImage.objects.filter(pk=items[1].pk).exists()
        assert "must catch" in text(engineer, reverse("golden", args=[world.product.pk]))

    def test_an_inspected_part_is_taken_over(self, world: World, engineer: Client) -> None:
        page = reverse("golden_take_over", args=[world.inspection.pk])
        assert 'id="use-part"' in text(engineer, reverse("inspection", args=[world.inspection.pk]))
        engineer.post(page, {"kind": "defect", "label": "scratch", "must": "yes"})
        item = DatasetImage.objects.get(origin=world.inspection)
        assert (item.dataset.purpose, item.must_catch) == (Dataset.Purpose.GOLDEN, True)

    def test_an_upload_goes_into_the_golden_set(self, world: World, engineer: Client) -> None:
        answer = engineer.post(
            reverse("golden_upload", args=[world.product.pk]), {"folders": "label"}
        )
        assert answer.status_code == 201
        upload = golden.find(world.dataset.viewpoint).uploads.get()  # type: ignore[union-attr]
        assert upload.folders == "label"


class TestFlips:
    def test_only_what_changed_is_listed(self, world: World, engineer: Client) -> None:
        said = text(engineer, reverse("batch_flips", args=[world.rescored.pk]))
        assert "<strong>1</strong> of 2 parts are judged otherwise" in said
        csv = text(engineer, reverse("batch_flips_csv", args=[world.rescored.pk])).splitlines()
        assert csv[0].startswith("serial,lot,was,was_score,now")
        assert [line.split(",")[2:5:2] for line in csv[1:]] == [["fail", "pass"]]

    def test_a_batch_that_is_no_rescore_has_none(self, world: World, engineer: Client) -> None:
        assert engineer.get(reverse("batch_flips", args=[world.batch.pk])).status_code == 404

    def test_a_lot_is_judged_again_from_the_model_s_page(
        self, world: World, engineer: Client
    ) -> None:
        lot = world.product.lots.create(code="L-7")
        Inspection.objects.filter(batch=world.batch).update(lot=lot)
        page = reverse("model_rescore", args=[world.candidate.pk])
        assert "L-7" in text(engineer, reverse("model", args=[world.candidate.pk]))
        answer = engineer.post(page, {"lot": lot.pk, "reason": "escape"})
        assert "parts are judged again" in text(engineer, answer["Location"])


SETTINGS = {"preset": "tiny", "method": "memory", "budget_minutes": "1"}


class TestRetraining:
    def test_a_selection_is_learned_or_refused_as_a_whole(
        self, world: World, engineer: Client
    ) -> None:
        page = reverse("retraining_good_parts")
        keys = [world.inspection.pk]
        assert refused(engineer, page, inspection=keys) == "not_verified"
        Inspection.objects.filter(pk__in=keys).update(review_state=ReviewState.REJECTED)
        answer = engineer.post(page, {"inspection": keys})
        said = text(engineer, answer["Location"])
        assert "1 pictures joined the good parts" in said
        assert "inspected</span>" in said

    def test_parts_of_others_are_not_there(
        self, world: World, stranger: Client, viewer: Client
    ) -> None:
        keys = [world.inspection.pk]
        assert (
            refused(stranger, reverse("retraining_good_parts"), inspection=keys) == "no_such_part"
        )
        assert refused(viewer, reverse("retraining_good_parts"), inspection=keys) == "not_allowed"

    def test_a_plan_is_saved_and_shown(self, world: World, engineer: Client) -> None:
        page = reverse("retraining_plan", args=[world.product.pk])
        usual = {**SETTINGS, "every_days": "14", "least_new": "5", "on_drift": "yes"}
        assert refused(engineer, page, **{**usual, "every_days": "x"}) == "bad_number"
        engineer.post(page, usual)
        plan = RetrainingPlan.objects.get()
        assert (plan.every_days, plan.on_drift, plan.least_new) == (14, True, 5)
        assert "Next turn" in text(engineer, reverse("retraining", args=[world.product.pk]))

    def test_too_few_pictures_are_refused(self, world: World, engineer: Client) -> None:
        page = reverse("retraining_start", args=[world.product.pk])
        assert refused(engineer, page, **SETTINGS) == "too_few_pictures"


def test_the_list_has_the_active_model_first_with_its_lineage(
    world: World, engineer: Client
) -> None:
    said = text(engineer, reverse("models"))
    places = [said.index(reverse("model", args=[v.pk])) for v in (world.version, world.candidate)]
    assert places[0] < places[1]
    assert "Started by a person" in said
    assert reverse("gate", args=[world.check.pk]) in said


def test_who_only_looks_is_offered_no_gate_and_no_lot(
    world: World, engineer: Client, viewer: Client
) -> None:
    lot = world.product.lots.create(code="L-1")
    Inspection.objects.filter(pk=world.inspection.pk).update(lot=lot)
    page = reverse("model", args=[world.candidate.pk])
    for offered in (reverse("gate_start", args=[world.candidate.pk]), 'id="rescore"'):
        assert offered in text(engineer, page)
        assert offered not in text(viewer, page)
