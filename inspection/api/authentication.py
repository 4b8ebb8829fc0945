"""Who asks: a program with a key, or a browser with a session."""

from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.request import Request

from inspection.models import ApiKey, User
from inspection.services import api_keys


class KeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer kin_…`. A key that is wrong, expired or revoked is refused, and
    never taken for nobody."""

    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:
        scheme, _space, text = request.headers.get("Authorization", "").partition(" ")
        if not scheme:
            return None
        if scheme.lower() != "bearer":
            raise exceptions.AuthenticationFailed(_("Send the key as: Authorization: Bearer kin_…"))
        key = api_keys.find_key(text.strip())
        if key is None:
            raise exceptions.AuthenticationFailed(
                _("This key is unknown, expired or revoked. Make another one in Settings.")
            )
        return key.owner, key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="kintsugi"'


class KeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the schema calls it."""

    target_class = "inspection.api.authentication.KeyAuthentication"
    name = "key"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A key made in Settings, API keys. It has scopes, and never more "
            "rights than its owner.",
        }


__all__ = ["KeyAuthentication", "KeyScheme", "SessionAuthentication"]
