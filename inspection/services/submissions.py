"""What an MES asks about one unit: taken once, however often and from wherever it is sent.

The database alone says whether a submission exists: (owner, idempotency key) and (station,
external id) are unique there. Two that arrive together both try to write; one is refused by a
constraint, looks again and finds the other's row. A marker in the cache only tells that a first
request is still on its way in; without a cache there is none, and nothing else changes.

No line of the audit trail is written per submission: the row itself says who asked, when and
what, it is never changed, and a second line would double what a plant writes all day.
"""

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.core.cache import cache
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext_noop

from inspection import policies
from inspection.errors import UserError, WrongState
from inspection.jobs.publish import enqueue
from inspection.models import (
    Image,
    Inspection,
    InspectionImage,
    Lane,
    ModelVersion,
    OperatingPoint,
    Product,
    ScoringChunk,
    Station,
    Submission,
    User,
    Viewpoint,
)
from inspection.models.inspection import FREED

from . import outbox, recipes
from .access import require
from .disk import check_free_space
from .submission_fields import Asked
from .units import lot_of, unit_of

log = logging.getLogger(__name__)

KEY_LENGTH = 255
KEYS_KEPT = timedelta(days=30)
RECEIVING_S = 60


@dataclass(frozen=True)
class Submitted:
    """The inspection, as it stands, and whether this very request made it."""

    inspection: Inspection
    created: bool


class StillReceiving(WrongState):
    """The first request with this key is on its way in; ask again after `retry_after` seconds."""

    retry_after = 1


class Duplicate(WrongState):
    """This station sent this external id before, under another key.

    `inspection_id` is the part's inspection, or None where the caller may not see it.
    """

    def __init__(self, station: str, external_id: str, inspection_id: UUID | None) -> None:
        shown = gettext_noop(
            "Station {station} sent {name} before as inspection {inspection}, under another key. "
            "Ask for that one, or give a retest an id of its own."
        )
        hidden = gettext_noop(
            "Station {station} sent {name} before, under another key. Ask for that one, or give a "
            "retest an id of its own."
        )
        super().__init__(
            "duplicate_external_id",
            shown if inspection_id else hidden,
            station=station,
            name=external_id,
            inspection=inspection_id,
            field="external_id",
        )
        self.inspection_id = inspection_id


@dataclass(frozen=True)
class _Recipe:
    viewpoint: Viewpoint
    version: ModelVersion
    point: OperatingPoint

    @property
    def product(self) -> Product:
        return self.viewpoint.product


def read_key(header: str) -> str:
    """The key of an `Idempotency-Key` header, quoted (a structured-field string) or bare.

    Raises UserError `idempotency_key_missing` or `idempotency_key_invalid`.
    """
    text = header.strip()
    if not text:
        raise UserError(
            "idempotency_key_missing",
            "Send the header Idempotency-Key with a new UUID for each part, and the same one when "
            "you ask again.",
            field="Idempotency-Key",
        )
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = text[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    usable = text and len(text) <= KEY_LENGTH and not text.startswith(FREED)
    if not usable or not text.isascii() or not text.isprintable():
        raise UserError(
            "idempotency_key_invalid",
            "The Idempotency-Key is 1 to {most} printable ASCII characters; use a UUID.",
            most=KEY_LENGTH,
            field="Idempotency-Key",
        )
    return text


@contextmanager
def receiving(user: User, idempotency_key: str) -> Iterator[None]:
    """Hold the marker of a key while its first request is received and stored.

    Raises StillReceiving where another request holds it and no row exists yet. A cache that is
    down means no marker, never a failure.
    """
    if _with_key(user, idempotency_key):
        yield  # stored already: every repeat is answered from the row
        return
    digest = hashlib.sha256(idempotency_key.encode()).hexdigest()
    marker = f"receiving:{user.pk}:{digest}"
    free = _mark(marker)
    if not free and not _with_key(user, idempotency_key):
        raise StillReceiving(
            "still_receiving",
            "The first request with this key is still being received. Ask again in a second.",
            field="Idempotency-Key",
        )
    try:
        yield
    finally:
        if free:
            _unmark(marker)


def _mark(marker: str) -> bool:
    try:
        return bool(cache.add(marker, 1, RECEIVING_S))
    except Exception as error:  # whichever way a cache is down
        log.warning("no marker for a submission: %s", error)
        return True


def _unmark(marker: str) -> None:
    try:
        cache.delete(marker)
    except Exception as error:
        log.warning("the marker of a submission stays for %s s: %s", RECEIVING_S, error)


def submit(user: User, asked: Asked, *, idempotency_key: str, method_path: str) -> Submitted:
    """Take a part in and queue it before all batches; or give what the same key gave before.

    `method_path` as in `POST /api/v1/inspections`. Raises UserError for fields, Duplicate for an
    external id that this station sent under another key, NotAllowed below Inspector.
    """
    print_ = asked.fingerprint(user.pk, method_path)
    if known := _with_key(user, idempotency_key):
        return _again(user, known, print_)
    recipe = _recipe(user, asked)
    require(user, policies.REVIEW, recipe.product)
    check_free_space()
    station = _station(user, asked, recipe.product)
    if taken := _taken(user, station, asked, idempotency_key, print_):
        return taken
    try:
        with transaction.atomic():
            inspection = _write(user, asked, recipe, station, idempotency_key, print_)
    except IntegrityError:  # somebody was faster: theirs is committed, so it is found now
        if known := _with_key(user, idempotency_key):
            return _again(user, known, print_)
        if taken := _taken(user, station, asked, idempotency_key, print_):
            return taken
        raise
    return Submitted(inspection, True)


def check_may_send(user: User, recipe_name: str) -> None:
    """Raise UserError `unknown_recipe`, NotAllowed, or WrongState for an archived product, before
    anything is done for a part."""
    product = _viewpoint(user, recipe_name).product
    require(user, policies.REVIEW, product)
    policies.check_in_use(product)


def _with_key(user: User, key: str) -> Submission | None:
    """What this owner sent with this key in the last 30 days. An older one lets go of the key."""
    rows = Submission.objects.filter(owner=user, idempotency_key=key)
    known = rows.select_related("inspection__viewpoint__product").first()
    if known is None or known.expires_at > timezone.now():
        return known
    _free_key(known)
    return None


def pictures_of(user: User, idempotency_key: str) -> list[Image]:
    """What was judged for this key before, in order: it is not fetched a second time."""
    known = _with_key(user, idempotency_key)
    if known is None:
        return []
    rows = InspectionImage.objects.filter(inspection=known.inspection).order_by("index")
    return [row.image for row in rows.select_related("image")]


def free_expired_keys() -> int:
    """Keys of more than 30 days ago may be used again; external ids never. Returns how many."""
    expired = Submission.objects.filter(expires_at__lte=timezone.now())
    waiting = expired.exclude(idempotency_key__startswith=FREED)
    return sum(_free_key(one) for one in waiting.only("pk"))


def _free_key(submission: Submission) -> int:
    rows = Submission.objects.filter(pk=submission.pk, expires_at__lte=timezone.now())
    return rows.update(idempotency_key=f"{FREED}{submission.pk}")


def _again(user: User, known: Submission, print_: str) -> Submitted:
    require(user, policies.REVIEW, known.inspection.viewpoint.product)
    if known.fingerprint != print_:
        raise UserError(
            "idempotency_key_reused",
            "This Idempotency-Key was sent before with other fields or pictures. Use a new key "
            "for another part, and exactly the same request to ask again.",
            field="Idempotency-Key",
        )
    return Submitted(known.inspection, False)


def _taken(user: User, station: Station, asked: Asked, key: str, print_: str) -> Submitted | None:
    """What this station sent as this external id. Raises Duplicate unless it was this request,
    which somebody else's copy of it may have written since its key was looked for."""
    rows = Submission.objects.filter(station=station, external_id=asked.external_id)
    known = rows.select_related("inspection__viewpoint__product").first()
    if known is None:
        return None
    if (known.owner_id, known.idempotency_key) == (user.pk, key):
        return _again(user, known, print_)
    may_see = policies.can(user, policies.VIEW, known.inspection.viewpoint.product)
    raise Duplicate(station.code, asked.external_id, known.inspection_id if may_see else None)


# --- what the names mean ---------------------------------------------------------------


def _recipe(user: User, asked: Asked) -> _Recipe:
    viewpoint = _viewpoint(user, asked.recipe_name)
    product = viewpoint.product
    policies.check_in_use(product)
    if asked.part_number and asked.part_number.casefold() != product.code.casefold():
        raise UserError(
            "other_part_number",
            "The recipe {recipe} is for part number {number}, not {other}. Correct one of the two.",
            recipe=viewpoint.recipe_name,
            number=product.code,
            other=asked.part_number,
            field="part_number",
        )
    if asked.callback_url and outbox.callback_endpoint(asked.callback_url, product.pk) is None:
        raise UserError(
            "callback_not_allowed",
            "callback_url is under no webhook of this product that is on. Let an administrator "
            "make one for its address, or leave the field out.",
            field="callback_url",
        )
    version = _version(viewpoint, asked)
    return _Recipe(viewpoint, version, version.operating_points.get(in_force=True))


def _viewpoint(user: User, name: str) -> Viewpoint:
    """Of a product that this user may see. Raises UserError."""
    views = Viewpoint.objects.select_related("product").filter(
        product__in=policies.visible_products(user)
    )
    if found := recipes.read_name(views, name):
        return found
    raise UserError(
        "unknown_recipe",
        "There is no recipe {name}. A recipe is the part number of a product, or "
        "<part number>/<viewpoint>; this account must be a member of the product.",
        name=name,
        field="recipe.name",
    )


def _version(viewpoint: Viewpoint, asked: Asked) -> ModelVersion:
    """The active model, or an earlier one that was promoted once and is asked for by name."""
    number = asked.model_number
    if number is None:
        active = viewpoint.model_versions.filter(state=ModelVersion.State.ACTIVE).first()
        if active is None:
            raise UserError(
                "no_model",
                "{recipe} has no model yet that could judge pictures. Train and promote one first.",
                recipe=viewpoint.recipe_name,
                field="recipe.name",
            )
        return active
    promoted = viewpoint.model_versions.filter(number=number, promoted_at__isnull=False).first()
    if promoted is None:
        raise UserError(
            "not_promoted",
            "{revision} never judged parts of {recipe}. Name one that was promoted, or leave the "
            "revision out for the active one.",
            revision=asked.recipe_revision,
            recipe=viewpoint.recipe_name,
            field="recipe.revision",
        )
    return promoted


def _station(user: User, asked: Asked, product: Product) -> Station:
    """Known stations only: a typing error must not make a new one. Who manages the product
    makes it by sending the first part."""
    station = Station.objects.filter(code=asked.station_id).first()
    if station:
        return station
    if not policies.can(user, policies.MANAGE, product):
        raise UserError(
            "unknown_station",
            "There is no station {station}. Correct station_id, or let an engineer of {product} "
            "send the first part from it: that makes the station.",
            station=asked.station_id,
            product=product.code,
            field="station_id",
        )
    made, _ = Station.objects.get_or_create(
        code=asked.station_id, defaults={"name": asked.station_id}
    )
    return made


# --- the rows --------------------------------------------------------------------------


def _write(
    user: User, asked: Asked, recipe: _Recipe, station: Station, key: str, print_: str
) -> Inspection:
    lot = lot_of(recipe.product, asked.lot_id, asked.work_order)
    unit = unit_of(
        recipe.product,
        serial_number=asked.serial_number,
        panel_id=asked.panel_id,
        position_number=asked.position_number,
        lot=lot,
    )
    chunk = ScoringChunk.objects.create(lane=Lane.FAST, number=1)
    inspection = Inspection.objects.create(
        viewpoint=recipe.viewpoint,
        chunk=chunk,
        unit=unit,
        lot=lot,
        station=station,
        work_order=asked.work_order or (lot.work_order if lot else ""),
        captured_at=asked.captured_at,
        model_version=recipe.version,
        operating_point=recipe.point,
    )
    InspectionImage.objects.bulk_create(
        InspectionImage(
            inspection=inspection, image=image, index=number, file_name=image.original_name
        )
        for number, image in enumerate(asked.images)
    )
    Submission.objects.create(  # last: who waits for its constraints holds nothing we may need
        inspection=inspection,
        station=station,
        external_id=asked.external_id,
        owner=user,
        idempotency_key=key,
        fingerprint=print_,
        expires_at=timezone.now() + KEYS_KEPT,
        callback_url=asked.callback_url,
        panel_side=asked.side,
        part_number=asked.part_number,
    )
    enqueue(chunk)
    return inspection
