"""Reports by e-mail, each at most once.

The row says `sending` before the server is spoken to. What the server refused for sure may be
tried again; a mail whose fate nobody knows (the connection broke off after it was handed over)
is never sent again by itself: a person decides.
"""

import logging
import smtplib
from datetime import timedelta

from django.conf import settings
from django.core.files.storage import default_storage
from django.core.mail import EmailMessage, get_connection
from django.db import transaction
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from inspection import policies
from inspection.errors import UserError, WrongState
from inspection.models import ENDED, JobState, Report, User

from . import reports
from .access import require
from .audit import record

log = logging.getLogger(__name__)
Mail = Report.Mail
TRIES = 5
WAIT = timedelta(minutes=5)
AT_ONCE = 20
STUCK = timedelta(minutes=15)
UNKNOWN = "The connection broke off while it was being handed over: it may have arrived."


class NotConnected(Exception):
    """The mail server was not reached, or did not let us in: nothing can have been sent."""


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
    mine = Report.objects.filter(pk=report.pk, mail_state=Mail.WAITING)
    report.mail_tries += 1
    if not mine.update(
        mail_state=Mail.SENDING, mail_tries=report.mail_tries, mail_after=timezone.now()
    ):
        return False
    state, error = _attempt(report)
    now = timezone.now()
    again = now + WAIT * report.mail_tries if state == Mail.WAITING else None
    Report.objects.filter(pk=report.pk, mail_state=Mail.SENDING).update(
        mail_state=state,
        mail_error=error[:300],
        mail_after=again,
        mailed_at=now if state == Mail.SENT else None,
    )
    return state == Mail.SENT


def _attempt(report: Report) -> tuple[str, str]:
    """Speak to the server; returns the state that the mail is in now, and what went wrong."""
    if report.state != JobState.DONE:
        return Mail.FAILED, report.error or "The report was not made."
    try:
        with translation.override(report.language):
            _hand_over(report)
    except NotConnected as error:
        return Mail.WAITING if report.mail_tries < TRIES else Mail.FAILED, str(error)
    except (smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused) as error:
        return Mail.FAILED, f"The mail server refused it: {error}"
    except UserError as error:
        return Mail.FAILED, error.message
    except Exception:
        log.exception("mail of report %s: nobody knows whether it left", report.pk)
        return Mail.FAILED, UNKNOWN
    return Mail.SENT, ""


def _hand_over(report: Report) -> None:
    if not is_set_up():
        raise UserError("no_mail", "No mail server is set up (SMTP_HOST).")
    connection = get_connection()
    try:
        connection.open()
    except OSError as error:  # smtplib's own errors are OSErrors too
        raise NotConnected(f"The mail server could not be reached: {error}"[:300]) from error
    try:
        connection.send_messages([_message(report)])
    finally:
        connection.close()


def _message(report: Report) -> EmailMessage:
    message = EmailMessage(
        subject=f"{report} · Kintsugi".replace("\n", " "),
        body=_body(report),
        from_email=settings.DEFAULT_FROM_EMAIL,
        to=report.mail_to,
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
