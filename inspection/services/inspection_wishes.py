"""What a wish for inspections means, by the names of the Defects page: for pages and programs."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from inspection.errors import UserError
from inspection.models import Lot, ModelVersion, Product, ReasonCode, ReviewState, Viewpoint
from inspection.querysets import REVIEWS, VERDICTS_AND_CALLS, Wanted

from .inspection_choices import NONE, Choices, is_named

# What is asked as it is written: nothing has to be looked up for it.
PLAIN = (
    "work_order",
    "purpose",
    "serial",
    "panel",
    "position",
    "result",
    "disposition",
    "score_min",
    "score_max",
    "cell",
    "record",
    "since",
    "until",
)


class Wish:
    """`asked` by name: texts; numbers of `position`, `score_min`, `score_max` and `cell`; times
    of `since` and `until`. `wanted` is what it means, `refused` by name what means nothing;
    `reasons` and `model` are those that were asked for."""

    def __init__(self, asked: Mapping[str, Any], choices: Choices) -> None:
        self._asked, self._choices = asked, choices
        self.refused: dict[str, UserError] = {}
        self.reasons: list[ReasonCode] = []
        self.model: ModelVersion | None = None
        self.wanted = self._read()

    @cached_property
    def product(self) -> Product | None:
        """The one product that is asked for."""
        asked = self._asked.get("product", "")
        return self._choices.product_called(asked) if asked else None

    @property
    def viewpoints(self) -> list[Viewpoint]:
        """Those of the one product that is asked for, or all that one may see."""
        product, choices = self.product, self._choices
        return choices.viewpoints_of(product) if product else choices.viewpoints

    def _read(self) -> Wanted:
        meant = {name: self._asked[name] for name in PLAIN if name in self._asked}
        for name in LOOKED_UP:
            if name in self._asked:
                try:
                    meant |= getattr(self, f"_{name}")(self._asked[name])
                except UserError as refusal:
                    self.refused[name] = refusal
        stations = meant.pop("of_line", None)
        if stations is not None:
            chosen = meant.get("stations", stations)
            meant["stations"] = tuple(key for key in chosen if key in set(stations))
            if not meant["stations"]:
                self.refused["station"] = UserError(
                    "not_of_line", "The station is none of that line.", field="station"
                )
        return Wanted(**self._seen(meant))

    def _seen(self, meant: dict[str, Any]) -> dict[str, Any]:
        """No more than one may see; what waits of archived products is in no station's queue."""
        choices = self._choices
        if not choices.sees_all and "viewpoints" not in meant:
            meant["viewpoints"] = tuple(one.pk for one in choices.viewpoints)
        if meant.get("review") == "queue" and (put_away := choices.put_away):
            every = [one.pk for one in choices.viewpoints]
            kept = [key for key in meant.get("viewpoints", every) if key not in put_away]
            meant["viewpoints"] = tuple(kept)
        return meant

    def _product(self, text: str) -> dict[str, Any]:
        if self.product is None:
            raise UserError(
                "no_such_product",
                "There is no such product, or you may not see it.",
                field="product",
            )
        return {"viewpoints": tuple(one.pk for one in self.viewpoints)}

    def _viewpoint(self, text: str) -> dict[str, Any]:
        """Of the product that is asked for, or by the same code of any. Read after the product."""
        keys = tuple(one.pk for one in self.viewpoints if is_named(one, text))
        if not keys:
            raise UserError(
                "no_such_viewpoint",
                "There is no such viewpoint, or you may not see it.",
                field="viewpoint",
            )
        return {"viewpoints": keys}

    def _line(self, text: str) -> dict[str, Any]:
        keys = tuple(one.pk for one in self._choices.stations if one.line == text)
        if not keys:
            raise UserError("no_such_line", "There is no such line.", field="line")
        return {"of_line": keys}

    def _station(self, text: str) -> dict[str, Any]:
        if text == NONE:
            return {"stations": (None,)}
        keys = tuple(one.pk for one in self._choices.stations if is_named(one, text))
        if not keys:
            raise UserError("no_such_station", "There is no such station.", field="station")
        return {"stations": keys}

    def _reason(self, text: str) -> dict[str, Any]:
        if text == NONE:
            return {"reasons": (None,)}
        self.reasons = self._choices.reasons_called(text, self.product)
        if not self.reasons:
            raise UserError("no_such_reason", "There is no such reason.", field="reason")
        return {"reasons": tuple(one.pk for one in self.reasons)}

    def _model(self, text: str) -> dict[str, Any]:
        self.model = self._choices.model(text)
        if self.model is None:
            raise UserError(
                "no_such_model", "There is no such model, or you may not see it.", field="model"
            )
        return {"models": (self.model.pk,)}

    def _lot(self, text: str) -> dict[str, Any]:
        lots = Lot.objects.filter(code=text)
        lots = lots.filter(product=self.product) if self.product else self._choices.of_seen(lots)
        return {"lots": tuple(lots.values_list("pk", flat=True))}

    def _verdict(self, text: str) -> dict[str, Any]:
        if text not in VERDICTS_AND_CALLS:
            raise UserError(
                "no_such_verdict",
                "A verdict is one of {names}.",
                names=", ".join(VERDICTS_AND_CALLS),
                field="verdict",
            )
        return {"verdict": text}

    def _review(self, text: str) -> dict[str, Any]:
        if text not in ReviewState.values and text not in REVIEWS:
            raise UserError("no_such_review", "There is no such review state.", field="review")
        return {"review": text}


# In the order in which one may depend on another.
LOOKED_UP = (
    "product",
    "viewpoint",
    "line",
    "station",
    "lot",
    "reason",
    "model",
    "verdict",
    "review",
)
