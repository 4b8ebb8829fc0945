"""`makemessages` that also finds sentences which are translated where they are shown: those of
refusals (`UserError`) are plain text where they are raised."""

from django.core.management.commands import makemessages


class Command(makemessages.Command):
    xgettext_options = [  # noqa: RUF012
        *makemessages.Command.xgettext_options,
        *(f"--keyword={name}:2" for name in ("UserError", "WrongState", "NotAllowed")),
    ]
