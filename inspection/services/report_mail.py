"""Reports by e-mail, each at most once to each recipient.

The row says `sending` before the server is spoken to. What the server refused for sure may be
tried again, and is where it said that it will take it later (4xx: greylisting); who has it
already is left out. A mail whose fate nobody knows (the connection broke off after it was handed
over) is never sent again by itself: a person decides.
"""

import logging
import smtplib
from datetime import timedelta

from django.conf import settings
from django.core.files.storage import default_storage
from django.core.mail import EmailMessage, get_connection
from django.core.mail.message import sanitize_address
from django.db import transaction
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from inspection import policies
from inspection.errors import UserError, WrongState
from inspection.models import ENDED, JobState, Report, User

from . import reports
from .access import require
from .audit import record
from .mail_backend import Refused

log = logging.getLogger(__name__)
Mail = Report.Mail
TRIES = 5
WAIT = timedelta(minutes=5)
AT_ONCE = 20
STUCK = timedelta(minutes=15)
UNKNOWN = "The connection broke off while it was being handed over: it may have arrived."


class NotConnected(Exception):
    """The mail server was not reached, or did not let us in: nothing can have been sent."""


class RefusedForAll(Exception):
    """The mail server did not take it: it was sent to nobody."""

    def __init__(self, said: str, later: bool) -> None:
        super().__init__(f"The mail server refused it: {said}")
        self.later = later


def is_set_up() -> bool:
    """Whether this installation knows a mail server (SMTP_HOST)."""
    return bool(settings.EMAIL_HOST)


def send_waiting() -> int:
    """Send the mails of reports that are done; returns how many left."""
    _give_up_on_stuck()
    now = timezone.now()
    waiting = Report.objects.filter(mail_state=Mail.WAITING, state__in=ENDED)
    ready = waiting.exclude(mail_after__gt=now).select_related("product", "lot", "schedule")
    return sum(_send(report) for report in ready.order_by("pk")[:AT_ONCE])


def send_again(user: User, report: Report) -> None:
    """Try once more, because a person says so."""
    require(user, policies.MANAGE, report.product)
    with transaction.atomic():
        rows = Report.objects.filter(pk=report.pk, mail_state=Mail.FAILED, state=JobState.DONE)
        if not rows.update(mail_state=Mail.WAITING, mail_tries=0, mail_after=None, mail_error=""):
            raise WrongState("not_failed", "There is no mail of this report that failed.")
        record(user, "report.mail_again", report, product=report.product)


def _send(report: Report) -> bool:
    """One mail, if this process is the one that may send it; whether it left."""
    mine = Report.objects.filter(
        pk=report.pk, mail_state=Mail.WAITING, mail_tries=report.mail_tries
    )
    report.mail_tries += 1
    if not mine.update(
        mail_state=Mail.SENDING, mail_tries=report.mail_tries, mail_after=timezone.now()
    ):
        return False
    report.refresh_from_db(fields=["mail_taken"])  # who got it since this row was read
    state, error = _attempt(report)
    now = timezone.now()
    again = now + WAIT * report.mail_tries if state == Mail.WAITING else None
    Report.objects.filter(pk=report.pk, mail_state=Mail.SENDING).update(
        mail_state=state,
        mail_error=error[:300],
        mail_taken=report.mail_taken,
        mail_after=again,
        mailed_at=now if state == Mail.SENT else None,
    )
    return state == Mail.SENT


def _attempt(report: Report) -> tuple[str, str]:
    """Speak to the server; returns the state that the mail is in now, and what went wrong."""
    if report.state != JobState.DONE:
        return Mail.FAILED, report.error or "The report was not made."
    later = Mail.WAITING if report.mail_tries < TRIES else Mail.FAILED
    try:
        with translation.override(report.language):
            refused = _hand_over(report)
    except NotConnected as error:
        return later, str(error)
    except RefusedForAll as error:
        return later if error.later else Mail.FAILED, str(error)
    except UserError as error:
        return Mail.FAILED, error.message
    except Exception:
        log.exception("mail of report %s: nobody knows whether it left", report.pk)
        return Mail.FAILED, UNKNOWN
    wanted = _left(report)
    report.mail_taken = [*report.mail_taken, *(one for one in wanted if _sent(one) not in refused)]
    if not refused:
        return Mail.SENT, ""
    said = f"The mail server refused it for {_told(refused)}"
    return later if _may_be_taken_later(refused) else Mail.FAILED, said


def _left(report: Report) -> list[str]:
    """Who does not have it yet."""
    return [address for address in report.mail_to if address not in report.mail_taken]


def _sent(address: str) -> str:
    """As the server is told it: a name in other letters is spelt in ASCII."""
    return sanitize_address(address, settings.DEFAULT_CHARSET)


def _told(refused: Refused) -> str:
    return ", ".join(
        f"{address} ({code} {said.decode(errors='replace')})"
        for address, (code, said) in refused.items()
    )


def _may_be_taken_later(refused: Refused) -> bool:
    return any(_is_for_now(code) for code, _said in refused.values())


def _is_for_now(code: int) -> bool:
    """RFC 5321: 4xx may be tried again as it is, 5xx may not."""
    return 400 <= code < 500


def _hand_over(report: Report) -> Refused:
    """Returns for whom the server did not take it. Raises NotConnected or RefusedForAll where it
    was sent to nobody; after anything else nobody knows."""
    if not is_set_up():
        raise UserError("no_mail", "No mail server is set up (SMTP_HOST).")
    connection = get_connection()
    try:
        connection.open()
    except OSError as error:  # smtplib's own errors are OSErrors too
        raise NotConnected(f"The mail server could not be reached: {error}"[:300]) from error
    try:
        connection.send_messages([_message(report)])
        refused: Refused = getattr(connection, "refused", {})
        return refused
    except smtplib.SMTPRecipientsRefused as error:
        later = _may_be_taken_later(error.recipients)
        raise RefusedForAll(_told(error.recipients), later) from error
    except smtplib.SMTPResponseException as error:
        raise RefusedForAll(str(error), _is_for_now(error.smtp_code)) from error
    finally:
        connection.close()


def _message(report: Report) -> EmailMessage:
    message = EmailMessage(
        subject=f"{report} · Kintsugi".replace("\n", " "),
        body=_body(report),
        from_email=settings.DEFAULT_FROM_EMAIL,
        to=_left(report),
        headers={
            "Message-ID": f"<report.{report.pk}@kintsugi>",
            "Auto-Submitted": "auto-generated",
        },
    )
    if report.size_bytes <= settings.MAIL_MAX_MB * 1_000_000:
        kind = "application/pdf" if report.is_pdf else "text/csv"
        with default_storage.open(report.file_key) as file:
            message.attach(reports.file_name(report), file.read(), kind)
    return message


def _body(report: Report) -> str:
    attached = report.size_bytes <= settings.MAIL_MAX_MB * 1_000_000
    address = f"{settings.PUBLIC_URL.rstrip('/')}/reports/" if settings.PUBLIC_URL else ""
    words = [
        str(report),
        str(report.product),
        "",
        _("The report is attached.") if attached else _("The report is too large for a mail."),
        _("It is kept at %(address)s") % {"address": address or _("Kintsugi, page Reports")},
        f"SHA-256: {report.file_sha256}",
        "",
        _("It is sent by a schedule of Kintsugi; an engineer can end it on the page Reports."),
    ]
    return "\n".join(words)


def _give_up_on_stuck() -> None:
    """A process that died while it was sending left nobody who knows: say so, send nothing."""
    Report.objects.filter(mail_state=Mail.SENDING, mail_after__lt=timezone.now() - STUCK).update(
        mail_state=Mail.FAILED, mail_error=UNKNOWN
    )
