"""What may go wrong in a way that a person can mend. Pages and API show `message`."""

from typing import Any

from django.utils.functional import Promise, lazy
from django.utils.translation import gettext, override

Sentence = str | Promise


class UserError(Exception):
    """A refusal with its cause and its remedy in one or two sentences.

    `code` is stable for programs; `field` names the form field, where there is one; `values` fill
    the gaps of `message`: "{name} is empty." Without values it stays as it is, with its braces.
    """

    def __init__(self, code: str, message: str, /, *, field: str = "", **values: object) -> None:
        with override("en"):  # among the values may be labels, which have a language of their own
            english = _filled(message, values)
        super().__init__(english)
        self.code = code
        self.field = field
        self._template, self._values = message, values
        self.message = self._said()  # in the language of whoever is asking

    @property
    def later(self) -> Sentence:
        """The same in the language of whoever is told of it afterwards."""
        said: Sentence = lazy(self._said, str)()
        return said

    @property
    def stored(self) -> dict[str, object]:
        """What `said_again` takes, as JSON; labels among the values stay English."""
        with override("en"):
            values = {name: str(value) for name, value in self._values.items()}
        return {"template": self._template, "values": values, "english": str(self)}

    def _said(self) -> str:
        return _translated(self._template, self._values, str(self))


def said_again(stored: dict[str, Any]) -> str:
    """A refusal that was kept, in the language of whoever reads it now."""
    return _translated(stored["template"], stored["values"], stored["english"]) if stored else ""


def _translated(template: str, values: dict[str, object], english: str) -> str:
    try:
        return _filled(gettext(template), values)
    except (LookupError, ValueError, TypeError, AttributeError):  # the translation is broken
        return english


def _filled(sentence: str, values: dict[str, object]) -> str:
    return sentence.format(**values) if values else sentence


class NotAllowed(UserError):
    """This user may not do this (permission)."""


class WrongState(UserError):
    """Nobody may do this now (policy): the object is not in a state that allows it."""
