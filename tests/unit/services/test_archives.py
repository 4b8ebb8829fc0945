"""Members of a zip: every one has a key of its own, the same at every attempt."""

import io
import struct
import warnings
import zipfile
from pathlib import Path

import pytest

from inspection.errors import UserError
from inspection.services.archives import members, open_archive

LONG = "very/" * 90 + "long.png"


def archive_of(names: list[str]) -> zipfile.ZipFile:
    target = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(target, "w") as packed:
        warnings.simplefilter("ignore")  # the same name twice is what is meant
        for name in names:
            packed.writestr(name, b"x")
    return zipfile.ZipFile(target)


@pytest.mark.parametrize(
    "names",
    [
        ["a.png", "a.png", "a.png#2"],
        ["a.png#2", "a.png", "a.png"],
        ["a.png", "a.png#2", "a.png", "a.png", "a.png#2"],
        [LONG, LONG],
    ],
)
def test_no_two_members_share_a_key(names: list[str]) -> None:
    found = members("z", archive_of(names))
    keys = [member.key for member in found]
    assert len(set(keys)) == len(names)
    assert all(key.startswith("z/") and len(key) <= 400 for key in keys)
    assert [member.key for member in members("z", archive_of(names))] == keys


def test_a_member_that_comes_once_keeps_its_path_as_key() -> None:
    found = members("z", archive_of(["lot 1/a.png", "b.png"]))
    assert [member.key for member in found] == ["z/lot 1/a.png", "z/b.png"]


def end_of(directory_bytes: int, at: int = 0) -> bytes:
    return struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, directory_bytes, at, 0)


def large_end_of(directory_bytes: int) -> bytes:
    """The record for large archives, and what points to it."""
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, directory_bytes, 0)
    return record + struct.pack("<4sLQL", b"PK\6\7", 0, 0, 1)


HUGE = 10**9  # bytes of a directory: ten million members


@pytest.mark.parametrize(
    "end",
    [
        end_of(HUGE),
        large_end_of(HUGE) + end_of(0xFFFFFFFF),
        large_end_of(HUGE) + end_of(46),  # ZipFile believes the first
        end_of(HUGE, at=int.from_bytes(b"PK\5\6", "little")),  # looks like another record
    ],
)
def test_a_directory_that_would_fill_the_memory_is_not_read(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "many.zip"
    path.write_bytes(b"\0" * 100 + end)
    with pytest.raises(UserError) as refused, open_archive("many.zip", path):
        pass
    assert refused.value.code == "too_many_members"


def test_a_small_archive_with_a_comment_is_read(tmp_path: Path) -> None:
    path = tmp_path / "small.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("a.png", b"x")
        packed.comment = b"lot 7, station 3"
    with open_archive("small.zip", path) as archive:
        assert archive.namelist() == ["a.png"]
