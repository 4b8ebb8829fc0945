"""What the frame around every page needs. No queries: it is rendered with every answer."""

import json
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from .phrases import PHRASES

# (name of the page, word, icon, first parts of the addresses that belong to it)
RAIL = (
    ("products", "Products", "package", ("products", "uploads", "batches", "inspections")),
    ("jobs", "Jobs", "list-check", ("jobs", "runs")),
    ("models", "Models", "stack-2", ("models",)),
    ("settings", "Settings", "settings", ("settings", "accounts")),
)


def shell(request: HttpRequest) -> dict[str, Any]:
    first = request.path.strip("/").split("/")[0]
    entries = [
        {"page": page, "word": word, "icon": icon, "here": first in parts}
        for page, word, icon, parts in RAIL
    ]
    return {
        "rail": entries,
        "htmx_config": json.dumps(settings.HTMX_CONFIG),
        "phrases": PHRASES,
    }
