"""Members of a zip: every one has a key of its own, the same at every attempt."""

import io
import warnings
import zipfile

import pytest

from inspection.services.archives import members

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
