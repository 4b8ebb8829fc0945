"""`makemessages` that also finds sentences which are translated where they are shown: those of
refusals (`UserError`) are plain text where they are raised, and those of ml's (`PictureError`)
too, which knows nothing of translations."""

from django.core.management.commands import makemessages

REFUSALS = (
    "UserError",
    "WrongState",
    "NotAllowed",
    "Gone",
    "Busy",
    "WrongChecksum",
    "StillReceiving",
    "TooManyFetches",
    "PictureError",
)


class Command(makemessages.Command):
    xgettext_options = [  # noqa: RUF012
        *makemessages.Command.xgettext_options,
        *(f"--keyword={name}:2" for name in REFUSALS),
    ]
