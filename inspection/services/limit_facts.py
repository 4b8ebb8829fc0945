"""What other limits of a model would mean, for programs: promises, misses, costs, last lots."""

from dataclasses import asdict
from typing import Any

from inspection import ml_adapter
from inspection.errors import UserError
from inspection.models import ModelVersion, Product

from . import operating, score_sources
from .models import calibration_scores
from .operating import Figures, Rate, Step


def limit_facts(
    version: ModelVersion,
    alpha_fail: float,
    alpha_review: float,
    *,
    lots: int = 10,
    defect_rate: float | None = None,
) -> dict[str, Any]:
    """Figures of the asked rates, and the verdicts of the last `lots` under them.

    `defect_rate`: share of defective parts, for the costs. Raises UserError at the rate that so
    few calibration parts cannot promise.
    """
    scores = calibration_scores(version)
    fail, review = _steps(scores, alpha_fail, alpha_review)
    known = score_sources.known_parts(version)
    product = version.viewpoint.product
    found = operating.figures(
        scores, known.defect_scores, fail, review, **_costs(product, defect_rate)
    )
    changes = score_sources.what_if(version, fail.threshold, review.threshold, lots)
    return {
        "calibration_parts": len(scores),
        "smallest_alpha": ml_adapter.smallest_alpha(len(scores)),
        **_told(found),
        "currency": product.currency,
        "lots": [_lot(lot) for lot in changes],
    }


def _steps(scores: list[float], fail: float, review: float) -> tuple[Step, Step]:
    smallest = ml_adapter.smallest_alpha(len(scores))
    if not smallest <= fail < 1:
        raise UserError(
            "alpha_too_small",
            "{n} calibration parts promise rates from {smallest:.4f} up.",
            n=len(scores),
            smallest=smallest,
            field="alpha_fail",
        )
    if not fail <= review < 1:
        raise UserError(
            "bad_alpha",
            "The review rate must be at least the false-call rate and below 1.",
            field="alpha_review",
        )
    return operating.step_for(scores, fail), operating.step_for(scores, review)


def _costs(product: Product, defect_rate: float | None) -> dict[str, float | None]:
    escape, overkill = product.cost_escape, product.cost_overkill
    return {
        "defect_rate": defect_rate,
        "cost_escape": None if escape is None else float(escape),
        "cost_overkill": None if overkill is None else float(overkill),
    }


def _told(found: Figures) -> dict[str, Any]:
    return {
        "fail": asdict(found.fail),
        "review": asdict(found.review),
        "false_calls_per_1000": {
            "expected": found.calls.expected,
            "low": found.calls.low,
            "high": found.calls.high,
        },
        "looked_at": found.looks,
        "missed_defects": _rate(found.misses),
        "costs_per_1000": asdict(found.costs) if found.costs else None,
    }


def _rate(rate: Rate) -> dict[str, float | int | None]:
    return {**asdict(rate), "value": rate.value}


def _lot(lot: score_sources.LotChange) -> dict[str, Any]:
    return {
        "kind": lot.kind,
        "id": str(lot.key),
        "name": lot.name,
        "total": lot.total,
        "changed": lot.changed,
        "moves": [{"was": was, "will": will, "count": n} for was, will, n in lot.moves],
    }
