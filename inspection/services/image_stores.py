"""Pictures by their address, from stores that an administrator lists and from nowhere else.

KINTSUGI_IMAGE_STORES names them by the beginning of their addresses: `https://store.plant/aoi/`.
Scheme, host and port must be the same and the path must lie below; so a sender never makes this
machine call another one than those. A store may redirect nowhere and has `TIMEOUT_S` in all.
"""

import http.client
import ssl
import tempfile
import time
from functools import cache
from typing import IO, Any, cast
from urllib.parse import SplitResult, unquote, urlsplit

from django.conf import settings

from inspection.errors import UserError

from .disk import check_free_space
from .images import CHUNK, MB, too_large
from .one_request import exchanged, port_of
from .webhook_addresses import Unresolved, resolved

TIMEOUT_S = 10.0
LONGEST = 2000
FOUND = 200
IN_MEMORY = 4 * MB  # a picture up to this never sees the disk before it is looked at
HEADERS = {"User-Agent": "Kintsugi", "Accept": "image/*", "Connection": "close"}


def is_address(text: str) -> bool:
    """Whether it is meant as an address rather than the id of a picture."""
    return "://" in text


def listed(text: str) -> SplitResult:
    """The address in its parts. Raises UserError `store_not_listed` or `address_invalid`."""
    try:
        parts = urlsplit(text)
        named = (parts.scheme, parts.hostname, port_of(parts))
    except ValueError as error:
        raise _invalid(text) from error
    unusable = parts.username or parts.password or parts.fragment or not parts.hostname
    if unusable or len(text) > LONGEST or not text.isascii() or any(c <= " " for c in text):
        raise _invalid(text)
    for store in settings.IMAGE_STORES:
        allowed = urlsplit(store)
        there = (allowed.scheme, allowed.hostname, port_of(allowed))
        if there == named and _is_below(parts.path, allowed.path):
            return parts
    raise UserError(
        "store_not_listed",
        "Pictures are not fetched from {address}. Stores that an administrator allows "
        "(KINTSUGI_IMAGE_STORES): {known}. Or send the picture itself.",
        address=_without_query(parts),
        known=", ".join(settings.IMAGE_STORES) or "none",
    )


def fetch(address: str) -> IO[bytes]:
    """The bytes of a picture, as an open file that the caller closes; the database is not asked.

    Raises UserError: not listed, not there within `TIMEOUT_S`, too large.
    """
    parts = listed(address)
    shown = _without_query(parts)
    check_free_space()
    until = time.monotonic() + TIMEOUT_S
    settings.STAGING_DIR.mkdir(parents=True, exist_ok=True)
    held = tempfile.SpooledTemporaryFile(IN_MEMORY, dir=str(settings.STAGING_DIR))  # noqa: SIM115
    file = cast(IO[bytes], held)  # whoever asked closes it
    try:
        addresses = [str(a) for a in resolved(parts.hostname or "", port_of(parts), TIMEOUT_S)]
        with exchanged("GET", parts, addresses, until=until, tls=_tls(), headers=HEADERS) as answer:
            if answer.status != FOUND:
                raise _missing(f"{shown}: the store answered {answer.status}.")
            _copy(answer, file, name_of(address))
    except BaseException as error:
        file.close()
        if isinstance(error, Unresolved):
            raise _missing(f"{shown}: {error}") from error
        if isinstance(error, TimeoutError):
            raise _missing(f"{shown}: no whole picture within {TIMEOUT_S:.0f} s.") from error
        if isinstance(error, OSError | http.client.HTTPException | ValueError):
            raise _missing(f"{shown}: {type(error).__name__}: {error}.") from error
        raise
    file.seek(0)
    return file


def _without_query(parts: SplitResult) -> str:
    """The address as it may be shown: a query may hold a signature."""
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def name_of(address: str) -> str:
    """What the picture is called: the last part of the address's path."""
    return unquote(urlsplit(address).path.rpartition("/")[2])


def _copy(answer: http.client.HTTPResponse, file: IO[bytes], name: str) -> None:
    size = 0
    while block := answer.read(CHUNK):
        size += len(block)
        if size > settings.MAX_FILE_MB * MB:
            raise too_large(name, settings.MAX_FILE_MB)
        file.write(block)
    if answer.length:  # half a picture may still be one: not all came that was announced
        raise http.client.IncompleteRead(b"", answer.length)


def _is_below(path: str, store: str) -> bool:
    """Below the store's folder, whatever dots and percent signs do to it on the way."""
    folder = store if store.endswith("/") else f"{store}/"
    plain = unquote(unquote(path)).replace("\\", "/")
    return path.startswith(folder) and not {".", ".."} & set(plain.split("/"))


@cache
def _tls() -> Any:
    return ssl.create_default_context()


def _invalid(text: str) -> UserError:
    return UserError(
        "address_invalid",
        "{text} is no address of a picture: https://host/path without user, password, blanks "
        "and '#', at most {most} characters.",
        text=text[:200],
        most=LONGEST,
    )


def _missing(trouble: str) -> UserError:
    return UserError(
        "picture_not_fetched",
        "{trouble} Nothing was taken: send the same again when the store has it, or send the "
        "picture itself.",
        trouble=trouble,
    )
