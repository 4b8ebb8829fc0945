"""What may go wrong in a way that a person can mend. Pages and API show `message`."""

from django.utils.translation import gettext


class UserError(Exception):
    """A refusal with its cause and its remedy in one or two sentences.

    `code` is stable for programs; `field` names the form field, where there is one.
    """

    def __init__(self, code: str, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = gettext(message)  # in the language of whoever is asking
        self.field = field


class NotAllowed(UserError):
    """This user may not do this (permission)."""


class WrongState(UserError):
    """Nobody may do this now (policy): the object is not in a state that allows it."""
