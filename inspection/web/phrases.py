"""What the scripts of the pages say. It is served with every page, so that it is translated
with everything else; a script names a phrase and fills in what is in braces."""

from collections.abc import Mapping
from functools import lru_cache

from django.utils.functional import Promise
from django.utils.html import json_script
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

PHRASES: Mapping[str, str | Promise] = {
    # how long, how much
    "seconds": _("{s} s"),
    "minutes": _("{m} min"),
    "minutes_seconds": _("{m} min {s} s"),
    "hours_minutes": _("{h} h {m} min"),
    "percent": _("{n} %"),
    "left": _("{time} left"),
    "about_left": _("about {time} left"),
    # the frame
    "close": _("Close"),
    "nothing_runs": _("Nothing is running."),
    "more_jobs": _("{n} more"),
    "job_upload": _("Upload into {place}"),
    "job_export": _("CSV of inspections"),
    "rows_of": _("{n} of {total} rows"),
    "export_done": _("The CSV is whole: {n} rows."),
    "export_stopped": _("The CSV broke off after {n} of {total} rows. Load it again."),
    "job_training": _("Run {n} of {product}"),
    "job_queued": _("waiting for its turn"),
    "job_paused": _("waits for your decision"),
    "job_cancelling": _("stopping"),
    "unread": _("Notifications, {n} unread"),
    "no_unread": _("Notifications"),
    "live": _("Live"),
    "asking": _("Asking every 15 s"),
    "no_connection": _("No connection to Kintsugi"),
    "scored_of": _("{n} of {total} scored"),
    "server_answered": _("The server answered {status}. Try again."),
    # uploads
    "accepted": _("Accepted"),
    "duplicate": _("Already there"),
    "refused": _("Refused"),
    "unsent": _("Not sent"),
    "queued": _("Unpacking"),
    "sending": _("Sending"),
    "waiting": _("Waiting"),
    "sent_already": _("These files have been sent already."),
    "unpacked": _("Unpacked: {n} files."),
    "unpacking": _("Unpacking: {n} of {total} files."),
    "have_receipts": _("{n} of {total} files have a receipt"),
    "all_have_receipts": _(
        "All {total} files have a receipt: {accepted} accepted, {duplicate} already there, "
        "{refused} refused."
    ),
    "never_sent": _(
        "{n} of the {total} announced files were never sent: this page was left before. Drop the "
        "same files again; those that are here are not sent twice."
    ),
    "in_folders": _("These pictures come in folders: {names}."),
    "in_zip": _("A zip may hold folders."),
    "signed_out": _("You are signed out. Sign in again in another tab, then press “Try again”."),
    "server_answered_for": _("The server answered {status} for {name}. Try again."),
    "no_answer": _(
        "{name} could not be sent: the server does not answer. Check the network and try again."
    ),
    # a training run
    "run_starting": _("Starting"),
    "of_the_run": _("{stage} · {percent} of the run"),
    "step_of": _("step {step} of {steps}"),
    "rate": _("{rate} {unit}/s"),
    "unit_steps": _("steps"),
    "unit_pictures": _("pictures"),
    "step": _("step"),
    "curve_loss": _("How far off it still is: lower is better"),
    "samples": _("Sample parts and their restorations"),
    # charts of the Today page
    "p_chart_point": _("{share} of {n} called; limits {low} to {high}"),
    "ewma_point": _("mean {mean}, smoothed {ewma}; limits {low} to {high}"),
    "day": _("Day"),
    "called": _("Called"),
    "inspected": _("Inspected"),
    "share": _("Share"),
    "limits": _("Limits"),
    "outside": _("outside"),
    "passed_parts": _("Passed parts"),
    "mean": _("Mean"),
    "smoothed": _("Smoothed"),
    "row_column": _("Row, column"),
    "calls": _("Calls"),
    "confirmed": _("Confirmed"),
    # parts that are picked
    "picked": _("{n} picked"),
    # repair zones
    "zone": _("Zone {n}"),
    "zone_remove": _("Remove zone {n}"),
    # the verification station
    "picture_of": _("Picture {n} of {total}"),
    "taken_over": _("Somebody else has this part now; here is the next."),
    "you_said": _("You said: {state}."),
    "undo": _("Undo this"),
}


@lru_cache(maxsize=8)
def phrases_script(language: str | None) -> SafeString:
    """The phrases as the script block of a page in the language that is spoken now. Every page
    carries all of them, so they are put together once per language."""
    return json_script({name: str(phrase) for name, phrase in PHRASES.items()}, "phrases")
