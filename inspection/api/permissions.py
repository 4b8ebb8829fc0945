"""What a key is for. What its owner may do is asked by the services."""

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from inspection.models import ApiKey


class HasScope(BasePermission):
    """The view's `noun` with `:read`, or `:write` for what changes something. A browser's session
    has every scope: it is the person."""

    message = ""

    def has_permission(self, request: Request, view: Any) -> bool:
        if not isinstance(request.auth, ApiKey):
            return True
        needed = scope_of(view, request.method or "")
        self.message = f"This key lacks the scope {needed}. Make a key that has it in Settings."
        return needed is None or needed in request.auth.scopes


def scope_of(view: Any, method: str) -> str | None:
    """The scope that a method of a view needs; None: none."""
    noun = getattr(view, "noun", None)
    return f"{noun}:{'read' if method in SAFE_METHODS else 'write'}" if noun else None
