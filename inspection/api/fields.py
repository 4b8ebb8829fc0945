"""Parts of serializers that several nouns use."""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers


class Strict(serializers.Serializer[Any]):
    """What a caller may ask. A field that we do not know is an error: it is a typing mistake or
    a wish that nobody would hear, and both are better told."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            unknown = [name for name in data if name not in self.fields]
            if unknown:
                known = ", ".join(self.fields)
                raise serializers.ValidationError(
                    {unknown[0]: [f"There is no such field. There are: {known}."]}
                )
        return super().to_internal_value(data)
