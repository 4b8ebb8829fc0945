"""What one person may ask of everything ever inspected: products, stations, reasons, models."""

from functools import cached_property
from typing import Any
from uuid import UUID

from django.db.models import Case, Q, QuerySet, Value, When

from inspection.models import ModelVersion, Product, ReasonCode, Station, User, Viewpoint

from .visible import may_see, visible

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
    def _read(self) -> bool:
        """Whether all were read already, as a page does that offers them. A program that names
        one product of thousands should not wait for that."""
        return "_every" in self.__dict__

    @cached_property
    def sees_all(self) -> bool:
        """Then nothing needs be said of viewpoints, and any index may be used."""
        if self._read:
            return len(self.viewpoints) == len(self._every)
        return not Viewpoint.objects.exclude(may_see(self._user, "product")).exists()

    def product_called(self, text: str) -> Product | None:
        """The one that an address means, by key or code, among those that one may see."""
        if self._read:
            return next((one for one in self.products if is_named(one, text)), None)
        return visible(self._user, Product).filter(named(text)).first()

    def viewpoints_of(self, product: Product) -> list[Viewpoint]:
        """Of one that may be seen."""
        if self._read:
            return [one for one in self.viewpoints if one.product_id == product.pk]
        return list(product.viewpoints.order_by("code"))

    def of_seen(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Rows of products that one may see."""
        return rows if self.sees_all else rows.filter(may_see(self._user, "product"))

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
        found = list(codes.filter(named(text)).order_by("id"))
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
    """Whether this is meant: by its key, however it is written, or by the code that the plant
    gave it."""
    return bool(asked) and (thing.code.casefold() == asked.casefold() or thing.pk == key_of(asked))


def named(text: str) -> Q:
    """Rows that `is_named` means."""
    key = key_of(text)
    return Q(code__iexact=text) | Q(pk=key) if key else Q(code__iexact=text)


def key_of(text: str) -> UUID | None:
    """None where the text is no key."""
    try:
        return UUID(text)
    except ValueError:
        return None
