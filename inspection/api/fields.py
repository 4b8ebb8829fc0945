"""Parts of serializers that several nouns use. What comes in is bounded here once, so that no
view meets a number that no column holds or a time that no calendar has."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from inspection.ids import FIRST_YEAR, LAST_YEAR

BIGGEST = 2**31 - 1
LONGEST_OPTION = 500


class Strict(serializers.Serializer[Any]):
    """What a caller may ask. A field that we do not know is an error: it is a typing mistake or
    a wish that nobody would hear, and both are better told."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            unknown = [name for name in data if name not in self.fields]
            if unknown:
                raise serializers.ValidationError({unknown[0]: [self._known()]})
        return super().to_internal_value(data)

    def _known(self) -> str:
        known = ", ".join(self.fields)
        return f"There is no such field. There are: {known}." if known else "Nothing is asked here."


class Nothing(Strict):
    """What takes no parameters."""


class Whole(serializers.IntegerField):
    """A whole number that fits its column: 0 to 2³¹ − 1, or what is said."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"min_value": 0, "max_value": BIGGEST, **options})


class Number(serializers.FloatField):
    """A number that is one: neither infinite nor NaN, nor too long to be a float."""

    default_error_messages = {"endless": "A finite number is needed."}  # noqa: RUF012  (DRF's way)

    def to_internal_value(self, data: Any) -> float:
        try:
            value = super().to_internal_value(data)
        except OverflowError:
            self.fail("endless")
        if not math.isfinite(value):
            self.fail("endless")
        return value


class Moment(serializers.DateTimeField):
    """A time of RFC 3339 in a year that databases and keys can hold, in UTC."""

    default_error_messages = {  # noqa: RUF012  (DRF's way)
        "year": f"The year must lie between {FIRST_YEAR} and {LAST_YEAR}."
    }

    def to_internal_value(self, value: Any) -> datetime:
        try:
            moment: datetime = super().to_internal_value(value)
            if not FIRST_YEAR <= moment.year <= LAST_YEAR:
                self.fail("year")
            return moment.astimezone(UTC)
        except OverflowError:
            self.fail("year")


class Anything(serializers.JSONField):
    """JSON of no fixed shape; whoever takes it looks at it."""


@extend_schema_field(OpenApiTypes.OBJECT)
class Table(serializers.JSONField):
    """A JSON object whose names are data."""


@extend_schema_field(
    {
        "type": "object",
        "additionalProperties": {"type": ["string", "integer", "boolean"]},
    }
)
class Options(serializers.DictField):
    """Texts, whole numbers and switches by name, as columns of JSON hold them everywhere."""

    default_error_messages = {  # noqa: RUF012  (DRF's way)
        "plain": "Give texts, whole numbers and switches only."
    }

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        found: dict[str, Any] = super().to_internal_value(data)
        for name, value in found.items():
            for text in (name, value):
                if not self._is_plain(text):
                    self.fail("plain")
        return found

    @staticmethod
    def _is_plain(value: Any) -> bool:
        if isinstance(value, str):
            fits = len(value) <= LONGEST_OPTION and "\0" not in value
            return fits and not any("\ud800" <= c <= "\udfff" for c in value)
        return isinstance(value, int) and abs(value) <= BIGGEST
