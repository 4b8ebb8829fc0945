"""Defects: everything ever inspected, found by what is known of it."""

from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from inspection import policies
from inspection.exchange.inspections_csv import answer_of
from inspection.live.exports import Export
from inspection.models import Lot, ReviewState
from inspection.querysets import REVIEWS, wanted_inspections
from inspection.web import reads_defects as reads
from inspection.web import words
from inspection.web.access import SignedIn
from inspection.web.filters import NONE, NOTHING, Choices, Filters

VIEWS = ("tiles", "table")
VERDICTS = (*words.VERDICTS, words.CALLED)  # to choose from; of others the address knows
Offer = tuple[Any, str | Promise, str]  # a value, its words, another name of it
# What is said of many parts at once, with its key.
BULK = {ReviewState.CONFIRMED: "c", ReviewState.REJECTED: "r"}
LIKE_IT = 5  # lots that are named where the one asked for is not there


@require_safe
def show(request: SignedIn) -> HttpResponse:
    """Tiles or a table of what the address asks for, newest first."""
    choices = Choices(request.user)
    filters = Filters.of(request.GET, choices)
    page = reads.page_of(filters, _key(request, "after"), _key(request, "before"))
    view = request.GET.get("view", "")
    context: dict[str, Any] = {
        "filters": filters,
        "values": filters.values,
        "choices": choices,
        "page": page,
        "most": reads.MOST_COUNTED,
        "view": view if view in VIEWS else VIEWS[0],
        "without_verdict": filters.query(verdict=None),
        "verdicts": [sign.key for sign in VERDICTS],
        "verdict_links": [(sign, filters.query(verdict=sign.key)) for sign in VERDICTS],
        "offered": _offered(filters),
        "part": reads.place_picture(filters, page.rows, choices),
        "lots_like_it": [] if page.rows else _lots_like(filters),
        **_may(request, page, choices),
    }
    return render(request, "defects/index.html", context)


def _offered(filters: Filters) -> dict[str, dict[str, Any]]:
    """What each list of the filters offers as (value, words), and what is chosen of it."""
    values, choices, product = filters.values, filters.choices, filters.product
    reasons = choices.reasons_of(product) if product else []
    views = filters.viewpoints if product else []
    stations: list[Offer] = [
        *((one.code, f"{one.name} · {one.code}", str(one.pk)) for one in choices.stations),
        (NONE, NOTHING["station"], NONE),
    ]
    return {
        "product": {
            "pairs": [(one.pk, f"{one.name} · {one.code}") for one in choices.products],
            "chosen": product.pk if product else "",
        },
        "viewpoint": _of_product(
            [(one.pk, one.name, one.code) for one in views] if len(views) > 1 else [],
            filters,
            "viewpoint",
        ),
        "line": {
            "pairs": [(line, line) for line in choices.lines],
            "chosen": values.get("line", ""),
        },
        "station": _chosen(stations, values.get("station", "")),
        "review": {
            "pairs": [(state, words.review_word(state)) for state in (*REVIEWS, *ReviewState)],
            "chosen": values.get("review", ""),
        },
        "reason": _of_product(
            [(NONE, NOTHING["reason"], NONE), *((one.pk, one.text, one.code) for one in reasons)],
            filters,
            "reason",
        ),
    }


def _of_product(offered: list[Offer], filters: Filters, name: str) -> dict[str, Any]:
    """What one product has is offered once it is chosen. What the address asks for stays as it
    says it: without a product the same code may mean several."""
    found = _chosen(offered, filters.values.get(name, ""))
    asked = next((chip for chip in filters.chips if chip["name"] == name), None)
    if asked and found["chosen"] == "":
        value = filters.values[name]
        return {"pairs": [*found["pairs"], (value, asked["text"])], "chosen": value}
    return found


def _chosen(offered: list[Offer], asked: str) -> dict[str, Any]:
    """An address may say either the value or the other name of it, in any case."""
    names = [(value, {str(value), other.casefold()}) for value, _words, other in offered]
    chosen = next((value for value, known in names if asked.casefold() in known), "")
    return {"pairs": [(value, said) for value, said, _other in offered], "chosen": chosen}


def _may(request: SignedIn, page: reads.Page, choices: Choices) -> dict[str, Any]:
    """What the person may do with what is picked. Reason codes are a product's, so they are
    offered where the page shows a single one."""
    products = {row.product.pk: row.product for row in page.rows}
    if not products:
        return {"may_review": False}
    roles = policies.Roles(request.user)
    may_review = any(roles.can(policies.REVIEW, key) for key in products)
    one = next(iter(products.values())) if len(products) == 1 and may_review else None
    known = choices.reasons_of(one) if one else []
    reasons = [reason for reason in known if reason.retired_at is None]
    return {
        "may_review": may_review,
        "pick_word": _("Pick"),
        "may_learn": any(roles.can(policies.MANAGE, key) for key in products),
        "bulk_reasons": reasons,
        "bulk_states": [(state, words.review_sign(state), key) for state, key in BULK.items()],
    }


def _key(request: SignedIn, name: str) -> UUID | None:
    text = request.GET.get(name, "")
    try:
        return UUID(text) if text else None
    except ValueError as error:
        raise Http404("no such inspection") from error


def _lots_like(filters: Filters) -> list[tuple[str, str]]:
    """Lots that begin as the one that was asked for and is not there, with their queries."""
    code = filters.values.get("lot", "")
    if not code or filters.problems:
        return []
    products = [filters.product] if filters.product else filters.choices.products
    like = Lot.objects.filter(code__startswith=code, product__in=products).exclude(code=code)
    codes = sorted(set(like.order_by("code").values_list("code", flat=True)[:LIKE_IT]))
    return [(code, filters.query(lot=code)) for code in codes]


@require_safe
async def export(request: SignedIn) -> HttpResponseBase:
    """What the address asks for as CSV, as long as it may be."""
    filters = await sync_to_async(_filters)(request)
    if filters.problems:
        return HttpResponse("\n".join(filters.problems.values()), "text/plain", status=400)
    found = wanted_inspections(filters.wanted)
    total = await found.order_by().acount()
    back = f"{reverse('defects')}?{filters.query()}"
    return answer_of(found, Export(request.user.pk, total, back))


def _filters(request: SignedIn) -> Filters:
    return Filters.of(request.GET, Choices(request.user))
