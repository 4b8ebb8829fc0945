"""What the OpenAPI description says besides what the views say of themselves."""

from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter

from .permissions import scopes_of

ALWAYS = (400, 401, 403, 404, 405, 406, 422, 429, 500, 503)
OF_WRITES = (409, 411, 412, 413, 415, 507)
IF_MATCH = OpenApiParameter(
    "If-Match", str, "header", description="The ETag of what was read; another state is a 412."
)
LARGEST_OF_COLUMNS = (2**15 - 1, 2**31 - 1, 2**63 - 1)
WORDS = {
    400: "The request cannot be read",
    401: "No key, or one that is unknown, expired or revoked",
    403: "The key lacks the scope, or its owner the role",
    404: "No such thing, or none that the caller may see",
    405: "The address does not take this method",
    406: "Only JSON is answered",
    409: "The state of the thing does not allow it now",
    411: "The length of the body is missing",
    412: "Changed since it was read (If-Match)",
    413: "Too large",
    415: "This media type is not taken here",
    422: "A field is wrong; `errors` points at it",
    429: "Too many requests; wait as long as Retry-After says",
    500: "Our mistake; it was written to the log",
    503: "The database or the queue is away; try again",
    507: "The disk is full",
}
PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457 problem document",
    "required": ["type", "title", "status", "detail", "code", "errors"],
    "properties": {
        "type": {"type": "string", "example": "urn:kintsugi:problem:invalid"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "what is wrong and how to mend it"},
        "instance": {"type": "string"},
        "code": {"type": "string", "description": "what programs match on"},
        "inspection": {
            "type": "string",
            "description": "of duplicate_external_id: the one that is there, if you may see it",
        },
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {
                    "pointer": {"type": "string", "description": "JSON pointer to the field"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}


class Schema(AutoSchema):
    """Names operations after noun and deed, so that they stay the same while code moves, and says
    which scope each needs."""

    def get_tags(self) -> list[str]:
        return [getattr(self.view, "tag", None) or self.path.split("/")[3].split("{")[0] or "me"]

    def get_operation_id(self) -> str:
        """`runs_cancel`: the parts of the address, then what is done."""
        parts = [part for part in self.path.split("/")[3:] if part and not part.startswith("{")]
        words = "_".join(parts).replace("-", "_").replace(".", "_") or "index"
        action = getattr(self.view, "action", None) or self.method.lower()
        own = {"list", "retrieve", "create", "partial_update", "destroy", "get"}
        deed = action if action in own else self.method.lower()
        return words if parts and parts[-1] == action else f"{words}_{deed}"

    def get_override_parameters(self) -> list[Any]:
        """The same serializer that checks the query describes it."""
        asked = self.view.asked_in_query() if hasattr(self.view, "asked_in_query") else None
        return [asked] if asked and asked().fields else []

    def get_description(self) -> str:  # type: ignore[override]
        said: str = super().get_description() or ""
        scopes = " and ".join(f"`{scope}`" for scope in scopes_of(self.view, self.method))
        return f"{said}\n\nScope: {scopes or 'none'}".strip()

    def get_extensions(self) -> dict[str, Any]:
        scopes = scopes_of(self.view, self.method)
        return {"x-scope": " ".join(scopes)} if scopes else {}


def same_on_every_database(
    result: dict[str, Any], generator: Any, request: Any, public: bool
) -> Any:
    """What is told has no upper bounds: they would be those of the columns of the database that
    the description was made with. What is asked keeps its own."""
    for name, schema in result.get("components", {}).get("schemas", {}).items():
        if not name.endswith("Request"):
            for told in schema.get("properties", {}).values():
                if told.get("maximum") in LARGEST_OF_COLUMNS:
                    told.pop("maximum")
                    told.pop("format", None)
    return result


def add_problems(result: dict[str, Any], generator: Any, request: Any, public: bool) -> Any:
    """Every operation may answer with a problem document."""
    parts = result.setdefault("components", {})
    parts.setdefault("schemas", {})["Problem"] = PROBLEM
    parts["responses"] = {f"Problem{code}": _response(code) for code in WORDS}
    for path in result.get("paths", {}).values():
        for method, operation in path.items():
            if method in ("get", "post", "put", "patch", "delete", "head", "options"):
                _add(method, operation)
    return result


def _add(method: str, operation: dict[str, Any]) -> None:
    codes = ALWAYS if method in ("get", "head", "options") else ALWAYS + OF_WRITES
    for code in codes:
        answer = {"$ref": f"#/components/responses/Problem{code}"}
        operation["responses"].setdefault(str(code), answer)
    if method == "get":
        unchanged = {"description": "As If-None-Match says you have it already"}
        operation["responses"].setdefault("304", unchanged)


def _response(code: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    headers = {"Retry-After": {"schema": {"type": "integer"}}} if code in (409, 429, 503) else {}
    return {
        "description": WORDS[code],
        "content": {"application/problem+json": {"schema": schema}},
        **({"headers": headers} if headers else {}),
    }
