"""Rows by the hundred thousand: COPY on PostgreSQL, plain inserts elsewhere."""

import json
from datetime import UTC, datetime
from typing import Any

from django.db import connection
from django.db.models import Model
from psycopg import sql

Value = str | int | float | None


class Table:
    """Collects rows of one model and writes them together. What a row does not name is the
    field's default, so that a new column needs no change here."""

    def __init__(self, model: type[Model]) -> None:
        self._name = model._meta.db_table
        fields = model._meta.concrete_fields
        self._columns = [str(field.column) for field in fields]
        self._defaults: dict[str, Value] = {}
        for field in fields:
            default = field.get_default() if field.has_default() else None
            empty = "" if field.empty_strings_allowed and not field.null else None
            self._defaults[str(field.column)] = plain(empty if default is None else default)
        self._rows: list[list[Value]] = []
        self.written = 0

    def add(self, **values: Value) -> None:
        """One row, by column; keys as hexadecimal, times as `moment` gives them."""
        self._rows.append(list({**self._defaults, **values}.values()))

    def write(self) -> None:
        if not self._rows:
            return
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                self._copy(cursor)
            else:
                names = ", ".join(f'"{column}"' for column in self._columns)
                marks = ", ".join(["%s"] * len(self._columns))
                insert = f'INSERT INTO "{self._name}" ({names}) VALUES ({marks})'  # noqa: S608
                cursor.executemany(insert, self._rows)
        self.written += len(self._rows)
        self._rows.clear()

    def _copy(self, cursor: Any) -> None:
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
            sql.Identifier(self._name), sql.SQL(", ").join(map(sql.Identifier, self._columns))
        )
        lines = ["\t".join("\\N" if v is None else str(v) for v in row) for row in self._rows]
        with cursor.cursor.copy(statement) as copy:
            copy.write("\n".join(lines) + "\n")


def plain(value: Any) -> Value:
    """As both databases read it from text."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, datetime):
        return moment(value.timestamp())
    if isinstance(value, dict | list):
        return json.dumps(value)
    return value if isinstance(value, int | float) or value is None else str(value)


def moment(seconds: float) -> str:
    """Seconds since 1970 as the text of a time in UTC."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def key(seconds: float, chance: int) -> str:
    """A key of that time (UUID version 7), from 74 bits of chance."""
    high, low = chance >> 62 & 0xFFF, chance & (1 << 62) - 1
    return f"{int(seconds * 1000):012x}7{high:03x}{1 << 63 | low:016x}"
