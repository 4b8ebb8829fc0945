"""File names of machines, read by patterns that people write."""

import time

import pytest

from inspection.errors import UserError
from inspection.services.intake_patterns import Read, read_name


@pytest.mark.parametrize(
    ("pattern", "path", "said"),
    [
        ("{lot}_{serial}_{position}.png", "L7_SN-001_12.png", Read("SN-001", "L7", position=12)),
        (
            "{lot}_{serial}_{position}.png",
            "a/b/L7_SN-001_12.PNG",
            Read("SN-001", "L7", position=12),
        ),
        ("{serial}.png", "SN 1 .png", Read("SN 1")),
        ("{serial}-{any}.{any}", "S1-cam3 blue.jpeg", Read("S1")),
        ("{lot}/{side}/{serial}.bmp", "L9/top/S1.bmp", Read("S1", "L9", side="top")),
        (
            "{work_order}+{panel}#{position}.tif",
            "WO1+P(3)#7.tif",
            Read(work_order="WO1", panel="P(3)", position=7),
        ),
        ("批號{lot}_{serial}.png", "批號甲乙_序號1.png", Read("序號1", "甲乙")),
    ],
)
def test_names_are_read(pattern: str, path: str, said: Read) -> None:
    assert read_name(pattern, path) == said


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("{serial}.png", "S1.jpg"),
        ("{serial}.png", ".png"),
        ("{serial}_{position}.png", "S1_x.png"),
        ("{serial}_{position}.png", "S1_1234567.png"),
        ("{serial}.png", "S1.png.tmp"),
        ("{serial}.png", "S1.png\n"),
        ("{lot}/{serial}.png", "a/L/S1.png"),
        ("{lot}/{serial}.png", "S1.png"),
        ("{serial}.png", "x" * 121 + ".png"),
        ("a.png{serial}", "abpng1"),
    ],
)
def test_other_names_are_not(pattern: str, path: str) -> None:
    assert read_name(pattern, path) is None


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("", "1 to 200"),
        ("x" * 201, "1 to 200"),
        ("plain.png", "at least one field"),
        ("{any}.png", "at least one field"),
        ("{serial}{lot}.png", "Put a sign between {serial}"),
        ("{serial}_{serial}.png", "twice"),
        ("{sn}.png", "There is no field {sn}"),
        ("{serial.png", "Every {"),
        ("serial}.png", "Every {"),
        ("{serial!r}.png", "There is no field"),
    ],
)
def test_a_wrong_pattern_says_what_is_wrong(pattern: str, says: str) -> None:
    with pytest.raises(UserError) as refused:
        read_name(pattern, "x")
    assert says in refused.value.message
    assert refused.value.field == "pattern"


def test_signs_of_expressions_are_only_signs() -> None:
    assert read_name("(a+)+${serial}.png", "(a+)+$7.png") == Read("7")
    assert read_name("(a+)+${serial}.png", "aaaa7.png") is None


def test_no_name_takes_long() -> None:
    pattern = "_".join(["{any}"] * 20) + "_{serial}.png"
    began = time.process_time()
    for name in ("_" * 5000, "a_" * 2500, "a" * 5000, "a_" * 19 + "b" * 4000):
        assert read_name(pattern, name) is None
    assert time.process_time() - began < 2  # tried in every way it would be years
