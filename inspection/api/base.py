"""What every view of the API has: scopes, limits, tags, and only what the caller may see."""

from typing import Any, ClassVar, Generic, TypeVar, cast

from django.db.models import Model, QuerySet
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from inspection.errors import UserError
from inspection.models import User
from inspection.services.visible import visible

from .etags import check_match, etag_of, named
from .fields import Nothing, Strict
from .throttling import rate_headers

M = TypeVar("M", bound=Model)
N = TypeVar("N", bound=Model)
PAGING = ("cursor", "limit")  # read by the paginator


class Base(APIView):
    """`noun`: what scopes call it; `also`: a scope that an action needs besides; see
    permissions.HasScope. `queries`: by action, what its address may ask after the `?`; anything
    else is a 422. What was asked is in `query`. `passing`: fields that change by themselves, or are
    told once; they are not in the ETag, so that only what a person changed fails `If-Match`."""

    noun: ClassVar[str | None] = None
    also: str | None = None
    passing: ClassVar[tuple[str, ...]] = ()
    queries: ClassVar[dict[str, type[Strict]]] = {}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        self.query: dict[str, Any] = self._read_query()

    def asked_in_query(self) -> type[Strict]:
        """What checks the query of this action, and describes it; by default none is taken."""
        action = getattr(self, "action", None) or (self.request.method or "get").lower()
        return self.queries.get(action, Nothing)

    def _read_query(self) -> dict[str, Any]:
        given = self.request.query_params.dict()
        if getattr(self, "paginator", None):
            given = {name: value for name, value in given.items() if name not in PAGING}
        form = self.asked_in_query()(data=given)
        form.is_valid(raise_exception=True)
        return {name: value for name, value in form.validated_data.items() if value != ""}

    @property
    def user(self) -> User:
        """Who asks, by key or session."""
        return cast(User, self.request.user)

    def find(self, model: type[N], key: Any, field: str) -> N:
        """A row that a body or query names, where the caller may see it; else a 422 there."""
        found = visible(self.user, model).filter(pk=key).first()
        if found is None:
            word = model._meta.verbose_name
            raise UserError(
                "no_such_thing", "There is no {word} {key} here.", word=word, key=key, field=field
            )
        return found

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Every answer says what is left of the limit; one thing by itself has an ETag."""
        response = super().finalize_response(request, response, *args, **kwargs)
        for name, value in rate_headers(getattr(request, "_request", request)).items():
            response[name] = value
        response.setdefault("Cache-Control", "private, no-cache")
        if isinstance(response, Response) and _is_one_thing(response):
            response["ETag"] = self.etag(response.data)
            wanted = request.headers.get("If-None-Match", "")
            # With passing fields the same tag may hide news, so all is told.
            asked = request.method in ("GET", "HEAD") and not self.passing
            if asked and response["ETag"] in named(wanted):
                response.data, response.status_code = None, status.HTTP_304_NOT_MODIFIED
        return response

    def etag(self, data: dict[str, Any]) -> str:
        """Of a thing as GET tells it, without what passes."""
        return etag_of({name: value for name, value in data.items() if name not in self.passing})


def _is_one_thing(response: Response) -> bool:
    whole = response.status_code in (status.HTTP_200_OK, status.HTTP_201_CREATED)
    return whole and isinstance(response.data, dict) and "results" not in response.data


class Nouns(Base, GenericViewSet, Generic[M]):  # type: ignore[type-arg]
    """Views of one noun. `serializer_class` says what is told of a row; what is asked has a
    serializer of its own."""

    model: type[M]
    lookup_value_converter = "uuid"

    def get_queryset(self) -> QuerySet[M]:
        """Rows of products that the caller may see; others do not exist for them."""
        return visible(self.user, self.model)

    def list(self, request: Request) -> Response:
        return self.page_of(self.get_queryset())

    def page_of(
        self, rows: QuerySet[Any], serializer: type[BaseSerializer[Any]] | None = None
    ) -> Response:
        """One page of `rows`, each as `serializer` (or the noun's own) tells it."""
        page = self.paginate_queryset(rows)
        tell = serializer or self.get_serializer_class()
        context = self.get_serializer_context()
        return self.get_paginated_response(tell(page, many=True, context=context).data)

    def visible(self, model: type[N]) -> QuerySet[N]:
        """Rows of another noun that the caller may see."""
        return visible(self.user, model)

    def retrieve(self, request: Request, pk: Any = None) -> Response:
        return self.tell(self.get_object())

    def tell(self, thing: M, code: int = status.HTTP_200_OK) -> Response:
        """The row as GET tells it."""
        return Response(self.get_serializer(thing).data, status=code)

    def asked(self, serializer: type[BaseSerializer[Any]], **options: Any) -> dict[str, Any]:
        """What the body asks for, checked; raises a 422 that points at the field."""
        form = serializer(data=self.request.data, context=self.get_serializer_context(), **options)
        form.is_valid(raise_exception=True)
        return cast(dict[str, Any], form.validated_data)

    def check_match(self, thing: M) -> None:
        """412 where the caller changes another state than the one that is there. Call it in the
        transaction of the change, with the row locked and read again."""
        tag = self.etag(self.get_serializer(thing).data)
        check_match(self.request.headers.get("If-Match"), tag)
