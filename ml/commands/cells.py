"""Cells of a CSV file that a spreadsheet will open."""

from __future__ import annotations

STARTERS = ("=", "+", "-", "@", "\t", "\r")


def harmless(text: str) -> str:
    """Text that no spreadsheet takes for a formula: such a cell starts with an apostrophe.

    File names come from strangers. Numbers are not passed through here and stay numbers.
    """
    return f"'{text}" if text.startswith(STARTERS) else text
