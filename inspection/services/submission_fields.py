"""The fields of a submission: checked one by one, with the identifiers of IPC-HERMES-9852 as
other names of some of them.

| HERMES | here | |
|---|---|---|
| `BoardId` | `external_id` | one board on its way along the line |
| `ProductTypeId` | `part_number` | and the recipe, where none is named |
| `TopBarcode`, else `BottomBarcode` | `serial_number` | |
| `WorkOrderId` | `work_order` | |
| `BatchId` | `lot_id` | |
| `FailedBoard` | – | what an earlier machine thought; the part is judged by its pictures |
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext_noop as _

from inspection.errors import UserError
from inspection.models import Image

MOST_IMAGES = 16
LONGEST = {
    "external_id": 120,
    "station_id": 80,
    "recipe.name": 120,
    "recipe.revision": 20,
    "work_order": 80,
    "lot_id": 80,
    "panel_id": 120,
    "serial_number": 120,
    "side": 20,
    "part_number": 120,
    "callback_url": 500,
}
HERMES = {
    "BoardId": "external_id",
    "ProductTypeId": "part_number",
    "WorkOrderId": "work_order",
    "BatchId": "lot_id",
}
BARCODES = ("TopBarcode", "BottomBarcode")
FAILED_BOARD = ("0", "1", "2")  # unknown, good, failed
HIGHEST_POSITION = 2**31 - 1
REVISION = re.compile(r"model-([1-9][0-9]{0,8})")
UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True)
class Asked:
    """One unit position to be judged. Texts are without blanks around; empty: not said."""

    external_id: str
    station_id: str
    recipe_name: str
    images: tuple[Image, ...]
    addresses: tuple[str, ...] = ()  # where images came from by address, else empty, in order
    recipe_revision: str = ""
    work_order: str = ""
    lot_id: str = ""
    panel_id: str = ""
    serial_number: str = ""
    position_number: int = 0
    side: str = ""
    part_number: str = ""
    captured_at: datetime | None = None
    callback_url: str = ""
    failed_board: str = ""

    @property
    def model_number(self) -> int | None:
        """Of `recipe_revision`; None asks for the active model."""
        found = REVISION.fullmatch(self.recipe_revision)
        return int(found[1]) if found else None

    def fingerprint(self, owner: Any, method_path: str) -> str:
        """SHA-256 that is the same exactly where the same is asked again: method and path, the
        owner's key, every field, and each picture in order, by its address where it was fetched
        and by the SHA-256 of its bytes where it was sent. What a store signed an address with is
        another each time, so what follows the `?` does not count."""
        pictured = ("images", "addresses")
        fields = {name: value for name, value in vars(self).items() if name not in pictured}
        if self.captured_at:
            fields["captured_at"] = self.captured_at.astimezone(UTC).isoformat()
        addresses = self.addresses or ("",) * len(self.images)
        pictures = [
            address.partition("?")[0] or image.sha256
            for address, image in zip(addresses, self.images, strict=True)
        ]
        said = json.dumps([method_path, str(owner), fields, pictures], sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()


def read_fields(
    given: Mapping[str, Any], images: Iterable[Image], addresses: Iterable[str] = ()
) -> Asked:
    """What was asked, from fields by their public names; `addresses`: see Asked.

    Raises UserError that names the field: missing, too long, of the wrong kind, or said twice
    and differently. Names that are not known are refused by whoever reads the request.
    """
    return Asked(**_read(given), images=_some(images), addresses=tuple(addresses))


def recipe_of(given: Mapping[str, Any]) -> str:
    """Which recipe is asked for, before any picture is there. Raises as `read_fields`."""
    return str(_read(given)["recipe_name"])


def _read(given: Mapping[str, Any]) -> dict[str, Any]:
    """Every field of Asked but the pictures."""
    fields = _with_synonyms(given)
    recipe = fields.get("recipe") or {}
    if not isinstance(recipe, Mapping):
        raise _wrong("recipe", _('{name} is an object: {{"name": …, "revision": …}}.'))
    texts = {name: _text(fields, name) for name in LONGEST if not name.startswith("recipe.")}
    name = _text({"recipe.name": recipe.get("name")}, "recipe.name") or texts["part_number"]
    revision = _text({"recipe.revision": recipe.get("revision")}, "recipe.revision")
    for needed, value in (
        ("external_id", texts["external_id"]),
        ("station_id", texts["station_id"]),
        ("recipe.name", name),
    ):
        if not value:
            raise UserError("field_missing", "{name} is missing.", name=needed, field=needed)
    if revision and not REVISION.fullmatch(revision):
        rule = _("{name} is model-<number>, or left out for the active model.")
        raise _wrong("recipe.revision", rule)
    return {
        **texts,
        "recipe_name": name,
        "recipe_revision": revision,
        "position_number": _position(fields.get("position_number")),
        "captured_at": _moment(fields.get("captured_at")),
        "failed_board": _failed_board(fields.get("FailedBoard")),
    }


def _with_synonyms(given: Mapping[str, Any]) -> dict[str, Any]:
    fields = dict(given)
    for hermes, name in HERMES.items():
        _take(fields, hermes, name)
    for barcode in BARCODES:  # two sides may carry two codes: the upper one names the unit
        if not fields.get("serial_number"):
            _take(fields, barcode, "serial_number")
    return fields


def _take(fields: dict[str, Any], synonym: str, name: str) -> None:
    said = fields.get(synonym)
    if said in (None, ""):
        return
    if fields.get(name) not in (None, "", said):
        raise UserError(
            "said_twice",
            "{synonym} and {name} mean the same and differ. Send one of the two.",
            synonym=synonym,
            name=name,
            field=synonym,
        )
    fields[name] = said


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _wrong(name, _("{name} is a text."))
    value = value.strip()
    if len(value) > LONGEST[name]:
        raise _wrong(name, _("{name} has at most {most} characters."), most=LONGEST[name])
    if UNPRINTABLE.search(value):
        rule = _("{name} holds a control character; send what is printed on the part.")
        raise _wrong(name, rule)
    return value


def _position(value: Any) -> int:
    if value in (None, ""):
        return 0
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,10}", str(value)):
        raise _wrong("position_number", _("{name} is a whole number, 0 or more."))
    if int(value) > HIGHEST_POSITION:
        raise _wrong("position_number", _("{name} is at most {most}."), most=HIGHEST_POSITION)
    return int(value)


def _moment(value: Any) -> datetime | None:
    if value in (None, ""):
        return None
    try:
        found = value if isinstance(value, datetime) else parse_datetime(str(value))
    except ValueError:
        found = None
    if found is None or found.tzinfo is None or not 1970 < found.year < 9999:
        rule = _("{name} is a time with its zone, as 2026-11-26T12:00:00+00:00.")
        raise _wrong("captured_at", rule)
    return found


def _failed_board(value: Any) -> str:
    if value in (None, ""):
        return ""
    if str(value) not in FAILED_BOARD or isinstance(value, bool):
        raise _wrong("FailedBoard", _("{name} is 0 (unknown), 1 (good) or 2 (failed)."))
    return str(value)


def _some(images: Iterable[Image]) -> tuple[Image, ...]:
    found = tuple(images)
    if not found:
        raise UserError("no_images", "Send at least one picture of the part.", field="images")
    if len(found) > MOST_IMAGES:
        rule = _("{name} are at most {most} pictures of one part.")
        raise _wrong("images", rule, most=MOST_IMAGES)
    return found


def _wrong(field: str, rule: str, **values: object) -> UserError:
    return UserError("invalid", rule, name=field, field=field, **values)
