"""What the frame around every page needs. No queries, since it is rendered with every answer;
what costs one is asked only by the template that shows it."""

import json
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from inspection.models import User
from inspection.services import notifications

from .phrases import phrases_script
from .scope import query_of

# (name of the page, word, icon, first parts of the addresses that belong to it)
RAIL = (
    ("home", _("Today"), "home", ("",)),
    ("defects", _("Defects"), "photo-scan", ("defects", "inspections")),
    ("verify", _("Verify"), "user-check", ("verify",)),
    ("products", _("Products"), "package", ("products", "uploads", "batches")),
    ("jobs", _("Jobs"), "list-check", ("jobs", "runs")),
    ("models", _("Models"), "stack-2", ("models",)),
    ("reports", _("Reports"), "report-analytics", ("reports",)),
    ("settings", _("Settings"), "settings", ("settings", "accounts")),
)

SCOPED = ("home", "defects", "verify", "reports")  # pages that the top bar narrows


def shell(request: HttpRequest) -> dict[str, Any]:
    first = request.path.strip("/").split("/")[0]
    scope = query_of(request)
    entries = [
        {
            "page": page,
            "word": word,
            "icon": icon,
            "here": first in parts,
            "scope": scope if page in SCOPED else "",
            "scoped": page in SCOPED,
        }
        for page, word, icon, parts in RAIL
    ]
    return {
        "rail": entries,
        "htmx_config": json.dumps(settings.HTMX_CONFIG),
        "phrases": phrases_script(get_language()),
        "unread": SimpleLazyObject(lambda: _unread(request)),
    }


def _unread(request: HttpRequest) -> str:
    """What the bell shows: nothing, a count, or "99+"."""
    user = getattr(request, "user", None)
    return bell_count(notifications.unread_count(user)) if isinstance(user, User) else ""


def bell_count(unread: int) -> str:
    if unread > notifications.COUNTED:
        return f"{notifications.COUNTED}+"
    return str(unread or "")
