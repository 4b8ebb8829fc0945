"""The page Agreement for programs: who said what against whom, and the figures of it."""

from typing import Any

from . import agreement
from .agreement import Span, Table

MOST_DIFFERING = 24
SAID = {True: "defect", False: "good"}


def agreement_facts(span: Span) -> dict[str, Any]:
    """The model against the inspectors, all and each; second looks against first looks, all and
    each two people; and the newest second looks that say otherwise."""
    model, people = agreement.model_and_inspectors(span)
    looks, pairs = agreement.between_inspectors(span)
    return {
        "enough_audits": agreement.ENOUGH_AUDITS,
        "model": _told(model),
        "inspectors": [{"inspector": one.name, **_told(one.table)} for one in people],
        "second_looks": _told(looks),
        "pairs": [{"first": one.first, "second": one.second, **_told(one.table)} for one in pairs],
        "differing": [_difference(one) for one in agreement.differing(span, MOST_DIFFERING)],
    }


def _told(table: Table) -> dict[str, Any]:
    return {
        "parts": table.n,
        "audits": table.audits,
        "table": [_row(table, said) for said in (True, False)],
        "figures": {
            rate.name: {
                "value": rate.value,
                "of": rate.of,
                "band": rate.band or None,
                "why": rate.why or None,
            }
            for rate in table.rates()
        },
    }


def _row(table: Table, said: bool) -> dict[str, Any]:
    """What was said, with what the reference says of the same parts."""
    return {
        "said": SAID[said],
        "defect": table.parts[said, True],
        "good": table.parts[said, False],
        "weight_defect": table.weights[said, True],
        "weight_good": table.weights[said, False],
    }


def _difference(look: Any) -> dict[str, Any]:
    return {
        "inspection": str(look.inspection_id),
        "first": str(look.first_author) if look.first_author else None,
        "first_state": look.first_state,
        "second": str(look.author),
        "second_state": look.state,
        "at": look.created_at.isoformat(),
    }
