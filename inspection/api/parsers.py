"""Bodies, read within bounds whatever a caller sends."""

from typing import Any

from django.conf import settings
from rest_framework import exceptions
from rest_framework.parsers import JSONParser, MultiPartParser

SLACK = 100_000  # bytes of a form besides its file


class TooLarge(exceptions.APIException):
    """More bytes than this address takes."""

    status_code = 413
    default_code = "too_large"
    default_detail = "The body is larger than this address takes."


class Json(JSONParser):
    """JSON of at most DATA_UPLOAD_MAX_MEMORY_SIZE, nested as deep as Python goes."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        check_size(parser_context, settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError as error:
            raise exceptions.ParseError("The JSON is nested too deep.") from error


class Form(MultiPartParser):
    """multipart/form-data with one picture."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        check_size(parser_context, settings.MAX_FILE_MB * 1_000_000 + SLACK)
        return super().parse(stream, media_type, parser_context)


def check_size(context: Any, most: int) -> None:
    """Refuse what says that it is larger; a body has no more bytes than it says."""
    length = (context or {})["request"].META.get("CONTENT_LENGTH") or "0"
    if not str(length).isdecimal() or int(length) > most:
        raise TooLarge()
