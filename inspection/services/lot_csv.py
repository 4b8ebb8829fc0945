"""The lot report as CSV. One table; the first column says what a line is about:
`picture`, `refused` (a file that was not taken), `escape`, `total`, and at last `sha256`, which
is that of every byte above it.
"""

from collections.abc import Callable

from .csv_files import Cell, HashedCsv, Sink
from .lot_facts import COLUMNS, LotFacts, Picture

WIDTH = 1 + len(COLUMNS)


def write(facts: LotFacts, sink: Sink | None, step: Callable[[int, Picture], None]) -> str:
    """Write the report and return the SHA-256 of its contents. Without a sink only the hash is
    made, so that a PDF can print the same. Raises UserError when the totals do not add up."""
    out = HashedCsv(sink)
    out.add(("row", *COLUMNS))
    for number, picture in enumerate(facts.pictures(), start=1):
        out.add(("picture", *_cells(picture)))
        step(number, picture)
    facts.check()
    for receipt in facts.refused().iterator(chunk_size=500):
        out.add(_named("refused", file=receipt.file_name, error=receipt.message))
    for escape in facts.escapes():
        out.add(
            _named(
                "escape",
                serial=escape.unit.serial_number,
                panel=escape.unit.panel_id,
                position=escape.unit.position_number,
                received_at=escape.found_at,
                reason_code=escape.reason_code.code if escape.reason_code else "",
                reviewer=escape.reported_by.get_username(),
                comment=f"{escape.found_where}: {escape.comment}",
            )
        )
    for name, number in facts.numbers().items():
        out.add(_named("total", file=name, outcome=number))
    contents = out.sha256
    out.add(_named("sha256", file=contents))
    return contents


def _cells(picture: Picture) -> list[Cell]:
    return [getattr(picture, name) for name in COLUMNS]


def _named(row: str, **values: Cell) -> list[Cell]:
    """A line with only these columns filled."""
    return [row, *(values.get(name) for name in COLUMNS)]
