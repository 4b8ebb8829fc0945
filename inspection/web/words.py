"""How pages say things: verdicts, states, times and scores in a quality manager's words."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from inspection.models import (
    Disposition,
    Job,
    JobState,
    ReviewState,
    Symmetry,
    TrainingRun,
    Verdict,
)

from .phrases import PHRASES


@dataclass(frozen=True)
class Sign:
    """A state for eyes of any kind: word, icon, and the CSS class that colours both."""

    key: str
    word: str | Promise
    icon: str
    tone: str


PASS = Sign("pass", _("Pass"), "circle-check", "v-pass")
FAIL = Sign("fail", _("Fail"), "circle-x", "v-fail")
REVIEW = Sign("review", _("Review"), "eye", "v-review")
ERROR = Sign("error", _("Error"), "alert-triangle", "v-none")
SKIPPED = Sign("skipped", _("Skipped"), "ban", "v-none")
WAITING = Sign("waiting", _("Waiting"), "clock", "v-none")
VERDICTS = (PASS, FAIL, REVIEW, ERROR)
BY_KEY = {sign.key: sign for sign in VERDICTS}
# What figures count by: wider or narrower than one verdict.
CALLED = Sign("called", _("Called"), "flag", "v-gold")
NOT_FAILED = Sign("not_failed", _("Not failed"), "check", "v-none")
AUDIT = Sign("audit", _("Drawn for audit"), "eye", "v-gold")
CALLS = (CALLED, NOT_FAILED, AUDIT)


def verdict_sign(verdict: str, disposition: str) -> Sign:
    """What the machine said, in one word. An error is never shown as a pass."""
    if not verdict:
        return WAITING
    if verdict == Verdict.ERROR:
        return ERROR
    if verdict == Verdict.SKIPPED:
        return SKIPPED
    if disposition == Disposition.NEEDS_REVIEW:
        return REVIEW
    return PASS if verdict == Verdict.PASSED else FAIL


def by_key(key: str) -> Sign:
    """The verdict that an address calls so."""
    return next(one for one in (*VERDICTS, *CALLS) if one.key == key)


# What people said of a part. Until somebody has, there is nothing to show.
REVIEW_SIGNS = {
    ReviewState.CONFIRMED: Sign("confirmed", _("Defect confirmed"), "flag", "v-fail"),
    ReviewState.REJECTED: Sign("rejected", _("False call"), "user-check", "v-pass"),
    ReviewState.ACCEPTED: Sign("accepted", _("Defect accepted"), "user-check", "v-gold"),
    ReviewState.REPAIRED: Sign("repaired", _("Defect repaired"), "wand", "v-gold"),
    ReviewState.CLOSED: Sign("closed", _("Closed"), "lock", "v-none"),
}
NOT_VERIFIED = Sign("not_verified", _("Not verified yet"), "clock", "v-none")


def review_sign(state: str) -> Sign:
    return REVIEW_SIGNS.get(ReviewState(state), NOT_VERIFIED)


# What reviews come to, by the words of `querysets.REVIEWS`.
REVIEW_WORDS: dict[str, str | Promise] = {
    "waiting": _("Waits for a person"),
    "queue": _("Waits at the station"),
    "defect": _("Any defect"),
    "good": _("Good in the end"),
}


def review_word(state: str) -> str | Promise:
    """What an address calls a review: a state, or several that come to the same."""
    return REVIEW_WORDS.get(state) or review_sign(state).word


JOB_SIGNS = {
    JobState.QUEUED: Sign("queued", _("Waiting for its turn"), "clock", "v-none"),
    JobState.RUNNING: Sign("running", _("Running"), "player-play", "v-gold"),
    JobState.PAUSED: Sign("paused", _("Waiting for your decision"), "hourglass", "v-review"),
    JobState.DONE: Sign("done", _("Done"), "check", "v-pass"),
    JobState.FAILED: Sign("failed", _("Failed"), "alert-triangle", "v-fail"),
    JobState.CANCELLED: Sign("cancelled", _("Cancelled"), "ban", "v-none"),
}
CANCELLING = Sign("cancelling", _("Stopping"), "player-stop", "v-review")


def job_sign(job: Job) -> Sign:
    """The state of a job; one that was asked to stop says so until it has."""
    return CANCELLING if job.cancelling else JOB_SIGNS[JobState(job.state)]


SILENT_SHARE = 0.5  # of a lease; it is renewed every quarter of one


def run_note(run: TrainingRun) -> str | Promise:
    """What a run does that has nothing to show for it now; empty while it goes on as it should."""
    if run.state == JobState.QUEUED and run.attempt:
        return _("Stopped unexpectedly; goes on by itself within a minute.")
    if run.state == JobState.QUEUED:
        return _("Waits for its turn on this machine.")
    if run.state == JobState.RUNNING and _is_silent(run):
        return _("Its worker is silent; if it is gone, the run goes on by itself within minutes.")
    return ""


def _is_silent(job: Job) -> bool:
    """Whether a lease that is renewed all the time was not for a while."""
    if job.lease_expires_at is None:
        return False
    left = (job.lease_expires_at - timezone.now()).total_seconds()
    return bool(left < settings.JOB_LEASE_S * (1 - SILENT_SHARE))


STAGES = {
    "vet": (_("Vet"), _("Looks for pictures that do not belong among the good ones")),
    "pretrain": (_("Pre-train"), _("Learns what the part looks like")),
    "inpaint": (_("Inpaint"), _("Learns to restore hidden places")),
    "memory": (_("Memory"), _("Keeps what every place of a good part looks like")),
    "calibrate": (_("Calibrate"), _("Measures good parts that it never saw, to set the limits")),
    "evaluate": (_("Evaluate"), _("Checks speed and limits, and writes the model")),
}

# Stages that not every method has, and who has them.
PRETRAINED = ("fused", "paper")
REMEMBERING = ("fused", "memory")

# Methods by name: what they are called, and what they do in one sentence.
METHODS = {
    "fused": (
        _("Restoration and memory together"),
        _("Restores every part, remembers what its places look like, and weighs both."),
    ),
    "paper": (
        _("Restoration (the paper)"),
        _("Hides places of a part, restores them, and compares; the encoder first teaches itself."),
    ),
    "paper-nossl": (
        _("Restoration without self-teaching"),
        _("As the paper, but the encoder starts from nothing: shows what self-teaching is worth."),
    ),
    "memory": (
        _("Memory only"),
        _("Remembers good places and says how far each place is from them; trains fastest."),
    ),
    "csa": (
        _("Coherent semantic attention"),
        _("A published way to fill holes in photographs (Liu et al. 2019), to compare with."),
    ),
    "shift-net": (
        _("Shift-Net"),
        _("A published way to fill holes by copying what fits (Yan et al. 2018), to compare with."),
    ),
    "skip-ganomaly": (
        _("Skip-GANomaly"),
        _("A published detector that redraws the whole part (Akçay et al. 2019), to compare with."),
    ),
}

# A result's scores by name, in the order in which a page lists them.
SCORES = {
    "eq7": (_("Paper's score"), _("Eq. 7 to the letter: the mean difference over all places")),
    "inpainting": (_("Restoration"), _("how far the part is from what it was restored to")),
    "memory": (_("Memory"), _("how far the part's places are from remembered good ones")),
    "fused": (_("Both together"), _("restoration and memory, weighed")),
    "published": (_("As published"), _("the method's own score")),
}

SYMMETRIES = {
    "free_rotation": _("The part lies at any angle: round or loose parts."),
    "quarter_turns": _("The part may be placed turned by 90°, 180° or 270°."),
    "mirror_left_right": _("Its mirror image is a good part too."),
    "mirror_top_bottom": _("Turned upside down as in a mirror, it is a good part too."),
    "shift": _("It need not lie in the same place of the picture."),
}

# What the run chose between, by the name of its table in the manifest.
CHOICES = {
    "inpainting": _("How differences from the restored part become a score"),
    "memory": _("How distances from remembered places become a score"),
    "fusion": _("How restoration and memory are weighed"),
    "memory_view": _("How large the memory sees the part"),
    "setting": _("How differences become a score"),
}

# Figures of a run as a manifest names them.
FIGURES = {
    "synthetic_auroc": _("AUROC on defects that were painted in"),
    # xgettext:no-python-format
    "synthetic_recall_at_tnr60": _("Painted-in defects found when 60 % of good parts pass"),
    "restoration_error": _("Mean error of restored places, grey values 0–1"),
    "images_per_second": _("Pictures per second"),
    "auroc": _("AUROC"),
}

# What a run did with its pictures, as a manifest names them.
IMAGES = {
    "train": _("learned from"),
    "held_out": _("held back to choose the setting"),
    "calibration": _("kept to set the limits"),
    "excluded": _("left out"),
}

FLAGS = {
    "unlike_the_others": _("unlike the others"),
    "blurred": _("blurred"),
    "too_dark": _("too dark"),
    "too_bright": _("too bright"),
    "near_duplicate": _("nearly the same picture twice"),
    "wrong_size": _("another size than most"),
}


def usual_stages(method: str, *, stand_in: bool = False) -> list[str]:
    """What a run of this method does, before its process has planned it. Where an encoder of its
    own stands in for the weights file, pictures are vetted with it, so it learns first."""
    left_out = set() if method in PRETRAINED else {"pretrain"}
    left_out |= set() if method in REMEMBERING else {"memory"}
    left_out |= {"inpaint"} if method == "memory" else set()
    names = [name for name in STAGES if name not in left_out]
    if stand_in and "pretrain" in names:
        names.sort(key=lambda name: name != "pretrain")
    return names


def stage_word(stage: str) -> str:
    """Steps that no plan names, such as opening the pictures, say what they are by name."""
    return str(STAGES[stage][0]) if stage in STAGES else stage.replace("_", " ").capitalize()


def method_word(name: str) -> str:
    return str(METHODS[name][0]) if name in METHODS else name.replace("-", " ").capitalize()


def symmetry_words(names: Iterable[str]) -> list[str]:
    return [str(Symmetry(name).label) for name in names if name in Symmetry.values]


def figure_word(name: str) -> str:
    known = FIGURES.get(name)
    words = name.replace("_", " ")
    return str(known) if known else words[:1].upper() + words[1:]


def image_word(name: str) -> str | Promise:
    return IMAGES.get(name, name.replace("_", " "))


def flag_word(flag: str) -> str:
    return str(FLAGS.get(flag, flag.replace("_", " ")))


def duration(seconds: Any) -> str:
    """`95` → `1 min 35 s`; nothing known → an empty string."""
    if seconds is None or seconds == "":
        return ""
    whole = max(0, round(float(seconds)))
    if whole < 60:
        return say("seconds", s=whole)
    minutes, rest = divmod(whole, 60)
    if minutes < 10 and rest:
        return say("minutes_seconds", m=minutes, s=rest)
    if minutes < 120:
        return say("minutes", m=minutes)
    return say("hours_minutes", h=minutes // 60, m=minutes % 60)


def say(phrase: str, **values: object) -> str:
    """A phrase that scripts say too, with its gaps filled."""
    return str(PHRASES[phrase]).format(**values)


def score_text(score: Any) -> str:
    """Three significant digits, no exponent for the usual sizes."""
    if score in (None, ""):
        return "–"
    value = float(score)
    if value and (abs(value) < 1e-3 or abs(value) >= 1e5):
        return f"{value:.2e}"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}"


def p_value_words(p_value: float | None, calibration: int) -> str:
    """What a conformal p-value says: how many of the calibration parts looked as unusual."""
    if p_value is None or not calibration:
        return ""
    as_unusual = max(0, round(p_value * (calibration + 1)) - 1)
    said = (
        gettext(
            "%(n)s of the %(all)s good parts kept for calibration looked at least this unusual "
            "(p = %(p)s)."
        )
        if as_unusual
        else gettext(
            "None of the %(all)s good parts kept for calibration looked this unusual (p = %(p)s, "
            "the smallest that %(all)s parts can show)."
        )
    )
    return said % {"n": as_unusual, "all": calibration, "p": f"{p_value:.2g}"}


def percent(fraction: Any) -> str:
    """A missing value of a template is an empty string; it stays one."""
    return "" if fraction in (None, "") else f"{float(fraction) * 100:.0f} %"
