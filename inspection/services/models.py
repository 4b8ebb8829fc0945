"""Model versions: which one judges, and where its limits lie."""

import math
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from inspection import ml_adapter, policies
from inspection.errors import UserError, WrongState
from inspection.models import ModelVersion, OperatingPoint, User

from . import gate, operating, outbox
from .access import require
from .audit import record
from .locking import lock_row

State = ModelVersion.State
DEFAULT_ALPHA_FAIL = 0.01
DEFAULT_ALPHA_REVIEW = 0.05


def promote(user: User | None, version: ModelVersion, reason: str, *, override: str = "") -> None:
    """Let `version` judge from now on; the one before it is retired.

    Where there is a golden set, the gate must have let it through, unless `override` says why
    it is promoted all the same; that reason stays on record. Raises WrongState otherwise.
    """
    viewpoint = version.viewpoint
    require(user, policies.MANAGE, viewpoint.product)
    if not reason.strip():
        raise UserError("reason_missing", "Say why this model is to judge.", field="reason")
    with transaction.atomic():
        lock_row(viewpoint)  # who judges is decided by one after the other
        version.refresh_from_db(fields=["state"])
        policies.check_promotable(version)
        stands = gate.standing(version)
        if stands.blocks and not override.strip():
            gate.check_passed(version)
        before = _take_over(user, version)
        version.replaced = before
        version.save(update_fields=["replaced"])
        told = _told(user, version, before, gate=stands.word)
        if stands.blocks:
            record(action="model.gate_overridden", reason=override, **told)
        record(action="model.promoted", reason=reason, **told)
        outbox.model_promoted(version, before, reason)


def rollback(user: User | None, version: ModelVersion, reason: str = "") -> ModelVersion:
    """Let the version judge that judged before `version`; it needs no gate, since it did judge,
    and containment cannot wait. Returns it.

    Raises WrongState unless `version` is the one that judges: of two who roll it back at once,
    or of one who asks twice, the second must not go back a step further.
    """
    viewpoint = version.viewpoint
    require(user, policies.MANAGE, viewpoint.product)
    with transaction.atomic():
        lock_row(viewpoint)
        version.refresh_from_db(fields=["state", "replaced"])
        if version.state != State.ACTIVE:
            raise WrongState(
                "not_active",
                "{version} does not judge now, so it cannot be rolled back. Look again at which "
                "model judges.",
                version=version,
            )
        target = version_before(version)
        if target is None:
            raise WrongState("nothing_before", "No model judged before this one.")
        _take_over(user, target)
        told = _told(user, target, version)
        reason = reason or f"back from {version}"
        record(action="model.rolled_back", reason=reason, **told)
        outbox.model_promoted(target, version, reason)
    return target


def choose(user: User | None, version: ModelVersion, *, by: str) -> bool:
    """Let a version judge that judged before, as an MES chooses the revision of a recipe; False
    where it judges already. As a rollback it needs no gate; one that never judged is refused:
    that is what promote is for. `by` names who asked, for the audit trail."""
    viewpoint = version.viewpoint
    require(user, policies.MANAGE, viewpoint.product)
    with transaction.atomic():
        lock_row(viewpoint)
        version.refresh_from_db(fields=["state", "promoted_at"])
        if version.state == State.ACTIVE:
            return False
        if not version.has_judged:
            raise WrongState("never_promoted", "{version} was never promoted.", version=version)
        before = _take_over(user, version)
        version.replaced = before
        version.save(update_fields=["replaced"])
        told = _told(user, version, before)
        record(action="model.chosen", reason=f"by {by}", **told)
        outbox.model_promoted(version, before, f"by {by}")
    return True


def version_before(version: ModelVersion) -> ModelVersion | None:
    """Where a rollback of `version` leads: what it replaced or, where that is not on record, the
    older model that judged last."""
    others = ModelVersion.objects.filter(viewpoint=version.viewpoint_id, state=State.RETIRED)
    if version.replaced_id:
        return others.filter(pk=version.replaced_id).first()
    older = others.filter(number__lt=version.number, promoted_at__isnull=False)
    return older.order_by("-promoted_at").first()


def _take_over(user: User | None, version: ModelVersion) -> ModelVersion | None:
    """Make `version` the active one; returns the one that was. The viewpoint is held."""
    active = version.viewpoint.model_versions.filter(state=State.ACTIVE)
    before = active.first()
    active.update(state=State.RETIRED)
    version.state = State.ACTIVE
    version.promoted_at, version.promoted_by = timezone.now(), user
    version.save(update_fields=["state", "promoted_at", "promoted_by"])
    return before


def _told(
    user: User | None, version: ModelVersion, before: ModelVersion | None, **more: str
) -> dict[str, Any]:
    """What the audit trail says of a change of the model that judges."""
    return {
        "actor": user,
        "thing": version,
        "product": version.viewpoint.product,
        "before": {"model": str(before) if before else None},
        "after": {"model": str(version), **more},
    }


def set_operating_point(
    user: User | None,
    version: ModelVersion,
    *,
    alpha_fail: float | None = None,
    alpha_review: float | None = None,
    threshold_fail: float | None = None,
    threshold_review: float | None = None,
    reason: str,
) -> OperatingPoint:
    """Draw the lines of `version` anew. The old ones stay on record, no longer in force.

    Each line is given by its promised rate or by its score; a score is moved down to the next
    calibration part, since between two of them nothing differs that the calibration could show.
    Raises UserError, with how many calibration parts it takes, for what so few cannot promise.
    """
    product = version.viewpoint.product
    require(user, policies.MANAGE, product)
    if not reason.strip():
        raise UserError("reason_missing", "Say why the limits are changed.", field="reason")
    scores = calibration_scores(version)
    alpha_fail = _alpha(scores, alpha_fail, threshold_fail, "fail")
    alpha_review = _alpha(scores, alpha_review, threshold_review, "review")
    _check_alphas(alpha_fail, alpha_review, len(scores))
    with transaction.atomic():
        lock_row(version.viewpoint)  # limits are drawn by one after the other
        last = version.operating_points.aggregate(last=Max("number"))["last"] or 0
        before = version.operating_points.filter(in_force=True).first()
        version.operating_points.filter(in_force=True).update(in_force=False)
        point = OperatingPoint.objects.create(
            model_version=version,
            number=last + 1,
            alpha_fail=alpha_fail,
            alpha_review=alpha_review,
            threshold_fail=ml_adapter.threshold(scores, alpha_fail),
            threshold_review=ml_adapter.threshold(scores, alpha_review),
            reason=reason[:300],
            author=user,
        )
        record(
            user,
            "model.operating_point",
            version,
            product=product,
            before=_alphas(before),
            after=_alphas(point),
            reason=reason,
        )
    return point


def default_alphas(n: int) -> tuple[float, float]:
    """(fail, review) rates for a model with `n` calibration pictures, as low as they allow."""
    fail = max(DEFAULT_ALPHA_FAIL, ml_adapter.smallest_alpha(n))
    return fail, max(DEFAULT_ALPHA_REVIEW, 2 / (n + 1))


def calibration_scores(version: ModelVersion) -> list[float]:
    """The scores of the pictures that the limits are set by, sorted."""
    return sorted(float(score) for score in version.manifest["calibration"]["scores"])


def _alpha(scores: list[float], alpha: float | None, threshold: float | None, line: str) -> float:
    """The rate of one line, from whichever of the two it is given by."""
    if threshold is None:
        if alpha is None:
            raise ValueError(f"the {line} line needs a rate or a score")
        return alpha
    n, highest = len(scores), max(scores)
    if not math.isfinite(threshold):
        raise UserError("bad_threshold", "The limit must be a number.", field=f"threshold_{line}")
    if threshold > highest:
        tightest = ml_adapter.smallest_alpha(n)
        raise UserError(
            "threshold_too_high",
            "A limit of {threshold:g} lies above all {n} calibration parts (the highest has "
            "{highest:g}), so nothing says how many good parts it would fail. Below {tightest:.2%} "
            "it takes more of them: {needed} for {half:.2%}.",
            threshold=threshold,
            n=n,
            highest=highest,
            tightest=tightest,
            needed=ml_adapter.needed_normals(tightest / 2),
            half=tightest / 2,
            field=f"threshold_{line}",
        )
    return operating.alpha_at(scores, threshold)


def _check_alphas(alpha_fail: float, alpha_review: float, n: int) -> None:
    if not 0 < alpha_fail < 1:
        raise UserError(
            "bad_alpha", "The false-call rate must lie between 0 and 1.", field="alpha_fail"
        )
    if not alpha_fail <= alpha_review < 1:
        raise UserError(
            "bad_alpha",
            "The review rate must be at least the false-call rate and below 1.",
            field="alpha_review",
        )
    if alpha_fail < ml_adapter.smallest_alpha(n):
        raise UserError(
            "alpha_too_small",
            "A false-call rate of {rate:g} needs {needed} calibration pictures; this model has "
            "{n}, which allow {best:.4f} at best.",
            rate=alpha_fail,
            needed=ml_adapter.needed_normals(alpha_fail),
            n=n,
            best=ml_adapter.smallest_alpha(n),
            field="alpha_fail",
        )


def _alphas(point: OperatingPoint | None) -> dict[str, float]:
    if point is None:
        return {}
    return {"alpha_fail": point.alpha_fail, "alpha_review": point.alpha_review}
