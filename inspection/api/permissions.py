"""What a key is for. What its owner may do is asked by the services."""

from typing import Any

from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from inspection.models import ApiKey


class HasScope(BasePermission):
    """The view's `noun` with `:read`, or `:write` for what changes something, and what an action
    needs besides (`also`). A browser's session has every scope: it is the person."""

    message = ""

    def has_permission(self, request: Request, view: Any) -> bool:
        lacking = [one for one in scopes_of(view, request.method or "") if not has(request, one)]
        self.message = _lacks(lacking[0]) if lacking else ""
        return not lacking


def scopes_of(view: Any, method: str) -> list[str]:
    """The scopes that a method of a view needs, all of them."""
    noun, also = getattr(view, "noun", None), getattr(view, "also", None)
    own = f"{noun}:{'read' if method in SAFE_METHODS else 'write'}" if noun else None
    return [scope for scope in (own, also) if scope]


def has(request: Request, scope: str) -> bool:
    """Whether the caller has the scope; only keys may lack one."""
    return not isinstance(request.auth, ApiKey) or scope in request.auth.scopes


def require_scope(request: Request, scope: str) -> None:
    """Raise a 403 where the body asks for what the key's scope does not open."""
    if not has(request, scope):
        raise PermissionDenied(_lacks(scope))


def _lacks(scope: str) -> str:
    return f"This key lacks the scope {scope}. Make a key that has it in Settings."
