"""Rows for walks on a stack without workers, made beside it; and what a worker would answer.

Called through `ask(stack, "contested", …)`; what comes back has gone through JSON.
"""

import io
from typing import Any

from django.utils import timezone

from inspection.models import (
    AuditEvent,
    Batch,
    DatasetImage,
    Escape,
    GateCheck,
    Image,
    Inspection,
    Membership,
    ModelVersion,
    Product,
    ReportSchedule,
    SnapshotImage,
    Viewpoint,
)
from inspection.services import gate, golden, images, products, rescoring, tallies
from tests.factories.batch import BatchFactory
from tests.factories.dataset import DatasetImageFactory, DatasetSnapshotFactory
from tests.factories.inspection import ImageResultFactory, InspectionFactory, InspectionImageFactory
from tests.factories.model_version import ModelVersionFactory
from tests.factories.pictures import draw_part, png
from tests.factories.training_run import TrainingRunFactory
from tests.factories.unit import LotFactory, UnitFactory
from tests.factories.user import UserFactory

from .stack import Stack

STATE = ModelVersion.State
GOLDEN = {"bare-1.png": "", "bare-2.png": "", "crack-1.png": "crack", "crack-2.png": "crack"}
# What two models say of the golden parts: the candidate sees one crack that the active one
# misses, and misses the one that the active one sees.
CANDIDATE = {"bare-1.png": 0.1, "bare-2.png": 0.2, "crack-1.png": 0.3, "crack-2.png": 1.6}
ACTIVE = {"bare-1.png": 0.1, "bare-2.png": 0.2, "crack-1.png": 1.4, "crack-2.png": 0.4}
LEARNED = 60


def ask(stack: Stack, name: str, /, **given: Any) -> Any:
    """What the function of that name returns when it is called beside the stack."""
    return stack.ask(name, **given)


def person(name: str, role: str, product: str = "") -> None:
    """Somebody who signs in, with a role for one product or for all, or with none."""
    user = UserFactory(username=name)
    if not role:
        return
    where = Product.objects.get(code=product) if product else None
    Membership.objects.create(user=user, role=role, product=where)


def picture(seed: int, name: str) -> Image:
    return images.store_image(None, name, io.BytesIO(png(draw_part(seed))))[0]


def version(viewpoint: Viewpoint, state: str, **run: Any) -> ModelVersion:
    if "snapshot" not in run:
        run["snapshot"] = DatasetSnapshotFactory(dataset=products.good_dataset(viewpoint))
    made = TrainingRunFactory(viewpoint=viewpoint, state="done", **run)
    return ModelVersionFactory(training_run=made, state=state)


def judged(model: ModelVersion, lot: str, scores: list[float], seed: int) -> list[Inspection]:
    """Parts of a lot as the model judged them: what scores above 1 fails."""
    product = model.viewpoint.product
    batch = BatchFactory(
        model_version=model, lot=LotFactory(product=product, code=lot), sealed_at=timezone.now()
    )
    made = []
    for n, score in enumerate(scores):
        part = InspectionFactory(
            batch=batch,
            lot=batch.lot,
            unit=UnitFactory(product=product, lot=batch.lot, serial_number=f"{lot}-{n}"),
            verdict="Failed" if score > 1 else "Passed",
            score=score,
            is_record=True,
        )
        name = f"{lot}-{n}.png"
        shown = InspectionImageFactory(
            inspection=part, image=picture(seed + n, name), file_name=name
        )
        ImageResultFactory(picture=shown, view_key="", restored_key="", heatmap_key="", regions=[])
        made.append(part)
    tallies.recount()
    return made


# --- a candidate at the gate --------------------------------------------------------------


def contested(code: str, seed: int) -> dict[str, Any]:
    """A product with a model that judges, a candidate, a golden set, and a lot of four."""
    product = products.create_product(None, code=code, name=f"Relay {code}")
    viewpoint = product.viewpoints.get()
    active, candidate = version(viewpoint, STATE.ACTIVE), version(viewpoint, STATE.CANDIDATE)
    dataset = golden.golden_set(viewpoint)
    for n, (name, label) in enumerate(GOLDEN.items()):
        image = picture(seed + n, name)
        item = DatasetImageFactory(dataset=dataset, image=image, file_name=name)
        golden.describe(None, dataset, [item.pk], label=label, must=bool(label))
    judged(active, f"{code}-L", [0.2, 0.3, 1.4, 0.4], seed + 10)
    return {
        "product": product.pk,
        "active": {"key": active.pk, "number": active.number},
        "candidate": {"key": candidate.pk, "number": candidate.number},
    }


def answer(batch: Batch, scores: dict[str, float]) -> None:
    """What a worker would: a score for every part, by the name of its picture."""
    for part in batch.inspections.all():
        score = scores[part.pictures.get().file_name]
        Inspection.objects.filter(pk=part.pk).update(
            verdict="Failed" if score > 1 else "Passed",
            disposition="auto",
            score=score,
            completed_at=timezone.now(),
        )


def answer_gate(key: str, passes: bool = False) -> None:
    """Both golden batches of a check are scored, and it is settled."""
    check = GateCheck.objects.get(pk=key)
    assert check.baseline_batch
    answer(check.candidate_batch, {**CANDIDATE, "crack-1.png": 1.5} if passes else CANDIDATE)
    answer(check.baseline_batch, ACTIVE)
    gate.settle(check.baseline_batch)


def answer_lot(key: str, scores: list[float]) -> None:
    """A lot that is judged again is scored."""
    batch = Batch.objects.get(pk=key)
    assert batch.lot
    answer(batch, {f"{batch.lot.code}-{n}.png": score for n, score in enumerate(scores)})


def said_of_lot(lot: str) -> list[list[Any]]:
    """All that was ever said of a lot in production, to be compared with later."""
    rows = Inspection.objects.filter(lot__code=lot, purpose="production").order_by("id")
    fields = ("pk", "verdict", "disposition", "score", "model_version", "is_record")
    return [[str(value) for value in row] for row in rows.values_list(*fields, "review_state")]


def states(product: str) -> dict[int, str]:
    found = ModelVersion.objects.filter(viewpoint__product=product)
    return dict(found.values_list("number", "state"))


def trail(action: str, product: str) -> list[list[str]]:
    """Who did that, and why; oldest first."""
    rows = AuditEvent.objects.filter(action=action, product=product).order_by("id")
    return [[row.actor_name, row.reason] for row in rows]


def settled(code: str, seed: int) -> dict[str, str]:
    """Addresses of a gate that was failed, and of a lot that was judged again."""
    made = contested(code, seed)
    candidate = ModelVersion.objects.get(pk=made["candidate"]["key"])
    check = gate.start(None, candidate)
    answer_gate(str(check.pk))
    lot = candidate.viewpoint.product.lots.get()
    again = rescoring.rescore_lot(None, lot, candidate, reason="a customer asked")
    answer_lot(str(again.pk), [0.2, 1.3, 0.4, 0.4])
    active = made["active"]["key"]
    return {
        "gate": f"/models/gates/{check.pk}/",
        "golden": f"/products/{made['product']}/golden/",
        "batch_flips": f"/batches/{again.pk}/flips/",
        "model at the gate": f"/models/{candidate.pk}/",
        "model_limit_changes": f"/models/{active}/limits/changes/?fail=70&review=80"
        "&was=pass&will=fail",
    }


# --- what is learned again ----------------------------------------------------------------


def learnable(code: str, seed: int) -> dict[str, Any]:
    """A product whose model learned from sixty-one parts; since then one is new and one is left
    out. Of its lot two are false calls, one is a confirmed defect, and of one nobody said."""
    product = products.create_product(None, code=code, name=f"Relay {code}")
    viewpoint = product.viewpoints.get()
    dataset = products.good_dataset(viewpoint)
    parts = [
        DatasetImageFactory(dataset=dataset, image=picture(seed + n, f"good-{n:02}.png"))
        for n in range(LEARNED + 2)
    ]
    snapshot = DatasetSnapshotFactory(dataset=dataset)
    SnapshotImage.objects.bulk_create(
        SnapshotImage(snapshot=snapshot, image=part.image, file_name=part.file_name)
        for part in parts[:-1]
    )
    dataset.items.filter(pk=parts[0].pk).update(
        excluded_at=timezone.now(), excluded_reason="blurred"
    )
    active = version(viewpoint, STATE.ACTIVE, snapshot=snapshot)
    lot = judged(active, f"{code}-L", [1.2, 1.3, 1.4, 1.5], seed + 100)
    said = ("DefectRejected", "DefectRejected", "DefectConfirmed", "NotVerifiedYet")
    for part, state in zip(lot, said, strict=True):
        Inspection.objects.filter(pk=part.pk).update(review_state=state)
    return {"product": product.pk, "new": parts[-1].file_name, "left_out": parts[0].file_name}


def taken_over(product: str) -> list[str]:
    """The names of good parts that come from inspections."""
    rows = DatasetImage.objects.filter(
        dataset__viewpoint__product=product, dataset__purpose="good", origin__isnull=False
    )
    return sorted(rows.values_list("file_name", flat=True))


def newest_run(product: str) -> dict[str, Any]:
    """How the newest run was started, and what it learns from."""
    run = Product.objects.get(pk=product).viewpoints.get().training_runs.order_by("-id")[0]
    rows = run.snapshot.items.exclude(decision=SnapshotImage.Decision.EXCLUDED)
    return {
        "trigger": run.trigger,
        "state": run.state,
        "preset": run.preset,
        "by": run.started_by.username if run.started_by else "",
        "learns": sorted(rows.values_list("file_name", flat=True)),
    }


# --- what is on record --------------------------------------------------------------------


def schedules(product: str) -> list[dict[str, Any]]:
    """What is sent by itself, and whether it is at present."""
    fields = ("id", "kind", "every", "hour", "recipients")
    rows = ReportSchedule.objects.filter(product=product)
    return [
        {"enabled": one.enabled, **{name: getattr(one, name) for name in fields}} for one in rows
    ]


def escapes(product: str) -> list[dict[str, Any]]:
    return [
        {
            "key": one.pk,
            "unit": one.unit.serial_number,
            "where": one.found_where,
            "by": one.reported_by.username,
            "withdrawn": one.withdrawn_reason,
        }
        for one in Escape.objects.filter(unit__product=product).order_by("id")
    ]


def first_of(lot: str) -> dict[str, Any]:
    """A failed part of a lot, and the lot, by what addresses name them."""
    part = Inspection.objects.filter(lot__code=lot, verdict="Failed", purpose="production")[0]
    return {"part": part.pk, "lot": part.lot_id}


def roles_of(name: str) -> dict[str, str]:
    found = Membership.objects.filter(user__username=name)
    return dict(found.values_list("product__code", "role"))


def doings(product: str) -> list[list[str]]:
    """Everything that the audit trail has of a product."""
    rows = AuditEvent.objects.filter(product=product).order_by("id")
    return [[row.action, row.actor_name] for row in rows]
