"""ETag, If-Match and If-None-Match over what a GET answers."""

import hashlib
import json
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from .problems import Precondition


def etag_of(data: Any) -> str:
    """A strong tag of a representation."""
    text = json.dumps(data, cls=DjangoJSONEncoder, sort_keys=True, separators=(",", ":"))
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def check_match(if_match: str | None, tag: str) -> None:
    """Raise 412 where `If-Match` names none of the states that are there; without the header the
    last writer wins, as in the pages."""
    if if_match is None or if_match.strip() == "*":
        return
    if tag not in named(if_match):
        raise Precondition()


def named(header: str) -> list[str]:
    """The tags of a header, weak ones as strong ones: ours have no other kind."""
    return [one.strip().removeprefix("W/") for one in header.split(",")]
