"""The figures of the Today page in words: value, what it is made of, and the list behind it."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.urls import NoReverseMatch, reverse
from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from inspection.models import ReviewState
from inspection.services import kpis
from inspection.services.kpis import Figure, Sums, Why

from .reads_today import Waiting
from .scope import Scope

NONE = "–"
WHY: dict[Why, str | Promise] = {
    Why.NOTHING: NONE,
    Why.UNKNOWN: gettext_lazy("unknown"),
    Why.FEW_AUDITS: gettext_lazy("not enough audits"),
}


@dataclass(frozen=True)
class Change:
    """Against the period before. `tone` only where chance alone would hardly do it."""

    text: str
    up: bool
    tone: str


@dataclass(frozen=True)
class Tile:
    """One figure. `below` has the denominator; `about` says what the figure is."""

    key: str
    label: str
    value: str
    unit: str
    below: str
    about: str
    url: str
    change: "Change | None" = None

    @property
    def said(self) -> bool:
        """Whether the value is words instead of a number."""
        return not self.value[:1].isdigit()


def main(scope: Scope, sums: Sums, before: Sums | None, waiting: Waiting) -> list[Tile]:
    """The four that one looks at first. Each opens the parts of its numerator."""
    return [
        Tile(
            "inspected",
            _("Inspected"),
            number(sums.inspected),
            _("units"),
            _("%(passed)s passed, %(failed)s failed, %(review)s to review")
            % {
                "passed": number(sums.passed),
                "failed": number(sums.failed),
                "review": number(sums.review),
            },
            _("Decisions of record: the first inspection of each unit. Retests are not counted."),
            defects(scope),
        ),
        _figure(
            "fpy_raw",
            _("FPY, raw"),
            kpis.fpy_raw(sums),
            _("%(n)s of %(of)s units"),
            _("First-pass yield of the machine: passed without a person."),
            defects(scope, verdict="pass"),
            _change(kpis.fpy_raw, sums, before, better_up=True),
        ),
        _figure(
            "fpy_verified",
            _("FPY, verified"),
            kpis.fpy_verified(sums),
            _("%(n)s of %(of)s units"),
            _("First-pass yield after review. What waits for a person has not passed yet."),
            defects(scope, review="good"),
            _change(kpis.fpy_verified, sums, before, better_up=True),
        ),
        Tile(
            "queue",
            _("Waiting for review"),
            number(waiting.called + waiting.drawn),
            _("parts"),
            _("%(called)s called, %(audits)s drawn for audit")
            % {"called": number(waiting.called), "audits": number(waiting.drawn)},
            _("Whenever they were inspected: failed, in doubt, or passed and drawn for an audit.")
            + " "
            + _("Retests wait too."),
            _queue(scope, waiting),
        ),
    ]


def costs(scope: Scope, sums: Sums, before: Sums | None, downstream: int | None) -> list[Tile]:
    """What goes wrong, in both directions."""
    rejected = defects(scope, verdict="called", review=ReviewState.REJECTED)
    false_calls, units = kpis.false_call_ppm(sums), kpis.false_called_units(sums)
    return [
        _figure(
            "false_calls",
            _("False calls"),
            false_calls,
            _("%(n)s of %(of)s opportunities") + _in_units(units),
            _("Called by the machine, rejected by a person, per million opportunities."),
            rejected,
            _change(kpis.false_call_ppm, sums, before, better_up=False),
            in_words=_ppm,
            unit=_("ppm"),
        ),
        _figure(
            "overkill",
            _("Overkill"),
            kpis.overkill(sums),
            _("%(n)s of %(of)s good parts"),
            _("Good parts that the machine did not let pass."),
            rejected,
            _change(kpis.overkill, sums, before, better_up=False),
        ),
        _figure(
            "escapes",
            _("Escapes"),
            kpis.escape_rate(sums, downstream),
            _("%(n)s of %(of)s defects"),
            _("Defects found downstream, of all that were found. Unknown until one is reported."),
            page("escapes", "/verify/escapes/", scope.with_(**_days(scope))),
            unknown=_("no escape was ever reported"),
        ),
        _audited(scope, sums),
        _figure(
            "dpmo",
            _("DPMO, in process"),
            kpis.dpmo(sums),
            _("%(n)s of %(of)s opportunities"),
            _("Defects that a person confirmed, per million opportunities."),
            defects(scope, review="defect"),
            _change(kpis.dpmo, sums, before, better_up=False),
            in_words=_ppm,
        ),
    ]


def _audited(scope: Scope, sums: Sums) -> Tile:
    found, passed = kpis.underkill(sums), kpis.bad_among_passed(sums)
    if found.low is not None and found.high is not None:
        below = _("95 %%: %(low)s to %(high)s, from %(n)s audits") % {
            "low": percent(found.low),
            "high": percent(found.high),
            "n": number(sums.audited),
        }
    else:
        below = _("%(n)s of %(of)s audits") % {
            "n": number(sums.audited),
            "of": number(max(kpis.ENOUGH_AUDITS, sums.audited)),
        }
    about = _(
        "Bad parts that the machine passed, of all bad parts: estimated from passed parts drawn "
        "at random for an audit."
    )
    if passed.value is not None:
        about += " " + _("Of the passed parts %(share)s are bad (%(bad)s of %(n)s audited).") % {
            "share": percent(passed.value),
            "bad": number(sums.audited_bad),
            "n": number(sums.audited),
        }
    url = defects(scope, verdict="audit", review="defect")
    value, unit = _text(found, percent)
    return Tile("underkill", _("Underkill"), value, unit, below, about, url)


def _in_units(units: Figure) -> str:
    if units.value is None:
        return ""
    return " · " + _("%(share)s of units") % {"share": percent(units.value).replace("%", "%%")}


def _change(
    figure: Callable[[Sums], Figure], sums: Sums, before: Sums | None, *, better_up: bool
) -> Change | None:
    """None where there is nothing to compare, or nothing changed that one could read."""
    if before is None:
        return None
    now, then = figure(sums), figure(before)
    if now.value is None or then.value is None:
        return None
    gap = now.value - then.value
    ppm = figure in (kpis.false_call_ppm, kpis.dpmo)
    text = number(abs(gap)) if ppm else _("%(n)s points") % {"n": number(abs(gap) * 100, 1)}
    if not any(digit in "123456789" for digit in text):
        return None
    tone = ("v-pass" if (gap > 0) == better_up else "v-fail") if kpis.differ(now, then) else ""
    return Change(text, gap > 0, tone)


def _figure(
    key: str,
    label: str,
    figure: Figure,
    below: str,
    about: str,
    url: str,
    change: Change | None = None,
    *,
    in_words: Callable[[float], str] | None = None,
    unit: str = "",
    unknown: str = "",
) -> Tile:
    """A share, or what `in_words` makes of the value, with `unit` where there is a value."""
    value, own_unit = _text(figure, in_words or percent)
    said = unknown if unknown and figure.why == Why.UNKNOWN else below % _parts(figure)
    unit = own_unit or (unit if figure.value is not None else "")
    return Tile(key, label, value, unit, said, about, url, change)


def _ppm(value: float) -> str:
    return number(value, 1 if value < 10 else 0)


def _parts(figure: Figure) -> dict[str, str]:
    return {"n": number(figure.numerator), "of": number(figure.denominator)}


def _text(figure: Figure, in_words: Callable[[float], str]) -> tuple[str, str]:
    """(value, unit); the words why where there is no value."""
    if figure.value is None:
        return str(WHY[figure.why or Why.NOTHING]), ""
    value, _space, unit = in_words(figure.value).partition(" ")
    return value, unit


def percent(share: float) -> str:
    """`0.9758` → `97.6 %`; two digits near the ends, where they matter."""
    near_an_end = 0 < share < 0.01 or 0.99 < share < 1
    return f"{number(share * 100, 2 if near_an_end else 1)} %"


def number(value: float, digits: int = 0) -> str:
    return str(number_format(round(value, digits), digits, use_l10n=True, force_grouping=True))


# --- addresses ---------------------------------------------------------------------------


def defects(scope: Scope, **filters: Any) -> str:
    """The list of decisions of record of this scope that `filters` narrow."""
    return page("defects", "/defects/", scope.with_(**{**_days(scope), **filters, "record": 1}))


def called(scope: Scope, **filters: Any) -> str:
    """The list of what the machine did not let pass."""
    return defects(scope, verdict="called", **filters)


def confirmed(scope: Scope) -> str:
    """The list of defects, to which the bar of a reason adds `reason=`."""
    return defects(scope, review="defect")


def _queue(scope: Scope, waiting: Waiting) -> str:
    """Where they are judged, or for who may judge none of them, where they are listed."""
    always = {"period": None, "since": None, "until": None}
    if waiting.may_review:
        return page("verify", "/verify/", scope.with_(**always))
    return page("defects", "/defects/", scope.with_(**always, review="queue"))


def _days(scope: Scope) -> dict[str, Any]:
    return {"period": None, "since": scope.first_day, "until": scope.last_day}


def page(name: str, path: str, query: str) -> str:
    with contextlib.suppress(NoReverseMatch):
        path = reverse(name)
    return f"{path}?{query}" if query else path
