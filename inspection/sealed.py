"""Secrets of others in our database: sealed, so that a copy of it does not give them away.

What is kept are passwords of brokers and secrets that sign webhooks, which are needed as they were
given; a hash would not do. Fernet (AES-128-CBC and HMAC with SHA-256) by a key that comes from
SECRET_KEY; those of SECRET_KEY_FALLBACKS open what an earlier key sealed.
"""

import base64
import json
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.utils.crypto import salted_hmac

from inspection.errors import WrongState

SALT = "kintsugi.sealed"


class CannotOpen(WrongState):
    """It was sealed with a SECRET_KEY that is not known here."""

    def __init__(self) -> None:
        super().__init__(
            "cannot_open",
            "Its secret was kept under another SECRET_KEY: name that one in SECRET_KEY_FALLBACKS, "
            "or give it a new secret.",
            field="secret",
        )


def seal(value: Any) -> str:
    """Anything that JSON knows, as text that only this house can read."""
    return _box().encrypt(json.dumps(value).encode()).decode()


def unseal(text: str) -> Any:
    """What was sealed. Raises CannotOpen."""
    try:
        return json.loads(_box().decrypt(text.encode()))
    except InvalidToken as error:
        raise CannotOpen from error


def sealed_anew(text: str) -> str:
    """The same, sealed by the newest key. Raises CannotOpen."""
    try:
        return _box().rotate(text.encode()).decode()
    except InvalidToken as error:
        raise CannotOpen from error


def _box() -> MultiFernet:
    return _of_keys((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


@lru_cache(maxsize=4)
def _of_keys(keys: tuple[str, ...]) -> MultiFernet:
    """The first seals; all are tried to open."""
    derived = [salted_hmac(SALT, "", secret=key, algorithm="sha256").digest() for key in keys]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(one)) for one in derived])
