"""Inspections as CSV, row by row as the database gives them: what is held is one chunk,
however many there are."""

import csv
import io
from collections.abc import AsyncIterator, Callable, Generator
from datetime import datetime
from itertools import islice
from typing import Any

from asgiref.sync import sync_to_async
from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.utils import timezone

from inspection.live.exports import Export
from inspection.ml_adapter import harmless
from inspection.models import Inspection
from inspection.services.verdicts import CELLS

CHUNK = 1000  # rows that are held at once
BOM = "\ufeff"  # without it a spreadsheet does not take the file for UTF-8

# Column by column: its title and where its value is, seen from an inspection.
COLUMNS = (
    ("inspection", "id"),
    ("completed_at", "completed_at"),
    ("part_number", "viewpoint__product__code"),
    ("product", "viewpoint__product__name"),
    ("viewpoint", "viewpoint__code"),
    ("line", "station__line"),
    ("station", "station__code"),
    ("work_order", "work_order"),
    ("lot", "lot__code"),
    ("serial_number", "unit__serial_number"),
    ("panel", "unit__panel_id"),
    ("position", "unit__position_number"),
    ("verdict", "verdict"),
    ("disposition", "disposition"),
    ("score", "score"),
    ("fail_above", "operating_point__threshold_fail"),
    ("review_above", "operating_point__threshold_review"),
    ("p_value", "p_value"),
    ("place_on_part", "cell"),
    ("model", "model_version__number"),
    ("purpose", "purpose"),
    ("decision_of_record", "is_record"),
    ("review_state", "review_state"),
    ("reason", "review_reason__code"),
    ("reviewed_by", "reviewed_by__username"),
    ("reviewed_at", "reviewed_at"),
    ("error", "error"),
)
TITLES = [title for title, _ in COLUMNS]
FIELDS = [path for _, path in COLUMNS]


def answer_of(found: QuerySet[Inspection], export: Export | None = None) -> StreamingHttpResponse:
    """The file as an answer, for pages and programs alike; `export` is told how far it is."""
    name = f"inspections-{timezone.localtime():%Y-%m-%d-%H%M}.csv"
    return StreamingHttpResponse(
        csv_of(found, export),
        content_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "X-Content-Type-Options": "nosniff",
        },
    )


async def csv_of(found: QuerySet[Inspection], export: Export | None = None) -> AsyncIterator[str]:
    """The file in pieces. On PostgreSQL the rows wait in a server-side cursor.

    Not `aiterator()`: over `values_list` it runs the query in the event loop's own thread, which
    Django then forbids. All steps of the generator run in the request's one database thread.
    """
    pieces = _pieces(found, export)
    try:
        while piece := await sync_to_async(lambda: next(pieces, ""))():
            yield piece
    finally:  # also where the browser went away
        await sync_to_async(lambda: pieces.close())()


def _pieces(found: QuerySet[Inspection], export: Export | None) -> Generator[str, None, None]:
    written, whole = 0, False
    try:
        yield BOM + _lines([TITLES])
        rows = found.values_list(*FIELDS).iterator(chunk_size=CHUNK)
        while some := list(islice(rows, CHUNK)):
            written += len(some)
            if export:
                export.wrote(written)
            yield _lines([cells(row) for row in some])
        whole = True
    finally:
        if export:
            export.end(whole=whole)


def cells(row: tuple[Any, ...]) -> list[Any]:
    """One row of FIELDS as a spreadsheet should read it."""
    return [SPECIAL.get(title, _plain)(value) for title, value in zip(TITLES, row, strict=True)]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return timezone.localtime(value).isoformat(timespec="seconds")
    return harmless(value) if isinstance(value, str) else value


def _place(cell: int | None) -> str:
    """`R4C7`: row and column on the grid, from the top left, counted from one."""
    return "" if cell is None else f"R{cell // CELLS + 1}C{cell % CELLS + 1}"


SPECIAL: dict[str, Callable[[Any], Any]] = {
    "place_on_part": _place,
    "position": lambda number: number or "",
    "decision_of_record": lambda record: "yes" if record else "no",
}


def _lines(rows: list[list[Any]]) -> str:
    target = io.StringIO()
    csv.writer(target).writerows(rows)
    return target.getvalue()
