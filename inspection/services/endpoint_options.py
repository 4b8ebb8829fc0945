"""One value that a kind of endpoint asks for."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Option:
    """One value in `Endpoint.options`. `form`: text, number, switch, choice (one of `choices`:
    value and words), or secret: a password, which is kept not in the options but as
    `Endpoint.secrets[0]["secret"]` and never shown again; one per kind at most."""

    name: str
    label: Any
    help: Any = ""
    form: str = "text"
    default: str | int | bool = ""
    required: bool = False
    choices: tuple[tuple[str, Any], ...] = ()
