"""Viewpoints: where restoring is to look, and what a good part may do before the camera."""

import math
from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.utils.translation import gettext_noop as _

from inspection import policies
from inspection.errors import UserError, WrongState
from inspection.models import ModelVersion, Symmetry, User, Viewpoint

from .access import require
from .audit import record
from .locking import lock_row

Zone = dict[str, float]
SIDES = ("x", "y", "width", "height")
MAX_ZONES = 50
SMALLEST = 0.005  # of the picture's side; less is a slip of the mouse
DIGITS = 4
ROUNDING = 10**-DIGITS


def set_repair_zones(user: User | None, viewpoint: Viewpoint, zones: Sequence[Zone]) -> None:
    """Where parts are restored and judged: rectangles `x, y, width, height` in fractions of the
    picture; none means everywhere. Later runs use them; models that are there stay as they are.

    Raises UserError naming the zone that lies outside or is too small.
    """
    kept = [_clean(number, zone) for number, zone in enumerate(zones, start=1)]
    if len(kept) > MAX_ZONES:
        raise UserError(
            "too_many_zones",
            "{n} zones are more than the {most} that are allowed. Join some.",
            n=len(kept),
            most=MAX_ZONES,
            field="zones",
        )
    _change(user, viewpoint, "viewpoint.repair_zones", "repair_zones", kept)


def set_symmetries(user: User | None, viewpoint: Viewpoint, names: Sequence[str]) -> None:
    """What a good part may do and stay good (Symmetry). Raises UserError for an unknown name."""
    unknown = [name for name in names if name not in Symmetry.values]
    if unknown:
        raise UserError(
            "unknown_symmetry",
            "There is no symmetry “{name}”.",
            name=unknown[0],
            field="symmetries",
        )
    _change(user, viewpoint, "viewpoint.symmetries", "symmetries", _in_order(names))


def proposed_symmetries(version: ModelVersion) -> list[str]:
    """What the run of `version` found that its parts may do, and the viewpoint does not have."""
    found = (version.manifest.get("symmetries") or {}).get("proposed") or []
    there = set(version.viewpoint.symmetries)
    return [name for name in _in_order(found) if name not in there]


def accept_symmetries(user: User | None, version: ModelVersion) -> list[str]:
    """Take over what the run of `version` proposes; returns what was new."""
    viewpoint = version.viewpoint
    require(user, policies.MANAGE, viewpoint.product)
    with transaction.atomic():
        lock_row(viewpoint)
        viewpoint.refresh_from_db(fields=["symmetries"])
        new = proposed_symmetries(version)
        if not new:
            raise WrongState("nothing_proposed", "These symmetries are set already.")
        names = _in_order([*viewpoint.symmetries, *new])
        reason = f"proposed by {version}"
        _change(user, viewpoint, "viewpoint.symmetries_accepted", "symmetries", names, reason)
    return new


def _change(
    user: User | None, viewpoint: Viewpoint, action: str, field: str, value: Any, reason: str = ""
) -> None:
    """Write one field, and what it was before; the same value again is not written down."""
    require(user, policies.MANAGE, viewpoint.product)
    with transaction.atomic():
        lock_row(viewpoint)
        viewpoint.refresh_from_db(fields=[field])
        before = getattr(viewpoint, field)
        if before == value:
            return
        setattr(viewpoint, field, value)
        viewpoint.save(update_fields=[field])
        record(
            user,
            action,
            viewpoint,
            product=viewpoint.product,
            before={field: before},
            after={field: value},
            reason=reason,
        )


def _in_order(names: Sequence[str]) -> list[str]:
    """Known names once each, in the order in which they are shown."""
    return [name for name in Symmetry.values if name in names]


def _clean(number: int, zone: Zone) -> Zone:
    sides = {side: float(zone[side]) for side in SIDES}
    x, y, width, height = sides.values()
    if not all(math.isfinite(value) for value in sides.values()):
        sentence = _("Zone {number} has a side that is no number. Correct or remove it.")
        raise _bad(number, sentence)
    if width < SMALLEST or height < SMALLEST:
        sentence = _(
            "Zone {number} is smaller than {least:.1%} of the picture. Correct or remove it."
        )
        raise _bad(number, sentence, least=SMALLEST)
    if min(x, y) < 0 or x + width > 1 + ROUNDING or y + height > 1 + ROUNDING:
        raise _bad(number, _("Zone {number} leads out of the picture. Correct or remove it."))
    x, y = round(x, DIGITS), round(y, DIGITS)
    width, height = min(width, 1 - x), min(height, 1 - y)
    return {"x": x, "y": y, "width": round(width, DIGITS), "height": round(height, DIGITS)}


def _bad(number: int, sentence: str, **values: object) -> UserError:
    return UserError("bad_zone", sentence, number=number, field="zones", **values)
