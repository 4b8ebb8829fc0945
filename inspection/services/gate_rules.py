"""Whether a candidate may take over, from what both models say of each golden part.

Pure: no database. A defect counts as caught when the model fails it or asks for a person; a
good part is a false call when the model fails it, and looked at when it fails it or asks for a
person: a model that asks about everything catches everything and spares nobody any work.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from inspection import ml_adapter
from inspection.models import Disposition, Verdict

PASS, REVIEW, FAIL, ERROR = "pass", "review", "fail", "error"
# A candidate may fail this share more of the golden good parts than the active model does.
MORE_FALSE_CALLS = 0.01
# Of how many good parts one more may be looked at: as many in a hundred as a new model's limits
# send to a person (5 %), since a look costs less than a false call.
ONE_MORE_LOOK_IN = 20


@dataclass(frozen=True)
class Call:
    """What one model said of one part."""

    band: str
    score: float | None
    inspection: str = ""


@dataclass(frozen=True)
class Part:
    """A golden part with both calls; `baseline` is None where there is no active model."""

    image: str
    name: str
    label: str
    must_catch: bool
    must_pass: bool
    candidate: Call
    baseline: Call | None


def band(verdict: str, disposition: str) -> str:
    """One word for what a machine said; what is no pass or fail is an error."""
    if verdict not in (Verdict.PASSED, Verdict.FAILED):
        return ERROR
    if disposition == Disposition.NEEDS_REVIEW:
        return REVIEW
    return PASS if verdict == Verdict.PASSED else FAIL


def outcome(parts: Sequence[Part], learned: int = 0) -> dict[str, Any]:
    """Figures of both models, flips, and which rules the candidate breaks (`failures`)."""
    goods, defects = _split(parts)
    ours = figures(parts, lambda part: part.candidate)
    theirs = None
    if parts and all(part.baseline for part in parts):
        theirs = figures(parts, lambda part: part.baseline)
    found: dict[str, Any] = {
        "pictures": len(parts),
        "goods": len(goods),
        "defects": len(defects),
        "learned": learned,
        "candidate": ours,
        "baseline": theirs,
        "must_catch": _must(parts, lambda part: part.must_catch, (FAIL, REVIEW)),
        "must_pass": _must(parts, lambda part: part.must_pass, (PASS, REVIEW)),
        "flips": [_flip(part) for part in parts if _flips(part)],
    }
    found["failures"] = failures(found)
    return found


def failures(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The rules that are broken, with the numbers that a sentence needs."""
    broken: list[dict[str, Any]] = []
    ours, theirs = found["candidate"], found["baseline"]
    if ours["errors"]:
        broken.append({"rule": "errors", "n": ours["errors"]})
    for rule in ("must_catch", "must_pass"):
        if missed := len(found[rule]["missed"]):
            broken.append({"rule": rule, "n": missed, "of": found[rule]["of"]})
    if theirs and ours["caught"] < theirs["caught"]:
        broken.append({"rule": "recall", "n": ours["caught"], "was": theirs["caught"]})
    if theirs and ours["false_calls"] > theirs["false_calls"] + allowed_more(found["goods"]):
        broken.append(
            {"rule": "false_calls", "n": ours["false_calls"], "was": theirs["false_calls"]}
        )
    if theirs and ours["looked_at"] > theirs["looked_at"] + allowed_more_looks(found["goods"]):
        broken.append({"rule": "looked_at", "n": ours["looked_at"], "was": theirs["looked_at"]})
    return broken


def allowed_more(goods: int) -> int:
    """How many more false calls are forgiven: one for every begun hundred good parts."""
    return math.ceil(goods * MORE_FALSE_CALLS)


def allowed_more_looks(goods: int) -> int:
    """How many more good parts a person may be asked about: one for every begun twenty. What was
    failed and is now sent to review is no more than before."""
    return math.ceil(goods / ONE_MORE_LOOK_IN)


def figures(parts: Sequence[Part], call: Callable[[Part], Call | None]) -> dict[str, Any]:
    """Counts and AUROC of one model. Rates are left to who shows them with their denominators."""
    goods, defects = _split(parts)
    bands = {part.image: (call(part) or Call(ERROR, None)).band for part in parts}
    return {
        "caught": sum(bands[part.image] in (FAIL, REVIEW) for part in defects),
        "defects": len(defects),
        "false_calls": sum(bands[part.image] == FAIL for part in goods),
        "looked_at": sum(bands[part.image] in (FAIL, REVIEW) for part in goods),
        "goods": len(goods),
        "reviews": sum(said == REVIEW for said in bands.values()),
        "errors": sum(said == ERROR for said in bands.values()),
        "auroc": _auroc(parts, call),
    }


def _auroc(parts: Iterable[Part], call: Callable[[Part], Call | None]) -> float | None:
    """None unless there are scores of both kinds."""
    scored = [(said.score, bool(part.label)) for part in parts if (said := call(part))]
    known = [(score, bad) for score, bad in scored if score is not None]
    if len({bad for _, bad in known}) < 2:
        return None
    return round(ml_adapter.auroc([s for s, _ in known], [bad for _, bad in known]), 4)


def _split(parts: Iterable[Part]) -> tuple[list[Part], list[Part]]:
    goods: list[Part] = []
    defects: list[Part] = []
    for part in parts:
        (defects if part.label else goods).append(part)
    return goods, defects


def _must(
    parts: Iterable[Part], asked: Callable[[Part], bool], fine: tuple[str, ...]
) -> dict[str, Any]:
    named = [part for part in parts if asked(part)]
    missed = [_line(part) for part in named if part.candidate.band not in fine]
    return {"of": len(named), "missed": missed}


def _flips(part: Part) -> bool:
    return part.baseline is not None and part.baseline.band != part.candidate.band


def _flip(part: Part) -> dict[str, Any]:
    return _line(part) | {"better": _better(part)}


def _line(part: Part) -> dict[str, Any]:
    before = part.baseline
    return {
        "image": part.image,
        "name": part.name,
        "label": part.label,
        "must": part.must_catch or part.must_pass,
        "will": part.candidate.band,
        "score": part.candidate.score,
        "inspection": part.candidate.inspection,
        "was": before.band if before else "",
        "was_score": before.score if before else None,
        "was_inspection": before.inspection if before else "",
    }


def _better(part: Part) -> bool:
    """Whether the flip goes the right way: defects up from pass to fail, good parts down."""
    order = (ERROR, PASS, REVIEW, FAIL) if part.label else (ERROR, FAIL, REVIEW, PASS)
    assert part.baseline  # noqa: S101  (only flips come here)
    return order.index(part.candidate.band) > order.index(part.baseline.band)
