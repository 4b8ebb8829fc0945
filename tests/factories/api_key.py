import json
from collections.abc import Iterable
from typing import Any

from django.test import Client

from inspection.models import SCOPES, User
from inspection.services import api_keys


def key_of(user: User, scopes: Iterable[str] = SCOPES) -> str:
    """The text of a new key of `user`'s."""
    return api_keys.create_key(user, name="a program", scopes=scopes)[1]


class Program(Client):
    """A client that sends a key and JSON, as an MES does."""

    def __init__(self, key: str, **options: Any) -> None:
        super().__init__(headers={"Authorization": f"Bearer {key}"}, **options)

    def json(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Send `body` as JSON to /api/v1/<path>."""
        return self.generic(
            method,
            f"/api/v1/{path}",
            "" if body is None else json.dumps(body),
            content_type="application/json",
            headers=headers,
        )
