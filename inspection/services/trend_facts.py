"""The charts of the page Today for programs: its trend, its Pareto, its places on the part."""

from itertools import islice
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_noop as _

from inspection.errors import UserError

from . import kpis, tally_sums
from .kpi_facts import told
from .tally_sums import DAY, HOUR, Span

MOST_POINTS = 400  # more than a year of days, or sixteen days of hours
MOST_REASONS, MOST_SIDES = 100, 100


def trend_facts(span: Span, *, by_hour: bool) -> dict[str, Any]:
    """`{centre, points}` of the p-chart of called parts: hours or days of the plant's clock, from
    the one in which the time begins, until now; the first and the last hold what of them lies in
    the time. Raises UserError for too many."""
    until = min(span.until, timezone.now())
    if (until - span.since) / (HOUR if by_hour else DAY) > MOST_POINTS:
        few = _("This would be more than {most} points. Ask for a shorter time.")
        fewer = _("This would be more than {most} points. Ask for a shorter time, or by day.")
        sentence = fewer if by_hour else few
        raise UserError("too_many_points", sentence, most=MOST_POINTS, field="until")
    since = tally_sums.begin_of(span.since, by_hour=by_hour)
    times = tally_sums.begins(since, until, by_hour=by_hour) if span.since < until else []
    found = tally_sums.sums_by(span, by_hour=by_hour) if times else []
    shown = tally_sums.buckets(times, found)
    centre, limits = kpis.p_chart([(one.sums.inspected, one.sums.called) for one in shown])
    points = [
        {
            "at": one.begin.isoformat(),
            "inspected": limit.n,
            "called": limit.hits,
            "share": limit.share,
            "low": limit.low,
            "high": limit.high,
            "outside": limit.outside,
            "sums": told(one.sums),
        }
        for one, limit in zip(shown, limits, strict=True)
    ]
    return {"centre": centre, "points": points}


def reason_facts(span: Span) -> dict[str, Any]:
    """`{total, reasons}`: confirmed defects by reason, the most frequent first, at most
    MOST_REASONS of them; code null: those without one."""
    found = tally_sums.by_reason(span)
    return {
        "total": sum(n for _code, _text, n in found),
        "reasons": [
            {"code": code or None, "text": text, "confirmed": n}
            for code, text, n in found[:MOST_REASONS]
        ],
    }


def place_facts(span: Span) -> list[dict[str, Any]]:
    """Per viewpoint, calls and confirmed defects by place; those with most calls first, at most
    MOST_SIDES."""
    return [
        {
            "viewpoint": str(side.viewpoint),
            "code": side.code,
            "cells": [
                {"cell": cell, "calls": calls, "confirmed": confirmed}
                for cell, (calls, confirmed) in sorted(cells.items())
            ],
        }
        for side, cells in islice(tally_sums.by_place(span).items(), MOST_SIDES)
    ]
