"""The release gate: a candidate is held against the active model on the golden set.

Two golden batches do the scoring with the machinery that every batch has; when both are done
the check is settled, once.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from inspection import policies
from inspection.errors import UserError, WrongState
from inspection.models import (
    Batch,
    Dataset,
    DatasetImage,
    GateCheck,
    Inspection,
    InspectionImage,
    ModelVersion,
    OperatingPoint,
    Purpose,
    User,
    Viewpoint,
)

from . import batches, gate_rules, golden
from .access import require
from .audit import record
from .gate_rules import Call, Part, band
from .locking import lock_row
from .notifications import notify

log = logging.getLogger(__name__)
State = GateCheck.State
GOOD = "good"


# --- asking -------------------------------------------------------------------------------


def start(user: User | None, candidate: ModelVersion) -> GateCheck:
    """Score the golden set with `candidate` and with the model that judges now.

    Raises UserError without a golden set, WrongState while a check of it is running.
    """
    viewpoint = candidate.viewpoint
    product = viewpoint.product
    require(user, policies.MANAGE, product)
    policies.check_promotable(candidate)
    dataset = golden.find(viewpoint)
    parts = list(golden.items(dataset).select_related("image")) if dataset else []
    if dataset is None or not parts:
        raise UserError(
            "no_golden_set",
            "{viewpoint} has no golden set yet. Add parts that every model must judge right.",
            viewpoint=viewpoint,
        )
    with transaction.atomic():
        lock_row(viewpoint)
        if GateCheck.objects.filter(candidate=candidate, state=State.RUNNING).exists():
            raise WrongState("gate_running", "This model is being held against the golden set.")
        baseline = _active(viewpoint)
        check = GateCheck.objects.create(
            candidate=candidate,
            baseline=baseline,
            dataset=dataset,
            digest=golden.digest(parts),
            candidate_batch=_score(user, candidate, parts),
            baseline_batch=_score(user, baseline, parts) if baseline else None,
            requested_by=user,
        )
        after = {"baseline": str(baseline) if baseline else None, "pictures": len(parts)}
        record(user, "gate.started", check, product=product, after=after)
    return check


def _active(viewpoint: Viewpoint) -> ModelVersion | None:
    return viewpoint.model_versions.filter(state=ModelVersion.State.ACTIVE).first()


def _score(user: User | None, version: ModelVersion, parts: Iterable[DatasetImage]) -> Batch:
    """Everything of the golden set under one version, sealed."""
    batch = batches.open_batch(
        user,
        version.viewpoint,
        name=f"Golden set, model {version.number}",
        purpose=Purpose.GOLDEN,
        model_version=version,
    )
    for part in parts:
        label = part.label or GOOD
        batches.add_image(batch, part.image, part.file_name, reference_label=label)
    batches.seal(user, batch)
    return batch


# --- settling -----------------------------------------------------------------------------


def settle(batch: Batch) -> None:
    """Called when a chunk of `batch` ended: the check that waits for it may be done."""
    if batch.purpose != Purpose.GOLDEN:
        return
    waiting = GateCheck.objects.filter(
        Q(candidate_batch=batch) | Q(baseline_batch=batch), state=State.RUNNING
    )
    for check in waiting:
        finish_if_scored(check)


def finish_if_scored(check: GateCheck) -> bool:
    """Write the outcome once every part has both verdicts; False when it is not so yet, or
    when somebody else has written it."""
    scoring = [key for key in (check.candidate_batch_id, check.baseline_batch_id) if key]
    if Inspection.objects.filter(batch__in=scoring, verdict="").exists():
        return False
    cancelled = Batch.objects.filter(pk__in=scoring, cancel_requested_at__isnull=False).exists()
    fields: dict[str, Any] = {"state": State.STOPPED, "passed": None}
    if not cancelled:
        found = gate_rules.outcome(judged(check), golden.learned_of(check.dataset, check.candidate))
        fields = {"state": State.DONE, "passed": not found["failures"], "outcome": found}
    with transaction.atomic():
        mine = GateCheck.objects.filter(pk=check.pk, state=State.RUNNING)
        if not mine.update(finished_at=timezone.now(), **fields):
            return False
        check.refresh_from_db()
        product = check.candidate.viewpoint.product
        after = {"state": check.state, "passed": check.passed}
        record(None, "gate.finished", check, product=product, after=after)
        _tell(check)
    return True


def judged(check: GateCheck) -> list[Part]:
    """Every part of the two batches, as it was labelled when the check began."""
    ours = _calls(check.candidate_batch_id)
    theirs = _calls(check.baseline_batch_id) if check.baseline_batch_id else {}
    flags = {
        item.image_id: item
        for item in DatasetImage.objects.filter(dataset=check.dataset, image__in=list(ours))
    }
    parts = []
    for image, (call, name, label) in ours.items():
        item = flags.get(image)
        parts.append(
            Part(
                image=str(image),
                name=name,
                label="" if label.lower() == GOOD else label,
                must_catch=bool(item and item.must_catch),
                must_pass=bool(item and item.must_pass),
                candidate=call,
                baseline=theirs[image][0] if image in theirs else None,
            )
        )
    return parts


def _calls(batch: UUID) -> dict[UUID, tuple[Call, str, str]]:
    rows = InspectionImage.objects.filter(inspection__batch=batch).select_related("inspection")
    return {
        row.image_id: (
            Call(
                band(row.inspection.verdict, row.inspection.disposition),
                row.inspection.score,
                str(row.inspection_id),
            ),
            row.file_name,
            row.inspection.reference_label,
        )
        for row in rows.order_by("id")
    }


def _tell(check: GateCheck) -> None:
    number = check.candidate.number
    if check.state == State.STOPPED:
        title = _("Model {n}: the gate was stopped")
    elif check.passed:
        title = _("Model {n} passed the gate")
    else:
        title = _("Model {n} failed the gate")
    product = check.candidate.viewpoint.product
    notify(
        policies.MANAGE,
        kind="gate",
        title=format_lazy(title, n=number),
        text=str(product),
        url=f"/models/gates/{check.pk}/",
        product=product,
    )


def catch_up() -> int:
    """Settle checks whose batches are done while nobody settled them (a worker died between),
    and check candidates that nobody checked. Returns how many were moved."""
    moved = sum(finish_if_scored(check) for check in GateCheck.objects.filter(state=State.RUNNING))
    for candidate in _unchecked():
        moved += start_for(candidate) is not None
    return moved


def _unchecked() -> list[ModelVersion]:
    """The newest candidate of each viewpoint, when it has no check yet though there was a golden
    set when it was made. One that is being collected now is waited for."""
    golden_parts = DatasetImage.objects.filter(
        dataset__viewpoint=OuterRef("viewpoint"),
        dataset__purpose=Dataset.Purpose.GOLDEN,
        excluded_at=None,
        created_at__lte=OuterRef("created_at"),
    )
    newer = ModelVersion.objects.filter(
        viewpoint=OuterRef("viewpoint"),
        state=ModelVersion.State.CANDIDATE,
        number__gt=OuterRef("number"),
    )
    candidates = ModelVersion.objects.filter(
        ~Exists(newer),
        Exists(golden_parts),
        state=ModelVersion.State.CANDIDATE,
        gate_checks=None,
        viewpoint__product__archived_at=None,
    )
    return list(candidates.select_related("viewpoint__product").order_by("-number"))


def start_for(candidate: ModelVersion) -> GateCheck | None:
    """Check a new candidate without being asked; None where there is nothing to hold it
    against, or where it cannot be done now (the log says why; the scheduler tries again)."""
    try:
        return start(None, candidate)
    except UserError as refusal:
        if refusal.code != "no_golden_set":
            log.warning("no gate for %s: %s", candidate, refusal.message)
        return None


# --- what a promotion is told -------------------------------------------------------------


@dataclass(frozen=True)
class Standing:
    """How a version stands with the gate now. `word`: none | not_run | running | stopped |
    stale | failed | passed; only `none` (no golden set) and `passed` let it through."""

    word: str
    check: GateCheck | None = None

    @property
    def blocks(self) -> bool:
        return self.word not in ("none", "passed")


def standing(version: ModelVersion) -> Standing:
    """The newest check of `version`, if it still says something: same golden set, same limits,
    same model to compare with."""
    dataset = golden.find(version.viewpoint)
    parts = list(golden.items(dataset)) if dataset else []
    if not parts:
        return Standing("none")
    check = (
        GateCheck.objects.filter(candidate=version)
        .select_related("candidate_batch", "baseline_batch")
        .first()
    )
    if check is None:
        return Standing("not_run")
    if check.state != State.DONE:
        return Standing(str(check.state), check)
    if _is_stale(check, version, golden.digest(parts)):
        return Standing("stale", check)
    return Standing("passed" if check.passed else "failed", check)


def _is_stale(check: GateCheck, version: ModelVersion, digest: str) -> bool:
    active = _active(version.viewpoint)
    other = active is not None and active.pk not in (check.baseline_id, version.pk)
    used = [b.operating_point_id for b in (check.candidate_batch, check.baseline_batch) if b]
    in_force = OperatingPoint.objects.filter(pk__in=used, in_force=True).count()
    return check.digest != digest or other or in_force < len(used)


NOT_THROUGH = {
    "not_run": gettext_noop(
        "This model was not held against the golden set yet. Run the gate first, or promote it "
        "all the same and say why."
    ),
    "running": gettext_noop(
        "This model is being held against the golden set. Wait for the outcome, or promote it "
        "all the same and say why."
    ),
    "stopped": gettext_noop(
        "The gate of this model was stopped. Run it again, or promote it all the same and say why."
    ),
    "stale": gettext_noop(
        "Golden set, limits or the active model changed since the gate. Run it again, or promote "
        "it all the same and say why."
    ),
    "failed": gettext_noop(
        "This model failed the gate. Look at what it gets wrong, or promote it all the same and "
        "say why."
    ),
}


def check_passed(version: ModelVersion) -> None:
    """Raise WrongState, with what to do, unless the gate lets `version` through."""
    word = standing(version).word
    if word in NOT_THROUGH:
        raise WrongState(f"gate_{word}", NOT_THROUGH[word])
