"""The gate of a model, rollback, and lots that are judged again by another version."""

import csv
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST, require_safe

from inspection.models import Batch, GateCheck, Inspection, Lot, ModelVersion, Purpose
from inspection.services import flips as flips_of
from inspection.services import gate, gate_rules, models, rescoring
from inspection.web import words
from inspection.web.access import Rights, SignedIn, explains, find, may_see

from .batches import dressed, with_pictures

TILES = 240
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\0")


@require_POST
@explains
def start(request: SignedIn, key: UUID) -> HttpResponse:
    """Hold a model against the golden set now."""
    check = gate.start(request.user, find(request.user, ModelVersion, key))
    return redirect("gate", check.pk)


@require_safe
def show(request: SignedIn, key: UUID) -> HttpResponse:
    """What both models say of the golden set, part by part where they differ."""
    seen = may_see(request.user, "candidate__viewpoint__product")
    related = ("candidate__viewpoint__product", "baseline", "dataset", "requested_by")
    check = GateCheck.objects.filter(seen, pk=key).select_related(*related).first()
    if check is None:
        raise Http404("no such check")
    product = check.candidate.viewpoint.product
    batches = [batch for batch in (check.candidate_batch_id, check.baseline_batch_id) if batch]
    context: dict[str, Any] = {
        "check": check,
        "outcome": check.outcome,
        **(told(check) if check.outcome else {}),
        "version": check.candidate,
        "product": product,
        "rights": Rights(request.user, product),
    }
    if check.state == GateCheck.State.RUNNING:
        parts = Inspection.objects.filter(batch__in=batches)
        context["total"] = parts.count()
        context["scored"] = parts.exclude(verdict="").count()
    return render(request, "models/gate.html", context)


def told(check: GateCheck) -> dict[str, Any]:
    """The outcome as the page shows it: worse flips first."""
    outcome = check.outcome
    flips = sorted(outcome["flips"], key=lambda flip: (flip["better"], not flip["must"]))
    better = sum(flip["better"] for flip in flips)
    models = [(check.candidate, outcome["candidate"])]
    if check.baseline and outcome["baseline"]:
        models.append((check.baseline, outcome["baseline"]))
    return {
        "rules": rules(outcome),
        "flips": flips,
        "better": better,
        "worse": len(flips) - better,
        "missed": [*outcome["must_catch"]["missed"], *outcome["must_pass"]["missed"]],
        "sides": [_side(version, figures) for version, figures in models],
    }


def _side(version: ModelVersion, figures: dict[str, Any]) -> dict[str, Any]:
    """One model's column: rates with what they are rates of."""
    goods, defects = figures["goods"], figures["defects"]
    kept = goods - figures["false_calls"]
    return {
        **figures,
        "word": f"{_('Model')} {version.number}",
        "kept": kept,
        "tnr": kept / goods if goods else None,
        "recall": figures["caught"] / defects if defects else None,
    }


def rules(outcome: dict[str, Any]) -> list[dict[str, Any]]:
    """Every rule with whether it is kept, in the words of a person."""
    ours, theirs = outcome["candidate"], outcome["baseline"]
    broken = {failure["rule"] for failure in outcome["failures"]}
    catch, fine = outcome["must_catch"], outcome["must_pass"]
    lines = [
        ("must_catch", _("Every part that must be caught is failed or sent to review"), catch),
        ("must_pass", _("No part that must pass fails"), fine),
    ]
    found = [
        {
            "rule": rule,
            "word": word,
            "kept": rule not in broken,
            "said": f"{part['of'] - len(part['missed'])} / {part['of']}",
            "empty": not part["of"],
        }
        for rule, word, part in lines
    ]
    if theirs:
        found.append(
            {
                "rule": "recall",
                "word": _("No fewer defects are caught than by the active model"),
                "kept": "recall" not in broken,
                "said": f"{ours['caught']} / {ours['defects']}",
                "beside": theirs["caught"],
                "empty": not ours["defects"],
            }
        )
        more = gate_rules.allowed_more(outcome["goods"])
        found.append(
            {
                "rule": "false_calls",
                "word": _("At most {n} more good parts fail than with the active model").format(
                    n=more
                ),
                "kept": "false_calls" not in broken,
                "said": f"{ours['false_calls']} / {ours['goods']}",
                "beside": theirs["false_calls"],
                "empty": not ours["goods"],
            }
        )
    if theirs and "looked_at" in ours:  # not so in checks that are older than this rule
        more = gate_rules.allowed_more_looks(outcome["goods"])
        found.append(
            {
                "rule": "looked_at",
                "word": _(
                    "At most {n} more good parts fail or are sent to review than with the active "
                    "model"
                ).format(n=more),
                "kept": "looked_at" not in broken,
                "said": f"{ours['looked_at']} / {ours['goods']}",
                "beside": theirs["looked_at"],
                "empty": not ours["goods"],
            }
        )
    found.append(
        {
            "rule": "errors",
            "word": _("Every picture can be judged"),
            "kept": "errors" not in broken,
            "said": f"{outcome['pictures'] - ours['errors']} / {outcome['pictures']}",
            "empty": False,
        }
    )
    return found


@require_POST
@explains
def rollback(request: SignedIn, key: UUID) -> HttpResponse:
    """One click: the version that judged before this one judges again."""
    version = find(request.user, ModelVersion, key)
    target = models.rollback(request.user, version, request.POST.get("reason", "")[:300])
    said = _("Model {n} judges again. Batches that are open keep theirs.")
    messages.success(request, said.format(n=target.number))
    return redirect("model", target.pk)


@require_POST
@explains
def rescore(request: SignedIn, key: UUID) -> HttpResponse:
    """Judge a lot again by this version; what was said before stays."""
    version = find(request.user, ModelVersion, key)
    lots = Lot.objects.filter(product_id=version.viewpoint.product_id)
    try:
        lot = get_object_or_404(lots, pk=UUID(request.POST.get("lot", "")))
    except ValueError as error:
        raise Http404("no such lot") from error
    reason = request.POST.get("reason", "")[:300]
    batch = rescoring.rescore_lot(request.user, lot, version, reason=reason)
    return redirect("batch_flips", batch.pk)


@require_safe
def flips(request: SignedIn, key: UUID) -> HttpResponse:
    """Which verdicts of a lot another version changes."""
    batch = _rescored(request, key)
    was, will = _chosen(request)
    changed, done, total = flips_of.moves(batch)
    rows = flips_of.flipped(batch, was, will)
    tiles = list(with_pictures(rows)[: TILES + 1])
    before = (
        Inspection.objects.filter(rescores__batch=batch)
        .order_by()
        .values_list("model_version__number", flat=True)
        .distinct()
    )
    context: dict[str, Any] = {
        "batch": batch,
        "product": batch.viewpoint.product,
        "version": batch.model_version,
        "before": sorted(before),
        "moves": [_signed(move) for move in changed],
        "changed": sum(move.count for move in changed),
        "done": done,
        "total": total,
        "tiles": [_with_origin(tile) for tile in dressed(tiles[:TILES])],
        "more": len(tiles) > TILES,
        "was": was,
        "will": will,
    }
    return render(request, "models/flips.html", context)


def _signed(move: flips_of.Move) -> dict[str, Any]:
    return {
        "move": move,
        "was": words.BY_KEY[move.was],
        "will": words.BY_KEY[move.will],
    }


def _with_origin(tile: Inspection) -> Inspection:
    origin = tile.origin
    assert origin  # noqa: S101  (only re-scores are asked for)
    tile.before = words.verdict_sign(origin.verdict, origin.disposition)  # type: ignore[attr-defined]
    return tile


@require_GET
def flips_csv(request: SignedIn, key: UUID) -> HttpResponse:
    """The parts that changed, for who must find them on the shelf."""
    batch = _rescored(request, key)
    answer = HttpResponse(content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="flips-{batch.number}.csv"'
    out = csv.writer(answer)
    out.writerow(("serial", "lot", "was", "was_score", "now", "now_score", "inspection"))
    for row in flips_of.flipped(batch, *_chosen(request)).select_related("lot"):
        origin = row.origin
        if origin is None:
            continue
        was = words.verdict_sign(origin.verdict, origin.disposition).key
        now = words.verdict_sign(row.verdict, row.disposition).key
        cells = (row.unit or "", row.lot or "", was, origin.score, now, row.score, origin.pk)
        out.writerow([_safe(cell) for cell in cells])
    return answer


def _safe(cell: Any) -> str:
    """A cell that a spreadsheet does not take for a formula."""
    text = "" if cell is None else str(cell)
    return f"'{text}" if text.startswith(FORMULA) and not isinstance(cell, float) else text


def _rescored(request: SignedIn, key: UUID) -> Batch:
    batch = find(request.user, Batch, key)
    if batch.purpose != Purpose.RESCORE:
        raise Http404("not a lot that was judged again")
    return batch


def _chosen(request: SignedIn) -> tuple[str, str]:
    was, will = request.GET.get("was", ""), request.GET.get("will", "")
    known = was in flips_of.BANDS and will in flips_of.BANDS
    return (was, will) if known else ("", "")
