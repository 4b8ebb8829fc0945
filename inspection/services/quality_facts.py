"""What a quality report says of a product over a period: sums and figures by day, reasons,
models, and the worst parts. Everything over decisions of record (docs/kpis.md)."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from django.db.models import Count, Q, Sum
from django.db.models.functions import TruncDay
from django.utils import timezone
from django.utils.translation import gettext as _

from inspection.models import (
    DefectTally,
    Escape,
    HourlyTally,
    ImageResult,
    Inspection,
    Product,
    Verdict,
)

from . import kpis
from .kpis import Figure, Sums

COLUMNS = tuple(name for name in Sums.__dataclass_fields__ if name != "opportunities")
WORST = 12


@dataclass(frozen=True)
class Day:
    begin: datetime
    sums: Sums
    fpy_raw: Figure
    fpy_verified: Figure
    limits: kpis.Limits


@dataclass(frozen=True)
class QualityFacts:
    """A product from `since` to `until`, not included."""

    product: Product
    since: datetime
    until: datetime

    def by_day(self) -> list[Day]:
        """Every day of the plant in the period, also those in which nothing was inspected. The
        first and the last are cut where the period begins or ends within them."""
        rows = (
            self._within(HourlyTally)
            .annotate(day=TruncDay("hour", tzinfo=timezone.get_current_timezone()))
            .order_by()
            .values_list("day", *(Sum(name) for name in COLUMNS))
        )
        found: dict[date, Sums] = defaultdict(Sums)
        for day, *values in rows:
            named = dict(zip(COLUMNS, map(int, values), strict=True))
            named["opportunities"] = named["inspected"] * self.product.opportunities_per_unit
            found[day.date()] += Sums(**named)
        begins = self._days()
        sums = [found.get(timezone.localdate(begin), Sums()) for begin in begins]
        # Of what was read, not read again: somebody may review a part between two questions.
        if kpis.total(sums) != kpis.total(found.values()):
            raise RuntimeError(f"the days from {self.since} to {self.until} do not add up")
        _centre, limits = kpis.p_chart([(one.inspected, one.called) for one in sums])
        return [
            Day(begin, one, kpis.fpy_raw(one), kpis.fpy_verified(one), limit)
            for begin, one, limit in zip(begins, sums, limits, strict=True)
        ]

    def _days(self) -> list[datetime]:
        """The begin of each day of the plant that has a part in the period, the first cut."""
        first = timezone.localdate(self.since)
        last = timezone.localdate(self.until - timedelta(microseconds=1))
        days = (first + timedelta(days=n) for n in range(1, (last - first).days + 1))
        midnights = (timezone.make_aware(datetime.combine(day, time())) for day in days)
        return [timezone.localtime(self.since), *midnights]

    @property
    def whole_days(self) -> bool:
        """Whether no day of the period is cut."""
        ends = map(timezone.localtime, (self.since, self.until))
        return all(end.time() == time() for end in ends)

    def figures(self, sums: Sums) -> list[tuple[str, str, Figure, str]]:
        """(key, words, figure, unit) in the order of the report."""
        return [
            ("fpy_raw", _("First-pass yield, machine"), kpis.fpy_raw(sums), "%"),
            ("fpy_verified", _("First-pass yield, verified"), kpis.fpy_verified(sums), "%"),
            ("false_calls", _("False calls"), kpis.false_call_ppm(sums), "ppm"),
            ("overkill", _("Overkill"), kpis.overkill(sums), "%"),
            ("underkill", _("Underkill, from audits"), kpis.underkill(sums), "%"),
            ("dpmo", _("Defects per million, in-process"), kpis.dpmo(sums), "ppm"),
            ("escapes", _("Escape rate"), kpis.escape_rate(sums, self.escapes()), "%"),
        ]

    def escapes(self) -> int | None:
        """How many units were found downstream in the period; None if none was ever reported."""
        period = Q(found_at__gte=self.since, found_at__lt=self.until)
        counts = Escape.objects.filter(unit__product=self.product, withdrawn_at=None).aggregate(
            ever=Count("pk"), now=Count("unit", filter=period, distinct=True)
        )
        return counts["now"] if counts["ever"] else None

    def reasons(self) -> list[dict[str, Any]]:
        """Confirmed defects by reason, the most frequent first."""
        rows = (
            self._within(DefectTally)
            .filter(confirmed__gt=0)
            .order_by()
            .values("reason_code__code", "reason_code__text")
            .annotate(n=Sum("confirmed"))
            .order_by("-n", "reason_code__code")
        )
        most = max((row["n"] for row in rows), default=0)
        return [
            {
                "code": row["reason_code__code"] or "",
                "text": row["reason_code__text"] or "",
                "n": row["n"],
                "share": row["n"] / most,
            }
            for row in rows
        ]

    def models(self) -> list[dict[str, Any]]:
        """Which models judged how many units."""
        rows = (
            self._within(HourlyTally)
            .order_by()
            .values("viewpoint__name", "model_version__number", "model_version__method")
        )
        return list(rows.annotate(n=Sum("inspected")).order_by("model_version__number"))

    def worst(self) -> list[ImageResult]:
        """The parts with the highest scores that failed in the period."""
        found = (
            Inspection.objects.filter(
                viewpoint__product=self.product,
                is_record=True,
                verdict=Verdict.FAILED,
                completed_at__gte=self.since,
                completed_at__lt=self.until,
                score__isnull=False,
            )
            .order_by("-score", "pk")
            .values_list("pk", flat=True)[:WORST]
        )
        results = ImageResult.objects.filter(inspection__in=list(found), verdict=Verdict.FAILED)
        chosen = results.select_related("inspection__unit", "inspection__lot", "picture")
        return sorted(chosen, key=lambda one: -(one.score or 0.0))[:WORST]

    def _within(self, model: Any) -> Any:
        return model.objects.filter(
            viewpoint__product=self.product, hour__gte=self.since, hour__lt=self.until
        )


def lines(facts: QualityFacts, days: list[Day], add: Callable[[list[Any]], None]) -> None:
    """The facts as lines, for their SHA-256."""
    add(["product", facts.product.code, facts.since, facts.until])
    add(["day", *Sums.__dataclass_fields__])
    for day in days:
        add([day.begin, *(getattr(day.sums, name) for name in Sums.__dataclass_fields__)])
    for reason in facts.reasons():
        add(["reason", reason["code"], reason["n"]])
    add(["escapes", facts.escapes()])
