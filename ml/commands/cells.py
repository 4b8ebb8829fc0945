"""Cells of a CSV file that a spreadsheet will open."""

from __future__ import annotations

# The last four are the full-width forms, which some spreadsheets read as the plain ones.
STARTERS = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "＝", "＋", "－", "＠")


def harmless(text: str) -> str:
    """Text that no spreadsheet takes for a formula: such a cell starts with an apostrophe.

    Serial numbers and file names come from strangers. Numbers are not passed through here and
    stay numbers.
    """
    return f"'{text}" if text.startswith(STARTERS) else text
