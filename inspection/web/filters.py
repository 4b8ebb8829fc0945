"""What a person wants to see of everything ever inspected, as the address of the page says it.

Other pages link here by the same names: `Filters.link(verdict="fail", cell=27)`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Case, Value, When
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from inspection.models import (
    Lot,
    Product,
    ReasonCode,
    ReviewState,
    Station,
    User,
    Viewpoint,
)
from inspection.querysets import VERDICTS, Wanted
from inspection.services.verdicts import CELLS

from . import words
from .access import may_see
from .scope import DAYS, PERIODS

# Names in the address, in the order in which the page lists them, and what they are called.
LABELS: Mapping[str, str | Promise] = {
    "product": gettext_lazy("Product"),
    "line": gettext_lazy("Line"),
    "station": gettext_lazy("Station"),
    "period": gettext_lazy("Period"),
    "since": gettext_lazy("From"),
    "until": gettext_lazy("Until"),
    "lot": gettext_lazy("Lot"),
    "work_order": gettext_lazy("Work order"),
    "serial": gettext_lazy("Serial"),
    "position": gettext_lazy("Position"),
    "verdict": gettext_lazy("Verdict"),
    "review": gettext_lazy("Review state"),
    "score_min": gettext_lazy("Score ≥"),
    "score_max": gettext_lazy("Score ≤"),
    "reason": gettext_lazy("Reason"),
    "cell": gettext_lazy("Place on the part"),
    "record": gettext_lazy("Decisions of record"),
}
NAMES = tuple(LABELS)
LONGEST = 120
MOST_REASONS = 300


class Refused(Exception):
    """A value in the address means nothing; the text says what would."""


class Choices:
    """What there is to choose from for one person, each asked for when it is needed."""

    def __init__(self, user: User) -> None:
        self._user = user

    @cached_property
    def _every(self) -> list[Any]:
        seen = Case(When(may_see(self._user, "product"), then=Value(True)), default=Value(False))
        views = Viewpoint.objects.annotate(seen=seen).select_related("product")
        return list(views.order_by("product__code", "code"))

    @cached_property
    def viewpoints(self) -> list[Viewpoint]:
        return [one for one in self._every if one.seen]

    @property
    def sees_all(self) -> bool:
        """Then nothing needs be said of viewpoints, and any index may be used."""
        return len(self.viewpoints) == len(self._every)

    @cached_property
    def stations(self) -> list[Station]:
        return list(Station.objects.order_by("line", "code"))

    @cached_property
    def reasons(self) -> list[ReasonCode]:
        codes = ReasonCode.objects.filter(may_see(self._user, "product"))
        return list(
            codes.select_related("product").order_by("product__code", "code")[:MOST_REASONS]
        )

    @property
    def products(self) -> list[Product]:
        return list({one.product_id: one.product for one in self.viewpoints}.values())

    @property
    def lines(self) -> list[str]:
        return sorted({one.line for one in self.stations if one.line})


@dataclass
class Filters:
    """`values` is what the address says, `wanted` what it means, `problems` which values mean
    nothing, by name: then nothing is found rather than too much."""

    values: dict[str, str]
    choices: Choices
    wanted: Wanted = field(default_factory=Wanted)
    problems: dict[str, str] = field(default_factory=dict)

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
        asked = self.values.get("product", "")
        return next((one for one in self.choices.products if _is(one, asked)), None)

    # --- what they mean ------------------------------------------------------------------

    def _read(self) -> None:
        meant: dict[str, Any] = {}
        for name in self.values:
            try:
                meant |= getattr(self, f"_{name}")(self.values[name])
            except Refused as refused:
                self.problems[name] = str(refused)
        stations = meant.pop("of_line", None)
        if stations is not None:
            chosen = meant.get("stations", stations)
            meant["stations"] = tuple(key for key in chosen if key in set(stations))
        if not self.choices.sees_all and "viewpoints" not in meant:
            meant["viewpoints"] = tuple(one.pk for one in self.choices.viewpoints)
        if "lot_code" in meant:
            meant["lots"] = self._lots(meant.pop("lot_code"))
        self.wanted = Wanted(**meant)

    def _product(self, text: str) -> dict[str, Any]:
        if self.product is None:
            raise Refused(_("There is no such product, or you may not see it."))
        key = self.product.pk
        return {"viewpoints": tuple(v.pk for v in self.choices.viewpoints if v.product_id == key)}

    def _line(self, text: str) -> dict[str, Any]:
        return {"of_line": tuple(one.pk for one in self.choices.stations if one.line == text)}

    def _station(self, text: str) -> dict[str, Any]:
        keys = tuple(one.pk for one in self.choices.stations if _is(one, text))
        if not keys:
            raise Refused(_("There is no such station."))
        return {"stations": keys}

    def _reason(self, text: str) -> dict[str, Any]:
        keys = tuple(
            one.pk
            for one in self.choices.reasons
            if _is(one, text) and (self.product is None or one.product_id == self.product.pk)
        )
        if not keys:
            raise Refused(_("There is no such reason."))
        return {"reasons": keys}

    def _period(self, text: str) -> dict[str, Any]:
        """Days up to now, as the top bar calls them; `custom` is what `since` and `until` say."""
        if text not in PERIODS:
            raise Refused(_("There is no such period."))
        if text not in DAYS:
            return {}
        first = timezone.localdate() - timedelta(days=DAYS[text] - 1)
        return {"since": timezone.make_aware(datetime.combine(first, time.min))}

    def _since(self, text: str) -> dict[str, Any]:
        return {"since": _moment(text)}

    def _until(self, text: str) -> dict[str, Any]:
        """A day is meant to its end; a time of day is the end itself."""
        return {"until": _moment(text) + (timedelta(days=1) if _is_day(text) else timedelta())}

    def _lot(self, text: str) -> dict[str, Any]:
        return {"lot_code": text}

    def _lots(self, code: str) -> tuple[UUID, ...]:
        products = {self.product} if self.product else self.choices.products
        return tuple(
            Lot.objects.filter(code=code, product__in=products).values_list("pk", flat=True)
        )

    def _work_order(self, text: str) -> dict[str, Any]:
        return {"work_order": text}

    def _serial(self, text: str) -> dict[str, Any]:
        return {"serial": text}

    def _position(self, text: str) -> dict[str, Any]:
        return {"position": _whole(text, 1_000_000)}

    def _verdict(self, text: str) -> dict[str, Any]:
        if text not in VERDICTS:
            raise Refused(_("A verdict is pass, fail, review or error."))
        return {"verdict": text}

    def _review(self, text: str) -> dict[str, Any]:
        if text not in ReviewState.values and text != "waiting":
            raise Refused(_("There is no such review state."))
        return {"review": text}

    def _score_min(self, text: str) -> dict[str, Any]:
        return {"score_min": _number(text)}

    def _score_max(self, text: str) -> dict[str, Any]:
        return {"score_max": _number(text)}

    def _cell(self, text: str) -> dict[str, Any]:
        return {"cell": _whole(text, CELLS * CELLS - 1)}

    def _record(self, text: str) -> dict[str, Any]:
        return {"record": True if text == "1" else None}

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
        named: dict[str, tuple[Iterable[Any], str]] = {
            "product": (self.choices.products, "name"),
            "station": (self.choices.stations, "name"),
            "reason": (self.choices.reasons, "text"),
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
    found = (one for one in things if _is(one, asked))
    return str(getattr(next(found, None), attribute, asked))


def _is(thing: Any, asked: str) -> bool:
    """Whether an address means this: by its key, or by the code that the plant gave it."""
    return bool(asked) and (str(thing.pk) == asked or thing.code.casefold() == asked.casefold())


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
