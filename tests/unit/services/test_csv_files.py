"""A spreadsheet must not take what people typed for a formula."""

import csv
import hashlib
import io
from datetime import UTC, datetime

import pytest

from inspection.services.csv_files import HashedCsv, cell, line, safe_text


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\tx",
        "\rx",
        "\0=1",
        " =1",
        "＝1+1",
        '=HYPERLINK("http://x")',
    ],
)
def test_a_formula_is_made_text(text: str) -> None:
    assert safe_text(text).startswith("'")
    assert "\0" not in safe_text(text)


@pytest.mark.parametrize("text", ["", "SN-1", "3-4", "a=b", "Müller", "瑕疵"])
def test_other_text_is_left_alone(text: str) -> None:
    assert safe_text(text) == text


def test_numbers_and_times_are_for_machines() -> None:
    assert [cell(value) for value in (None, True, -0.5, 12)] == ["", "yes", "-0.5", "12"]
    assert cell(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2026-01-02T03:04:05+00:00"


def test_a_line_comes_back_as_it_went() -> None:
    values = ['say "no"', "two\nlines", "a,b", 1.5]
    [row] = csv.reader(io.StringIO(line(values).decode(), newline=""))
    assert row == ['say "no"', "two\nlines", "a,b", "1.5"]


def test_the_hash_is_that_of_what_was_written() -> None:
    sink = io.BytesIO()
    out, silent = HashedCsv(sink), HashedCsv()
    for values in (["a", 1], ["=b", 2]):
        out.add(values)
        silent.add(values)
    assert out.sha256 == silent.sha256 == hashlib.sha256(sink.getvalue()).hexdigest()
