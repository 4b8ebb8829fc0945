"""CSV that a spreadsheet can open without harm, written line by line, with its SHA-256."""

import csv
import hashlib
import io
from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

from django.utils import timezone

# A cell that begins with one of these is a formula to a spreadsheet (ASVS 1.2.10).
from inspection.ml_adapter import STARTERS as FORMULA

Cell = str | int | float | bool | datetime | None


class Sink(Protocol):
    def write(self, data: bytes, /) -> object: ...


def safe_text(text: str) -> str:
    """Text that no spreadsheet takes for a formula: an apostrophe goes before those."""
    clean = text.replace("\0", "")
    return f"'{clean}" if text.startswith(FORMULA) or clean.lstrip().startswith(FORMULA) else clean


def cell(value: Cell) -> str:
    """A value as it stands in the file: numbers with a point, times in the plant's zone."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return timezone.localtime(value).isoformat(timespec="seconds")
    if isinstance(value, int | float):
        return repr(value)
    return safe_text(value)


def line(values: Iterable[Cell]) -> bytes:
    """One line, UTF-8, as RFC 4180 has it."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow([cell(value) for value in values])
    return buffer.getvalue().encode()


class HashedCsv:
    """Writes lines to a sink and keeps the SHA-256 of all that was written."""

    def __init__(self, sink: Sink | None = None) -> None:
        self._sink = sink
        self._digest = hashlib.sha256()

    def add(self, values: Iterable[Cell]) -> None:
        data = line(values)
        self._digest.update(data)
        if self._sink is not None:
            self._sink.write(data)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()
