"""What the verification station shows of a part."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import OuterRef, Prefetch, QuerySet, Subquery, UUIDField
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from inspection.models import (
    Inspection,
    InspectionImage,
    Look,
    ReasonCode,
    Review,
    User,
)
from inspection.services.review_queue import KINDS, Queue
from inspection.web import outlines, words
from inspection.web.large import tiles_of
from inspection.web.scope import Scope

NO_STATION = UUID(int=0)
SHOWN_REGIONS = 12
KEYED_REASONS = 9  # as many as there are keys
WHY: dict[str, str | Promise] = {
    "fail": _("Failed by the model"),
    "review": _("The model is in doubt"),
    "audit": _("Passed; drawn for an audit"),
    "second": _("Second look: you see neither the verdict nor what was said"),
}


@dataclass(frozen=True)
class Card:
    """One part as the station shows it. A second look is blind, so it has no verdict."""

    part: Inspection
    pictures: list[InspectionImage]
    shown: InspectionImage | None
    sign: words.Sign
    kind: str
    reasons: list[ReasonCode]
    blind: bool

    @property
    def why(self) -> str | Promise:
        return WHY[self.kind]

    @property
    def layers(self) -> str:
        """The pictures for the viewer, the one that decided first, as JSON."""
        rest = [one for one in self.pictures if one != self.shown]
        first = [self.shown] if self.shown else []
        return json.dumps([_layers(one, self.blind) for one in first + rest])

    @property
    def seen_at(self) -> str:
        return self.part.reviewed_at.isoformat() if self.part.reviewed_at else ""


def queue_in(scope: Scope, kind: str = "") -> Queue:
    """The queue of this scope; `kind` is one of KINDS or `second`. What is unknown is an empty
    queue, never everything."""
    station = scope.station.pk if scope.station else NO_STATION
    return Queue(
        products=tuple(one.pk for one in scope.products) if "product" in scope.given else None,
        line=scope.line,
        station=station if "station" in scope.given else None,
        kind=kind if kind in KINDS else "",
        look=Look.SECOND if kind == "second" else Look.FIRST,
    )


def cards(parts: Sequence[Inspection], look: str) -> list[Card]:
    """The parts in their order, in four questions to the database."""
    blind = look == Look.SECOND
    rows = {part.pk: part for part in _full([part.pk for part in parts])}
    found = [rows[part.pk] for part in parts if part.pk in rows]
    reasons = _reasons({part.viewpoint.product_id for part in found})
    return [_card(part, reasons[part.viewpoint.product_id], blind) for part in found]


def _full(keys: Sequence[UUID]) -> QuerySet[Inspection]:
    pictures = InspectionImage.objects.select_related("image", "result").order_by("index")
    return (
        Inspection.objects.filter(pk__in=keys)
        .select_related("viewpoint__product", "station", "lot", "unit", "batch", "operating_point")
        .prefetch_related(Prefetch("pictures", pictures))
    )


def _reasons(products: set[UUID]) -> dict[UUID, list[ReasonCode]]:
    by_product: dict[UUID, list[ReasonCode]] = defaultdict(list)
    codes = ReasonCode.objects.filter(product__in=products, retired_at=None).order_by("created_at")
    for code in codes:
        by_product[code.product_id].append(code)
    return by_product


def _card(part: Inspection, reasons: list[ReasonCode], blind: bool) -> Card:
    pictures = list(part.pictures.all())
    scored = [one for one in pictures if _score(one) is not None]
    worst = max(scored, key=lambda one: _score(one) or 0.0, default=None)
    sign = words.verdict_sign(part.verdict, part.disposition)
    kind = "audit" if sign == words.PASS else sign.key
    return Card(
        part=part,
        pictures=pictures,
        shown=worst or (pictures[0] if pictures else None),
        sign=sign,
        kind="second" if blind else kind,
        reasons=reasons,
        blind=blind,
    )


def _score(picture: InspectionImage) -> float | None:
    return getattr(getattr(picture, "result", None), "score", None)


def _layers(picture: InspectionImage, blind: bool) -> dict[str, Any]:
    """Addresses and regions for the viewer; to a blind look only what the camera saw."""
    found: dict[str, Any] = {
        "name": picture.file_name,
        "original": reverse("preview", args=[picture.image_id]),
        "thumb": reverse("thumb", args=[picture.image_id]),
        "width": picture.image.width,
        "height": picture.image.height,
        "tiles": tiles_of(picture.image),
        "regions": [],
    }
    result = getattr(picture, "result", None)
    if blind or result is None or not result.view_key:
        return found
    strongest = outlines.strongest(result.regions, SHOWN_REGIONS)
    regions = [
        {key: float(one[key]) for key in ("x", "y", "width", "height")} | {"name": number}
        for number, one in enumerate(strongest, start=1)
    ]
    layers = {name: reverse("layer", args=[result.pk, name]) for name in ("restored", "heatmap")}
    outline = outlines.path(strongest, picture.image.width, picture.image.height)
    return {**found, **layers, "regions": regions, "outline": outline}


def last_of(user: User, size: int) -> list[Review]:
    """What the person judged last, newest first, each with the key of its picture as `thumb`."""
    pictures = InspectionImage.objects.filter(inspection=OuterRef("inspection")).order_by("index")
    mine = Review.objects.filter(author=user, undoes=None, undone_by=None)
    mine = mine.annotate(thumb=Subquery(pictures.values("image_id")[:1], output_field=UUIDField()))
    return list(mine.select_related("inspection__unit", "reason_code").order_by("-id")[:size])


def first_look_of(part: Inspection) -> Review | None:
    """The first look that holds, for who has just given the second."""
    said = Review.objects.filter(inspection=part, look=Look.FIRST, undoes=None, undone_by=None)
    return said.select_related("author", "reason_code").first()
