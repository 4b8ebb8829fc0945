"""What the page of an operating point shows: the asked limits, and the chart's geometry."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from inspection import ml_adapter
from inspection.models import ModelVersion, OperatingPoint, Product
from inspection.services import operating, score_sources
from inspection.services.models import calibration_scores
from inspection.services.operating import Figures, Step
from inspection.services.score_sources import Known, LotChange

LOTS, MOST_LOTS = 10, 50
UP, DOWN, MIDDLE = 116.0, 84.0, 124.0  # pixels: bars of normals, of defects, the line between


def source_words() -> dict[str, str]:
    """Where known parts come from, in words."""
    return {
        "calibration": _("calibration: good parts that were never trained on"),
        "golden": _("golden set"),
        "reviews": _("confirmed by inspectors"),
        "escapes": _("found downstream"),
        "trials": _("labelled trials"),
    }


@dataclass(frozen=True)
class Asked:
    """What the address asks for. `problem` says why other limits are shown than were asked."""

    fail: Step
    review: Step
    lots: int
    defects: float | None
    problem: str = ""
    custom: bool = False

    @classmethod
    def of(cls, given: Mapping[str, str], scores: list[float], point: OperatingPoint) -> "Asked":
        lots = given.get("lots", "")
        how_many = min(MOST_LOTS, max(1, int(lots))) if lots.isdecimal() and lots else LOTS
        defects = _number(given.get("defects", ""))
        share = defects / 1000 if defects is not None and 0 <= defects <= 1000 else None
        fail, review = operating.point_as_steps(scores, point)
        alphas = [_number(given.get(name, "")) for name in ("fail", "review")]
        if None in alphas:
            return cls(fail, review, how_many, share)
        wanted = [(alpha or 0.0) / 100 for alpha in alphas]
        if problem := _problem(wanted, len(scores)):
            return cls(fail, review, how_many, share, problem)
        chosen = [operating.step_for(scores, alpha) for alpha in wanted]
        same = chosen[0].threshold == fail.threshold and chosen[1].threshold == review.threshold
        return cls(chosen[0], chosen[1], how_many, share, custom=not same)


def per_cent(alpha: float) -> str:
    """A rate as a field holds it: rounded up, so that it still can be promised when it comes
    back."""
    return f"{math.ceil(alpha * 1e6 - 1e-6) / 1e4:g}"


def _problem(wanted: list[float], n: int) -> str:
    fail, review = wanted
    if not 0 < fail <= review < 1:
        return _(
            "Rates lie between 0 and 100 %, and the review rate is at least the false-call rate."
        )
    if fail < ml_adapter.smallest_alpha(n):
        return _(
            "At most {alpha} % of good parts failing needs {needed} calibration parts; this model "
            "has {n}, which promise {best} % at best. Train with more pictures of good parts."
        ).format(
            alpha=f"{fail * 100:g}",
            needed=ml_adapter.needed_normals(fail),
            n=n,
            best=f"{ml_adapter.smallest_alpha(n) * 100:.3g}",
        )
    return ""


def _number(text: str) -> float | None:
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


@dataclass(frozen=True)
class Totals:
    """The last lots together."""

    lots: list[LotChange]

    @property
    def total(self) -> int:
        return sum(lot.total for lot in self.lots)

    @property
    def changed(self) -> int:
        return sum(lot.changed for lot in self.lots)

    @property
    def verified(self) -> int:
        return sum(lot.verified for lot in self.lots)

    @property
    def confirmed(self) -> int:
        return sum(lot.confirmed for lot in self.lots)

    @property
    def defect_rate(self) -> float | None:
        """Confirmed here; unknown while nobody has verified anything."""
        return self.confirmed / self.total if self.verified and self.total else None

    @property
    def fpy_was(self) -> operating.Rate:
        return operating.rate(sum(lot.was("pass") for lot in self.lots), self.total)

    @property
    def fpy_will(self) -> operating.Rate:
        return operating.rate(sum(lot.will("pass") for lot in self.lots), self.total)

    @property
    def moves(self) -> list[tuple[str, str, int]]:
        """(was, will, how many) over all lots, only what changes."""
        sums: dict[tuple[str, str], int] = {}
        for lot in self.lots:
            for was, will, n in lot.moves:
                sums[was, will] = sums.get((was, will), 0) + n
        return [(was, will, n) for (was, will), n in sums.items()]


def facts(version: ModelVersion, point: OperatingPoint, asked: Asked) -> dict[str, Any]:
    """Everything about the asked limits, and about those in force to compare with."""
    product = version.viewpoint.product
    scores = calibration_scores(version)
    known = score_sources.known_parts(version)
    lots = score_sources.what_if(version, asked.fail.threshold, asked.review.threshold, asked.lots)
    totals = Totals(lots)
    rate = asked.defects if asked.defects is not None else totals.defect_rate
    now_fail, now_review = operating.point_as_steps(scores, point)
    now = _figures(scores, known, now_fail, now_review, rate, product)
    will = _figures(scores, known, asked.fail, asked.review, rate, product)
    return {
        "asked": asked,
        "now": now,
        "will": will,
        "known": known,
        "sources": _sources(known),
        "totals": totals,
        "lots": lots,
        "defect_rate": rate,
        "defects_per_1000": None if rate is None else rate * 1000,
        "missing": _missing(product, rate, known),
        "saving": _saving(now, will),
        "smallest": ml_adapter.smallest_alpha(len(scores)),
        "calibration": len(scores),
        "currency": product.currency,
    }


def _figures(
    scores: list[float],
    known: Known,
    fail: Step,
    review: Step,
    rate: float | None,
    product: Product,
) -> Figures:
    escape, overkill = product.cost_escape, product.cost_overkill
    return operating.figures(
        scores,
        known.defect_scores,
        fail,
        review,
        defect_rate=rate,
        cost_escape=None if escape is None else float(escape),
        cost_overkill=None if overkill is None else float(overkill),
    )


def _saving(now: Figures, will: Figures) -> float | None:
    if now.costs is None or will.costs is None:
        return None
    return will.costs.value - now.costs.value


def _missing(product: Product, rate: float | None, known: Known) -> list[str]:
    """What keeps the cost unknown."""
    found = []
    if product.cost_escape is None or product.cost_overkill is None:
        found.append(_("the costs of an escape and of an overkill"))
    if not known.defect_scores:
        found.append(_("parts with a known defect"))
    if rate is None:
        found.append(_("how many of 1,000 parts are defective"))
    return found


def _sources(known: Known) -> list[dict[str, Any]]:
    words = source_words()
    return [
        {"kind": kind, "word": words[source.key], "n": len(source.scores)}
        for kind, sources in (("normals", known.normals), ("defects", known.defects))
        for source in sources
    ]


# --- the chart ----------------------------------------------------------------------------


def chart(version: ModelVersion, known: Known, asked: Asked) -> dict[str, Any]:
    """Bars and lines in per cent of the width and pixels of the height; `steps` for the script."""
    normals, defects = known.normal_scores, known.defect_scores
    low, high = operating.scale(normals, defects)
    bins = operating.histogram(normals, defects)
    most = (max(b.normals for b in bins) or 1, max((b.defects for b in bins), default=0) or 1)
    bars = []
    for one in bins:
        up, down = UP * one.normals / most[0], DOWN * one.defects / most[1]
        bars.append(
            {
                "x": _place(one.low, low, high),
                "up": round(max(up, 1.5) if one.normals else 0, 1),
                "y": round(MIDDLE - (max(up, 1.5) if one.normals else 0), 1),
                "down": round(max(down, 1.5) if one.defects else 0, 1),
                "bin": one,
            }
        )
    scores = calibration_scores(version)
    found = operating.steps(scores)
    fail, review = (_place(step.threshold, low, high) for step in (asked.fail, asked.review))
    return {
        "low": low,
        "high": high,
        "beyond": max([*normals, *defects]) > high,
        "bars": bars,
        "width": round(100 / len(bins) - 0.15, 3),
        "middle": MIDDLE,
        "fail": fail,
        "review": review,
        "review_width": round(max(0.0, fail - review), 2),
        "fail_width": round(100 - fail, 2),
        "steps": {
            "low": low,
            "high": high,
            "steps": [
                {"rate": per_cent(s.alpha), "threshold": s.threshold} for s in reversed(found)
            ],
            "fail": asked.fail.threshold,
            "review": asked.review.threshold,
        },
        "last": len(found) - 1,
    }


def _place(value: float, low: float, high: float) -> float:
    return round(min(100.0, max(0.0, 100 * (value - low) / (high - low))), 2)
