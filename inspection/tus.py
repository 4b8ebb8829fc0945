"""The tus protocol 1.0 (https://tus.io/protocols/resumable-upload) over services.resumable.

Pages and API mount the same two functions, `collection` and `one`, with whoever asks already
known; who may what is the services' to judge.
"""

import base64
import binascii
import contextlib
import hashlib
from collections.abc import Callable, Mapping
from email.utils import format_datetime
from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse

from inspection import problem
from inspection.errors import NotAllowed, UserError, WrongState
from inspection.models import PartialFile, Upload, User
from inspection.services import resumable
from inspection.services.images import MB
from inspection.services.resumable import Checksum

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,expiration,termination,checksum"
ALGORITHMS = ("sha1", "sha256", "sha512", "md5")
BYTES = "application/offset+octet-stream"
METHODS_OF_ALL, METHODS_OF_ONE = "OPTIONS, POST", "OPTIONS, HEAD, GET, PATCH, DELETE"
WRONG_CHECKSUM = 460
DIGITS = 18  # more would fit no column
STATUS: Mapping[type[UserError] | str, int] = {
    resumable.Gone: 410,
    resumable.Busy: 423,
    resumable.WrongOffset: 409,
    resumable.WrongChecksum: WRONG_CHECKSUM,
    "too_large": 413,
    "too_much": 413,
    "too_much_unfinished": 413,
    "disk_full": 507,
}
Place = Callable[[PartialFile], str]
"""The address of one file."""


class Refused(Exception):
    """A request that is not tus 1.0 as we speak it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def method_of(request: HttpRequest) -> str:
    """What is asked for; where a proxy lets no PATCH through, X-HTTP-Method-Override says it."""
    method = request.method or ""
    other = request.headers.get("X-HTTP-Method-Override", "").upper()
    return other if method == "POST" and other in ("PATCH", "DELETE", "HEAD") else method


# --- the two addresses -----------------------------------------------------------------


def collection(
    request: HttpRequest, user: User, upload: Upload | None, place: Place
) -> HttpResponse:
    """OPTIONS: what we speak. POST: announce a file, perhaps with its first bytes."""
    if request.method == "OPTIONS":
        return capabilities(upload, METHODS_OF_ALL)
    if request.method != "POST":
        return _not_allowed(request, METHODS_OF_ALL)
    return _answered(request, lambda: _create(request, user, upload, place))


def one(request: HttpRequest, user: User, upload: Upload | None, key: UUID) -> HttpResponse:
    """HEAD: how much is here. PATCH: the next bytes. DELETE: give it up. GET: what became of it,
    as JSON, which is ours and not tus's."""
    acts = {"HEAD": _head, "PATCH": _patch, "DELETE": _delete}
    method = method_of(request)
    if method == "OPTIONS":
        return capabilities(upload, METHODS_OF_ONE)
    if method != "GET" and method not in acts:
        return _not_allowed(request, METHODS_OF_ONE)

    def act() -> HttpResponse:
        if method != "GET":
            _check_version(request)
        partial = resumable.find(user, key, upload)
        if partial is None:
            raise Refused(404, "not_found", "There is no such unfinished file of yours here.")
        return acts[method](request, partial) if method in acts else _tell(partial)

    return _answered(request, act)


def _create(request: HttpRequest, user: User, upload: Upload | None, place: Place) -> HttpResponse:
    _check_version(request)
    length = _length(request)
    said = _metadata(request.headers.get("Upload-Metadata", ""))
    name = said.get("filename") or said.get("name") or ""
    with_bytes = request.content_type == BYTES
    checksum = _checksum(request) if with_bytes else None
    partial = resumable.begin(
        user,
        upload=upload,
        length=length,
        file_name=name,
        client_key=said.get("client_key") or name[:80] or "file",
        metadata=request.headers.get("Upload-Metadata", ""),
    )
    answer = HttpResponse(status=201)
    answer["Location"] = place(partial)
    if with_bytes:
        _append_first(request, user, partial, checksum)
        answer["Upload-Offset"] = str(partial.offset)
    _expires(answer, partial)
    return answer


def _append_first(
    request: HttpRequest, user: User, partial: PartialFile, checksum: Checksum | None
) -> None:
    """The bytes that came with the announcement. A refusal has no Location, and clients look for
    none there: they announce the file again. So nobody would ever go on with this one."""
    try:
        resumable.append(
            partial,
            request,  # type: ignore[arg-type]  # an HttpRequest reads like a file
            offset=0,
            size=_size(request),
            checksum=checksum,
        )
    except Exception:
        with contextlib.suppress(UserError):
            resumable.give_up(user, partial)
        raise


def _head(request: HttpRequest, partial: PartialFile) -> HttpResponse:
    if partial.expired:
        raise resumable.Gone("expired", "This file was not finished in time. Begin again.")
    resumable.settle(partial)
    answer = HttpResponse(status=200)
    answer["Upload-Offset"] = str(resumable.offset_of(partial))
    answer["Upload-Length"] = str(partial.length)
    if partial.metadata:
        answer["Upload-Metadata"] = partial.metadata
    _expires(answer, partial)
    return answer


def _patch(request: HttpRequest, partial: PartialFile) -> HttpResponse:
    if request.content_type != BYTES:
        raise Refused(415, "bad_media_type", f"A piece has the Content-Type {BYTES}.")
    offset = _number(request, "Upload-Offset")
    resumable.append(
        partial,
        request,  # type: ignore[arg-type]
        offset=offset,
        size=_size(request),
        checksum=_checksum(request),
    )
    answer = HttpResponse(status=204)
    answer["Upload-Offset"] = str(partial.offset)
    _expires(answer, partial)
    return answer


def _delete(request: HttpRequest, partial: PartialFile) -> HttpResponse:
    resumable.give_up(partial.owner, partial)
    return HttpResponse(status=204)


def _tell(partial: PartialFile) -> HttpResponse:
    resumable.settle(partial)
    return JsonResponse(resumable.payload(partial))


# --- what the headers say --------------------------------------------------------------


def _check_version(request: HttpRequest) -> None:
    if request.headers.get("Tus-Resumable") != VERSION:
        raise Refused(412, "tus_version", f"Send the header Tus-Resumable: {VERSION}.")


def _length(request: HttpRequest) -> int:
    if "Upload-Defer-Length" in request.headers:
        raise Refused(400, "length_missing", "Say how long the file is: Upload-Length.")
    return _number(request, "Upload-Length")


def _number(request: HttpRequest, header: str) -> int:
    text = request.headers.get(header, "")
    if not (text.isascii() and text.isdecimal() and len(text) <= DIGITS):
        raise Refused(400, "bad_header", f"The header {header} must be a number of bytes.")
    return int(text)


def _size(request: HttpRequest) -> int:
    return int(request.headers.get("Content-Length") or 0)


def _metadata(text: str) -> dict[str, str]:
    """`filename bG90LnppcA==,key` → names with their decoded values."""
    said = {}
    for pair in text.split(","):
        name, _space, value = pair.strip().partition(" ")
        try:
            said[name] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise Refused(
                400, "bad_metadata", f"Upload-Metadata: the value of {name} is not Base64 of UTF-8."
            ) from error
    return said


def _checksum(request: HttpRequest) -> Checksum | None:
    text = request.headers.get("Upload-Checksum")
    if text is None:
        return None
    algorithm, _space, value = text.strip().partition(" ")
    try:
        digest = base64.b64decode(value, validate=True)
    except binascii.Error:
        digest = b""
    if algorithm not in ALGORITHMS or len(digest) != hashlib.new(algorithm).digest_size:
        raise Refused(
            400, "bad_checksum", f"Upload-Checksum is one of {', '.join(ALGORITHMS)}, and Base64."
        )
    return Checksum(algorithm, digest)


# --- answers ---------------------------------------------------------------------------


def _answered(request: HttpRequest, act: Callable[[], HttpResponse]) -> HttpResponse:
    try:
        answer = act()
    except Refused as refused:
        answer = _refusal(request, refused.status, refused.code, refused.message)
        if refused.status == 412:
            answer["Tus-Version"] = VERSION
    except UserError as error:
        answer = _refusal(request, _status(error), error.code, error.message)
        if isinstance(error, resumable.WrongOffset):
            answer["Upload-Offset"] = str(error.offset)
        if isinstance(error, resumable.Busy):
            answer["Retry-After"] = "1"
    return _marked(answer)


def _marked(answer: HttpResponse) -> HttpResponse:
    answer["Tus-Resumable"] = VERSION
    answer["Cache-Control"] = "no-store"
    return answer


def _status(error: UserError) -> int:
    for kind, status in STATUS.items():
        if kind == error.code or (isinstance(kind, type) and isinstance(error, kind)):
            return status
    if isinstance(error, NotAllowed):
        return 403
    return 409 if isinstance(error, WrongState) else 400


def _refusal(request: HttpRequest, status: int, code: str, message: str) -> HttpResponse:
    if problem.wanted_by(request) and status != WRONG_CHECKSUM:
        return problem.plain(request, status, code, message)
    answer = JsonResponse({"code": code, "message": message}, status=status)
    if status == WRONG_CHECKSUM:
        answer.reason_phrase = "Checksum Mismatch"
    return answer


def _not_allowed(request: HttpRequest, methods: str) -> HttpResponse:
    answer = _refusal(request, 405, "method_not_allowed", f"This address takes {methods}.")
    answer["Allow"] = methods
    return _marked(answer)


def capabilities(upload: Upload | None, methods: str) -> HttpResponse:
    """What we speak."""
    answer = _marked(HttpResponse(status=204))
    answer["Allow"] = methods
    answer["Tus-Version"] = VERSION
    answer["Tus-Extension"] = EXTENSIONS
    answer["Tus-Checksum-Algorithm"] = ",".join(ALGORITHMS)
    answer["Tus-Max-Size"] = str(resumable.most_mb(upload) * MB)
    return answer


def _expires(answer: HttpResponse, partial: PartialFile) -> None:
    if not partial.finished_at:
        answer["Upload-Expires"] = format_datetime(partial.expires_at, usegmt=True)
