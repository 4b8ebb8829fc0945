"""What a person wants to see of everything ever inspected, as the address of the page says it.

Other pages link here by the same names: `Filters.link(verdict="fail", cell=27)`.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from inspection.models import Product, Viewpoint
from inspection.querysets import Wanted
from inspection.services.inspection_choices import NONE as NONE
from inspection.services.inspection_choices import Choices as Choices
from inspection.services.inspection_choices import is_named
from inspection.services.inspection_wishes import Wish
from inspection.services.verdicts import CELLS

from . import words
from .scope import DAYS, PERIODS

# Names in the address, in the order in which the page lists them, and what they are called.
LABELS: Mapping[str, str | Promise] = {
    "product": gettext_lazy("Product"),
    "viewpoint": gettext_lazy("Viewpoint"),
    "line": gettext_lazy("Line"),
    "station": gettext_lazy("Station"),
    "period": gettext_lazy("Period"),
    "since": gettext_lazy("From"),
    "until": gettext_lazy("Until"),
    "lot": gettext_lazy("Lot"),
    "work_order": gettext_lazy("Work order"),
    "serial": gettext_lazy("Serial"),
    "panel": gettext_lazy("Panel"),
    "position": gettext_lazy("Position"),
    "verdict": gettext_lazy("Verdict"),
    "review": gettext_lazy("Review state"),
    "score_min": gettext_lazy("Score ≥"),
    "score_max": gettext_lazy("Score ≤"),
    "reason": gettext_lazy("Reason"),
    "cell": gettext_lazy("Place on the part"),
    "model": gettext_lazy("Model"),
    "record": gettext_lazy("Decisions of record"),
}
NAMES = tuple(LABELS)
# What is said where the address asks for none.
NOTHING: Mapping[str, str | Promise] = {
    "station": gettext_lazy("no station"),
    "reason": gettext_lazy("No reason given"),
}
LONGEST = 120


class Refused(Exception):
    """A value in the address means nothing; the text says what would."""


@dataclass
class Filters:
    """`values` is what the address says, `wanted` what it means, `problems` which values mean
    nothing, by name: then nothing is found rather than too much. `wish` knows what was meant."""

    values: dict[str, str]
    choices: Choices
    problems: dict[str, str] = field(default_factory=dict)
    wish: Wish = field(init=False)

    @classmethod
    def of(cls, params: Mapping[str, Any], choices: Choices) -> "Filters":
        """Read the address; names that are not ours are no concern of ours."""
        given = {name: str(params.get(name, "")).strip() for name in NAMES}
        filters = cls({n: v[:LONGEST] for n, v in given.items() if v and "\0" not in v}, choices)
        filters._read()
        return filters

    # --- addresses -----------------------------------------------------------------------

    @staticmethod
    def link(**values: Any) -> str:
        """The address of the Defects page that lists exactly these."""
        return f"{reverse('defects')}?{urlencode(_said(values))}"

    def query(self, **changes: Any) -> str:
        """These filters as a query, with some changed; None takes one away."""
        return urlencode(_said({**self.values, **changes}))

    @property
    def chips(self) -> list[dict[str, str]]:
        """Each filter that is on: what it is called, what it says, and the query without it."""
        return [
            {
                "name": name,
                "label": str(LABELS[name]),
                "text": self._text(name),
                "without": self.query(**{name: None}),
            }
            for name in NAMES
            if name in self.values
        ]

    @property
    def product(self) -> Product | None:
        """The one product that is asked for."""
        return self.wish.product

    @property
    def viewpoints(self) -> list[Viewpoint]:
        """Those of the one product that is asked for, or all that one may see."""
        return self.wish.viewpoints

    # --- what they mean ------------------------------------------------------------------

    def _read(self) -> None:
        asked: dict[str, Any] = {}
        for name, text in self.values.items():
            try:
                asked |= READ[name](text) if name in READ else {name: text}
            except Refused as refused:
                self.problems[name] = str(refused)
        self.wish = Wish(asked, self.choices)
        self.problems |= {name: one.message for name, one in self.wish.refused.items()}

    @property
    def wanted(self) -> Wanted:
        return self.wish.wanted

    # --- what they are called ------------------------------------------------------------

    def _text(self, name: str) -> str:
        value = self.values[name]
        if name in self.problems:
            return value
        if name == "cell":
            row, column = divmod(int(value), CELLS)
            return _("row {row}, column {column}").format(row=row + 1, column=column + 1)
        if name == "record":
            return _("only")
        if name == "period":
            return str(PERIODS[value])
        if name in ("since", "until"):
            return value.replace("T", " ")
        if name == "verdict":
            return str(words.by_key(value).word)
        if name == "review":
            return str(words.review_word(value))
        if name == "model":
            return str(self.wish.model.number) if self.wish.model else value
        if value == NONE and name in NOTHING:
            return str(NOTHING[name])
        named: dict[str, tuple[Iterable[Any], str]] = {
            "product": (self.choices.products, "name"),
            "viewpoint": (self.viewpoints, "name"),
            "station": (self.choices.stations, "name"),
            "reason": (self.wish.reasons, "text"),
        }
        return _named(*named[name], value) if name in named else value


def _said(values: Mapping[str, Any]) -> dict[str, str]:
    said: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, datetime):
            value = timezone.localtime(value).strftime("%Y-%m-%dT%H:%M")
        if value not in (None, ""):
            said[name] = "1" if value is True else str(value)
    return said


def _named(things: Iterable[Any], attribute: str, asked: str) -> str:
    found = (one for one in things if is_named(one, asked))
    return str(getattr(next(found, None), attribute, asked))


def _period(text: str) -> dict[str, Any]:
    """Days up to now, as the top bar calls them; `custom` is what `since` and `until` say."""
    if text not in PERIODS:
        raise Refused(_("There is no such period."))
    if text not in DAYS:
        return {}
    first = timezone.localdate() - timedelta(days=DAYS[text] - 1)
    return {"since": timezone.make_aware(datetime.combine(first, time.min))}


def _since(text: str) -> dict[str, Any]:
    return {"since": _moment(text)}


def _until(text: str) -> dict[str, Any]:
    """A day is meant to its end; a time of day is the end itself."""
    return {"until": _moment(text) + (timedelta(days=1) if _is_day(text) else timedelta())}


def _is_day(text: str) -> bool:
    return re.fullmatch(r"\d{4}-\d\d-\d\d", text) is not None


def _moment(text: str) -> datetime:
    try:
        day = parse_date(text) if _is_day(text) else None
        moment = datetime.combine(day, time.min) if day else parse_datetime(text)
    except ValueError:
        moment = None
    if moment is None or not 1970 <= moment.year < 9000:
        raise Refused(_("A time is written like 2026-11-25 or 2026-11-25T14:30."))
    return timezone.make_aware(moment) if timezone.is_naive(moment) else moment


def _number(text: str) -> float:
    if not re.fullmatch(r"-?\d{0,12}([.,]\d{1,12})?(e-?\d{1,2})?", text) or text in ("", "-"):
        raise Refused(_("A score is a number like 1.25."))
    try:
        return float(text.replace(",", "."))
    except ValueError as error:
        raise Refused(_("A score is a number like 1.25.")) from error


def _whole(text: str, most: int) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) > most:
        raise Refused(_("A whole number from 0 to {most} is needed.").format(most=most))
    return int(text)


# What the address says in figures; all else is read as it is written.
READ: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "period": _period,
    "since": _since,
    "until": _until,
    "position": lambda text: {"position": _whole(text, 1_000_000)},
    "score_min": lambda text: {"score_min": _number(text)},
    "score_max": lambda text: {"score_max": _number(text)},
    "cell": lambda text: {"cell": _whole(text, CELLS * CELLS - 1)},
    "record": lambda text: {"record": True if text == "1" else None},
}
