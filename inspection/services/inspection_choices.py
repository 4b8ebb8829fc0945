"""What one person may ask of everything ever inspected: products, stations, reasons, models."""

from functools import cached_property
from typing import Any
from uuid import UUID

from django.db.models import Case, Q, Value, When

from inspection.models import ModelVersion, Product, ReasonCode, Station, User, Viewpoint

from .visible import may_see

NONE = "none"  # what has no reason, or came from no station


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
        key = key_of(text)
        found = list(codes.filter(named | Q(pk=key) if key else named).order_by("id"))
        return [one for one in found if text in (one.code, str(one.pk))] or found

    def model(self, text: str) -> ModelVersion | None:
        key = key_of(text)
        models = ModelVersion.objects.filter(may_see(self._user, "viewpoint__product"))
        return models.filter(pk=key).only("number").first() if key else None

    @property
    def products(self) -> list[Product]:
        return list({one.product_id: one.product for one in self.viewpoints}.values())

    @property
    def lines(self) -> list[str]:
        return sorted({one.line for one in self.stations if one.line})


def is_named(thing: Any, asked: str) -> bool:
    """Whether this is meant: by its key, or by the code that the plant gave it."""
    return bool(asked) and (str(thing.pk) == asked or thing.code.casefold() == asked.casefold())


def key_of(text: str) -> UUID | None:
    """None where the text is no key."""
    try:
        return UUID(text)
    except ValueError:
        return None
