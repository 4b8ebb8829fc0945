"""Django's SMTP, and what the server said of single recipients, which Django drops."""

import smtplib
from typing import Any

from django.core.mail.backends.smtp import EmailBackend as DjangosBackend

Refused = dict[str, tuple[int, bytes]]  # by address, as the server was told it


class _Smtp(smtplib.SMTP):
    refused: Refused

    def sendmail(self, *args: Any, **options: Any) -> Refused:
        self.refused = {}
        self.refused = super().sendmail(*args, **options)
        return self.refused


class _SmtpTls(_Smtp, smtplib.SMTP_SSL):
    """The same over TLS from the first byte."""


class EmailBackend(DjangosBackend):
    """`refused`: who does not get the last message that was sent, while the connection is open."""

    @property
    def connection_class(self) -> type[_Smtp]:
        return _SmtpTls if self.use_ssl else _Smtp

    @property
    def refused(self) -> Refused:
        return getattr(self.connection, "refused", {})
