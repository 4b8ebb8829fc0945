"""The quality report of a product over a period, as PDF."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from inspection.models import ImageResult, Report

from . import kpis, quality_facts, report_pictures
from .csv_files import HashedCsv
from .kpis import Figure, Why
from .quality_facts import Day, QualityFacts
from .report_pdf import Pdf

Step = Callable[[str, int, int], None]
WIDE, HIGH = 520, 130  # of the chart, in its own units


def write(report: Report, target: Path, step: Step, title: str) -> str:
    """Write the report; returns the SHA-256 of its sums."""
    assert report.since  # noqa: S101  (checked when it was ordered)
    assert report.until  # noqa: S101
    facts = QualityFacts(report.product, report.since, report.until)
    days = facts.by_day()
    sums = kpis.total(day.sums for day in days)
    hashed = HashedCsv()
    quality_facts.lines(facts, days, hashed.add)
    step("list", 1, 1)
    worst = facts.worst()
    pictures: dict[str, Callable[[], bytes]] = {}
    for result in worst:
        pictures |= report_pictures.of_result(result)
    document = Pdf(title)
    step("pictures", 0, len(worst))
    document.add(
        "reports/pdf/quality.html",
        {
            "report": report,
            "product": report.product,
            "days": days,
            "whole_days": facts.whole_days,
            "sums": sums,
            "figures": [_row(*figure) for figure in facts.figures(sums)],
            "chart": _chart(days),
            "reasons": facts.reasons(),
            "models": facts.models(),
            "worst": [_shown(result, pictures) for result in worst],
            "contents_sha256": hashed.sha256,
            "made_at": timezone.now(),
        },
        pictures,
    )
    step("write", 0, 1)
    document.write(target)
    return hashed.sha256


def _row(key: str, words: str, figure: Figure, unit: str) -> dict[str, Any]:
    scale = 100 if unit == "%" else 1
    return {
        "key": key,
        "words": words,
        "value": None if figure.value is None else figure.value * scale,
        "unit": unit,
        "numerator": figure.numerator,
        "denominator": figure.denominator,
        "low": None if figure.low is None else figure.low * scale,
        "high": None if figure.high is None else figure.high * scale,
        "why": _why(figure.why),
    }


def _why(why: Why | None) -> str:
    """Why there is no value, in words."""
    return {
        None: "",
        Why.NOTHING: _("nothing inspected"),
        Why.UNKNOWN: _("unknown: no escape was ever reported"),
        Why.FEW_AUDITS: _("not enough audits"),
    }[why]


def _shown(result: ImageResult, pictures: dict[str, Any]) -> dict[str, Any]:
    names = [f"{result.pk}-{kind}" for kind in ("part", "heat")]
    return {"result": result, "kept": [name for name in names if name in pictures]}


def _chart(days: list[Day]) -> dict[str, Any]:
    """The p-chart of called parts: points and limits in the units of an SVG."""
    known = [day for day in days if day.limits.share is not None]
    top = max((max(d.limits.share or 0, d.limits.high or 0) for d in known), default=0) or 1.0
    step = WIDE / max(1, len(days))

    def at(index: int, value: float) -> tuple[float, float]:
        return round((index + 0.5) * step, 1), round(HIGH - value / top * HIGH, 1)

    points = [
        (*at(n, day.limits.share), day.limits.outside)
        for n, day in enumerate(days)
        if day.limits.share is not None
    ]
    limits = [
        (
            round(n * step, 1),
            round((n + 1) * step, 1),
            at(n, day.limits.low or 0)[1],
            at(n, day.limits.high or 0)[1],
        )
        for n, day in enumerate(days)
        if day.limits.share is not None
    ]
    line = " ".join(f"{x},{y}" for x, y, _out in points)
    return {
        "wide": WIDE,
        "high": HIGH,
        "top": top,
        "points": points,
        "limits": limits,
        "line": line,
    }
