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

from django.db.models import Case, Q, Value, When
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from inspection.models import (
    Lot,
    ModelVersion,
    Product,
    ReasonCode,
    ReviewState,
    Station,
    User,
    Viewpoint,
)
from inspection.querysets import REVIEWS, VERDICTS_AND_CALLS, Wanted
from inspection.services.verdicts import CELLS

from . import words
from .access import may_see
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
NONE = "none"  # in the address: what has no reason, or came from no station


class Refused(Exception):
    """A value in the address means nothing; the text says what would."""


class Choices:
    """What there is to choose from for one person, each asked for when it is needed."""

    def __init__(self, user: User) -> None:
        self._user = user
        self._reasons: dict[UUID, list[ReasonCode]] = {}

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

    @property
    def put_away(self) -> set[UUID]:
        """Viewpoints of archived products: what waits there is in no station's queue."""
        return {one.pk for one in self.viewpoints if one.product.archived_at}

    @cached_property
    def stations(self) -> list[Station]:
        return list(Station.objects.order_by("line", "code"))

    def reasons_of(self, product: Product) -> list[ReasonCode]:
        """All that the product ever had: a part that was judged years ago is looked for too."""
        if product.pk not in self._reasons:
            self._reasons[product.pk] = list(product.reason_codes.order_by("code"))
        return self._reasons[product.pk]

    def reasons_called(self, text: str, product: Product | None) -> list[ReasonCode]:
        """Those that an address means: by key, or by code as it is written, of `product` or of
        any. Only where no code is written so, by one that is but for its case."""
        codes = ReasonCode.objects.filter(may_see(self._user, "product"))
        if product is not None:
            codes = codes.filter(product=product)
        named = Q(code__iexact=text)
        key = _key(text)
        found = list(codes.filter(named | Q(pk=key) if key else named).order_by("id"))
        return [one for one in found if text in (one.code, str(one.pk))] or found

    def model(self, text: str) -> ModelVersion | None:
        key = _key(text)
        models = ModelVersion.objects.filter(may_see(self._user, "viewpoint__product"))
        return models.filter(pk=key).only("number").first() if key else None

    @property
    def products(self) -> list[Product]:
        return list({one.product_id: one.product for one in self.viewpoints}.values())

    @property
    def lines(self) -> list[str]:
        return sorted({one.line for one in self.stations if one.line})


@dataclass
class Filters:
    """`values` is what the address says, `wanted` what it means, `problems` which values mean
    nothing, by name: then nothing is found rather than too much. `reasons` and `model` are
    those that were asked for."""

    values: dict[str, str]
    choices: Choices
    wanted: Wanted = field(default_factory=Wanted)
    problems: dict[str, str] = field(default_factory=dict)
    reasons: list[ReasonCode] = field(default_factory=list)
    model: ModelVersion | None = None

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

    @property
    def viewpoints(self) -> list[Viewpoint]:
        """Those of the one product that is asked for, or all that one may see."""
        product, every = self.product, self.choices.viewpoints
        return [one for one in every if product is None or one.product_id == product.pk]

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
        if meant.get("review") == "queue" and (put_away := self.choices.put_away):
            every = [one.pk for one in self.choices.viewpoints]
            kept = [key for key in meant.get("viewpoints", every) if key not in put_away]
            meant["viewpoints"] = tuple(kept)
        if "lot_code" in meant:
            meant["lots"] = self._lots(meant.pop("lot_code"))
        self.wanted = Wanted(**meant)

    def _product(self, text: str) -> dict[str, Any]:
        if self.product is None:
            raise Refused(_("There is no such product, or you may not see it."))
        key = self.product.pk
        return {"viewpoints": tuple(v.pk for v in self.choices.viewpoints if v.product_id == key)}

    def _viewpoint(self, text: str) -> dict[str, Any]:
        """Of the product that is asked for, or by the same code of any. Read after the product."""
        keys = tuple(one.pk for one in self.viewpoints if _is(one, text))
        if not keys:
            raise Refused(_("There is no such viewpoint, or you may not see it."))
        return {"viewpoints": keys}

    def _line(self, text: str) -> dict[str, Any]:
        return {"of_line": tuple(one.pk for one in self.choices.stations if one.line == text)}

    def _station(self, text: str) -> dict[str, Any]:
        if text == NONE:
            return {"stations": (None,)}
        keys = tuple(one.pk for one in self.choices.stations if _is(one, text))
        if not keys:
            raise Refused(_("There is no such station."))
        return {"stations": keys}

    def _reason(self, text: str) -> dict[str, Any]:
        if text == NONE:
            return {"reasons": (None,)}
        self.reasons = self.choices.reasons_called(text, self.product)
        if not self.reasons:
            raise Refused(_("There is no such reason."))
        return {"reasons": tuple(one.pk for one in self.reasons)}

    def _model(self, text: str) -> dict[str, Any]:
        self.model = self.choices.model(text)
        if self.model is None:
            raise Refused(_("There is no such model, or you may not see it."))
        return {"models": (self.model.pk,)}

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

    def _panel(self, text: str) -> dict[str, Any]:
        return {"panel": text}

    def _position(self, text: str) -> dict[str, Any]:
        return {"position": _whole(text, 1_000_000)}

    def _verdict(self, text: str) -> dict[str, Any]:
        if text not in VERDICTS_AND_CALLS:
            raise Refused(
                _("A verdict is one of {names}.").format(names=", ".join(VERDICTS_AND_CALLS))
            )
        return {"verdict": text}

    def _review(self, text: str) -> dict[str, Any]:
        if text not in ReviewState.values and text not in REVIEWS:
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
        if name == "model":
            return str(self.model.number) if self.model else value
        if value == NONE and name in NOTHING:
            return str(NOTHING[name])
        named: dict[str, tuple[Iterable[Any], str]] = {
            "product": (self.choices.products, "name"),
            "viewpoint": (self.viewpoints, "name"),
            "station": (self.choices.stations, "name"),
            "reason": (self.reasons, "text"),
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


def _key(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


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
