"""Verification of a webhook as a receiver does it, by openssl and not by our own code."""

import base64
import subprocess

from tests.receivers import Got


def reference_signature(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    """`v1,<base64>` by Standard Webhooks 1.0.0."""
    key = base64.b64decode(secret.split("_", 1)[1])
    signed = message_id.encode() + b"." + timestamp.encode() + b"." + body
    command = ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{key.hex()}"]
    found = subprocess.run([*command, "-binary"], input=signed, capture_output=True, check=True)
    return "v1," + base64.b64encode(found.stdout).decode()


def is_signed_by(secret: str, got: Got) -> bool:
    """Whether one of the signatures is the secret's."""
    expected = reference_signature(
        secret, got.headers["webhook-id"], got.headers["webhook-timestamp"], got.body
    )
    return expected in got.headers["webhook-signature"].split(" ")
