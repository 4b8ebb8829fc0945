"""The audit trail: who did what, when, with before and after side by side."""

from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from inspection.models import AuditEvent, User
from inspection.services import audit_trail
from inspection.web.access import Rights, SignedIn, explains
from inspection.web.words_audit import TYPES, action_word, field_word

PAGE = 50


@require_safe
@explains
def index(request: SignedIn) -> HttpResponse:
    """Administrators see everything; who administers or engineers a product, what befell it."""
    rights = Rights(request.user, None)
    rows = audit_trail.readable(request.user)
    asked = {name: request.GET.get(name, "").strip() for name in FILTERS}
    rows = _narrowed(rows, asked)
    found = list(rows.select_related("product").order_by("-id")[: PAGE + 1])
    shown = found[:PAGE]
    context = {
        "rows": [_row(one) for one in shown],
        "more": str(shown[-1].pk) if len(found) > PAGE else "",
        "asked": asked,
        "narrowed": any(asked.values()),
        "types": TYPES,
        "people": User.objects.order_by("username") if rights.administer else _seen_people(shown),
        "rights": rights,
    }
    return render(request, "settings/audit.html", context)


FILTERS = ("type", "object", "who", "since", "until", "after")


def _narrowed(rows: QuerySet[AuditEvent], asked: dict[str, str]) -> QuerySet[AuditEvent]:
    """Each filter by itself; what makes no sense finds nothing, never everything."""
    key, until = _uuid(asked["object"]), _midnight(asked["until"])
    rows = audit_trail.narrowed(
        rows,
        type=asked["type"],
        thing=key,
        named="" if key else asked["object"],
        who=asked["who"],
        since=_midnight(asked["since"]),
        until=until + timedelta(days=1) if until else None,
    )
    if after := _uuid(asked["after"]):
        rows = rows.filter(pk__lt=after)
    return rows


def changes(event: AuditEvent) -> list[tuple[str, Any, Any]]:
    """(what, before, after) of every value that the event names, in the order written."""
    names = [*event.before, *(name for name in event.after if name not in event.before)]
    return [(field_word(name), event.before.get(name), event.after.get(name)) for name in names]


def _row(event: AuditEvent) -> dict[str, Any]:
    return {"event": event, "word": action_word(event.action), "changes": changes(event)}


def _seen_people(shown: list[AuditEvent]) -> list[dict[str, str]]:
    return [{"username": name} for name in sorted({one.actor_name for one in shown})]


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _midnight(day: str) -> datetime | None:
    try:
        return timezone.make_aware(datetime.combine(date.fromisoformat(day), time.min))
    except (ValueError, OverflowError):
        return None
