"""Signatures by Standard Webhooks 1.0.0 (github.com/standard-webhooks/standard-webhooks)."""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime

PREFIX = "whsec_"
SECRET_BYTES = 32  # the standard: 24 to 64


def new_secret() -> str:
    """A secret of 32 random bytes, as receivers' libraries take it: whsec_<base64>."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def in_force(kept: Iterable[dict[str, Any]], now: datetime | None = None) -> list[str]:
    """Of `Endpoint.secrets`, those that sign now, the newest first."""
    now = now or timezone.now()
    return [one["secret"] for one in kept if _lasts(one.get("until"), now)]


def _lasts(until: str | None, now: datetime) -> bool:
    end = parse_datetime(until) if until else None
    return end is None or end > now


def signature(signing: Iterable[str], message_id: str, timestamp: int, body: bytes) -> str:
    """The header webhook-signature: one `v1,<base64>` per secret, separated by spaces; HMAC
    with SHA-256 over `id.timestamp.body`, by the bytes that the secret encodes."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return " ".join(f"v1,{_mac(secret, signed)}" for secret in signing)


def _mac(secret: str, signed: bytes) -> str:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("a webhook secret is whsec_ and base64") from error
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
