"""File names of machines, read by a pattern that people write: `{lot}_{serial}_{position}.png`.

A field ends where the next sign of the pattern begins, so a name is read from left to right in one
go, however long it is: there is nothing to go back to.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from django.utils.translation import gettext_noop as _

from inspection.errors import UserError

LONGEST_PATTERN = 200
LONGEST = {"serial": 120, "lot": 80, "work_order": 80, "panel": 120, "side": 20, "any": 255}
FIELDS = ("serial", "lot", "work_order", "panel", "position", "side", "any")
POSITION_DIGITS = 6
PART = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Read:
    """What a file name says; empty where it says nothing."""

    serial: str = ""
    lot: str = ""
    work_order: str = ""
    panel: str = ""
    position: int = 0
    side: str = ""


@lru_cache(maxsize=256)
def compiled(pattern: str) -> "re.Pattern[str]":
    """The pattern as an expression without ways back. Raises UserError naming what is wrong."""
    if not pattern.strip() or len(pattern) > LONGEST_PATTERN:
        raise _bad(_("The pattern must have 1 to {most} characters."), most=LONGEST_PATTERN)
    pieces = PART.split(pattern)  # literal, field, literal, field, …, literal
    seen: set[str] = set()
    made = []
    for at in range(0, len(pieces) - 1, 2):
        literal, name, following = pieces[at : at + 3]
        last = at + 3 == len(pieces)
        _check_literal(literal)
        _check_field(name, seen)
        if not following and not last:
            sentence = _("Put a sign between {{{name}}} and the next field, such as _ or -.")
            raise _bad(sentence, name=name)
        made.append(re.escape(literal) + _group(name, following[:1]))
    _check_literal(pieces[-1])
    if not seen - {"any"}:
        raise _bad(_("Name at least one field, such as {serial}."))
    return re.compile("".join(made) + re.escape(pieces[-1]), re.IGNORECASE)


def _check_literal(text: str) -> None:
    if "{" in text or "}" in text:
        raise _bad(_("Every { needs its }: {serial}."))


def _check_field(name: str, seen: set[str]) -> None:
    if name not in FIELDS:
        known = ", ".join(f"{{{field}}}" for field in FIELDS)
        raise _bad(_("There is no field {{{name}}}. There are: {known}."), name=name, known=known)
    if name in seen and name != "any":
        raise _bad(_("The field {{{name}}} is there twice."), name=name)
    seen.add(name)


def _group(name: str, end: str) -> str:
    """A field may hold anything but the sign that ends it, and never a folder's slash."""
    if name == "position":
        body = f"[0-9]{{1,{POSITION_DIGITS}}}"
    else:
        body = f"[^/{re.escape(end)}]{{1,{LONGEST[name]}}}"
    return body if name == "any" else f"(?P<{name}>{body})"


def read_name(pattern: str, path: str) -> Read | None:
    """What `path` (below the folder) says, or None where the pattern does not fit. A pattern
    without a slash is held against the file's name alone, in whichever folder it is."""
    name = path if "/" in pattern else path.rsplit("/", 1)[-1]
    found = compiled(pattern).fullmatch(name)
    if found is None:
        return None
    said = {field: value.strip() for field, value in found.groupdict(default="").items()}
    position = int(said.pop("position", "") or 0)
    return Read(position=position, **said)


def _bad(sentence: str, **values: object) -> UserError:
    return UserError("bad_pattern", sentence, field="pattern", **values)
