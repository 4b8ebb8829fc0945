"""One unit at a time, as an MES asks: submitted once, judged before all batches."""

import asyncio
import re
from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from inspection.errors import UserError
from inspection.live.waiting import let_go, verdict_within
from inspection.models import Image
from inspection.services import dataset_pictures, submissions
from inspection.services.pictures import visible_images
from inspection.services.submission_fields import MOST_IMAGES, read_fields

from .fields import Anything, Strict, Whole
from .inspections import COMPLETED, InspectionOut, Inspections
from .parsers import Json, check_size

RETRY_AFTER_S = 1
MOST_AT_ONCE = 16
MOST_MB = 200  # of all pictures of one unit together
WAIT = re.compile(r"(?:^|[,;\s])wait=(\d{1,4})(?:$|[,;\s])", re.IGNORECASE)
METHOD_PATH = "POST /api/v1/inspections"

ASKED = {
    "external_id": "MES-000123",
    "station_id": "AOI-1",
    "recipe": {"name": "BOARD-A"},
    "work_order": "WO-1",
    "lot_id": "L-1",
    "serial_number": "SN000123",
    "captured_at": "2026-11-23T12:00:00+00:00",
    "images": ["0199f0a2-7c1e-7b60-9d0a-3f6a1c2b4d5e"],
}


class Pictures(MultiPartParser):
    """multipart/form-data with the pictures of one unit."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        check_size(parser_context, MOST_MB * 1_000_000)
        return super().parse(stream, media_type, parser_context)


class RecipeIn(Strict):
    name = serializers.CharField(
        help_text="the part number, or `<part number>/<viewpoint>` where it has several"
    )
    revision = serializers.CharField(
        required=False, allow_blank=True, help_text="model-<number>; left out: the active model"
    )


class SubmissionIn(Strict):
    """What is asked about one unit. Names of IPC-HERMES-9852 are taken too."""

    external_id = serializers.CharField(required=False, help_text="unique for the station")
    station_id = serializers.CharField(required=False)
    recipe = RecipeIn(required=False)
    work_order = serializers.CharField(required=False, allow_blank=True)
    lot_id = serializers.CharField(required=False, allow_blank=True)
    panel_id = serializers.CharField(required=False, allow_blank=True)
    serial_number = serializers.CharField(required=False, allow_blank=True)
    position_number = Whole(required=False, help_text="on the panel; 0: not on one")
    side = serializers.CharField(required=False, allow_blank=True)
    part_number = serializers.CharField(required=False, allow_blank=True)
    captured_at = serializers.CharField(
        required=False, allow_blank=True, help_text="RFC 3339, with the zone"
    )
    callback_url = serializers.CharField(
        required=False,
        allow_blank=True,
        help_text="of the origin of a webhook endpoint, which signs for it",
    )
    images = serializers.ListField(
        child=serializers.UUIDField(),
        min_length=1,
        max_length=MOST_IMAGES,
        help_text="ids of pictures that were sent before",
    )
    BoardId = serializers.CharField(required=False, allow_blank=True, help_text="as external_id")
    FailedBoard = Anything(required=False, help_text="0, 1 or 2; noted, judged by pictures")
    ProductTypeId = serializers.CharField(
        required=False, allow_blank=True, help_text="as part_number"
    )
    TopBarcode = serializers.CharField(
        required=False, allow_blank=True, help_text="as serial_number"
    )
    BottomBarcode = serializers.CharField(
        required=False, allow_blank=True, help_text="as serial_number, where no TopBarcode is"
    )
    WorkOrderId = serializers.CharField(required=False, allow_blank=True, help_text="as work_order")
    BatchId = serializers.CharField(required=False, allow_blank=True, help_text="as lot_id")


class SubmissionForm(SubmissionIn):
    """The same with the pictures themselves; `recipe` as `recipe.name` and `recipe.revision`."""

    images = serializers.ListField(
        child=serializers.FileField(max_length=255), min_length=1, max_length=MOST_IMAGES
    )


HEADERS = [
    OpenApiParameter(
        "Idempotency-Key",
        str,
        OpenApiParameter.HEADER,
        required=True,
        description="A new UUID for every unit, the same one to ask again. Kept 30 days.",
    ),
    OpenApiParameter(
        "Prefer",
        str,
        OpenApiParameter.HEADER,
        description="`wait=3`: answer with the verdict if it is there within 3 s (30 at most).",
    ),
]


class Submissions(Inspections):
    """The list of inspections, and where a unit is submitted."""

    parser_classes = (Json, Pictures)

    @extend_schema(
        operation_id="inspections_submit",
        parameters=HEADERS,
        request={"application/json": SubmissionIn, "multipart/form-data": SubmissionForm},
        responses={
            200: OpenApiResponse(InspectionOut, "Asked again: the verdict as it stands"),
            201: OpenApiResponse(InspectionOut, "Judged within the time that `Prefer` gives"),
            202: OpenApiResponse(InspectionOut, "Taken; ask at Location, after Retry-After"),
        },
        examples=[
            OpenApiExample("A unit whose picture was sent before", ASKED, request_only=True),
            OpenApiExample("Judged", COMPLETED, response_only=True, status_codes=["200", "201"]),
        ],
    )
    def create(self, request: Request) -> Response:
        """Ask about one unit. It is judged before all batches and training runs. Whatever
        happens on the way, sending the same again gives the same inspection."""
        key = submissions.read_key(request.headers.get("Idempotency-Key", ""))
        with submissions.receiving(self.user, key):
            asked = read_fields(*self._read())
            taken = submissions.submit(
                self.user, asked, idempotency_key=key, method_path=METHOD_PATH
            )
        return self.answer(taken.inspection.pk, created=taken.created)

    def answer(self, key: UUID, *, created: bool, waited: bool = False) -> Response:
        """The inspection as it stands: 201 for a verdict of this very request, 200 for one that
        was there, 202 while there is none."""
        inspection = self.get_queryset().get(pk=key)
        done = bool(inspection.verdict)
        code: int = status.HTTP_202_ACCEPTED
        if done:
            code = status.HTTP_201_CREATED if created else status.HTTP_200_OK
        answer = self.tell(inspection, code)
        answer["Location"] = reverse("api-inspection-detail", args=[key])
        if not done:
            answer["Retry-After"] = str(RETRY_AFTER_S)
            if not waited:
                answer.ask_again = lambda: self._again(key, created)  # type: ignore[attr-defined]
                answer.waits_for = key  # type: ignore[attr-defined]
        return answer

    def _again(self, key: UUID, created: bool) -> Response:
        """What is answered after waiting."""
        response = self.answer(key, created=created, waited=True)
        told: Response = self.finalize_response(self.request, response)
        return told

    def _read(self) -> tuple[dict[str, Any], list[Image]]:
        """The fields by their names, and the pictures."""
        data = self.request.data
        if not hasattr(data, "getlist"):
            fields = self.asked(SubmissionIn)
            return self._plain(fields), self._known(fields["images"])
        form = _of_form(data)
        known = SubmissionForm(data=form, context=self.get_serializer_context())
        known.is_valid(raise_exception=True)
        fields = dict(known.validated_data)
        images = [self._kept(n, file) for n, file in enumerate(fields["images"])]
        return self._plain(fields), images

    @staticmethod
    def _plain(fields: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in fields.items() if name != "images"}

    def _kept(self, number: int, file: Any) -> Image:
        try:
            return dataset_pictures.receive_image(self.user, file.name, file)
        except UserError as error:
            error.field = error.field or f"images[{number}]"
            raise

    def _known(self, keys: list[UUID]) -> list[Image]:
        found = {one.pk: one for one in visible_images(self.user).filter(pk__in=keys)}
        for number, key in enumerate(keys):
            if key not in found:
                raise UserError(
                    "no_such_thing",
                    f"There is no picture {key} here. Send it to /api/v1/images first.",
                    field=f"images[{number}]",
                )
        return [found[key] for key in keys]


def _of_form(data: Any) -> dict[str, Any]:
    """A form's fields as JSON would have them: `recipe.name` and `recipe.revision` are one."""
    form = {name: data.get(name) for name in data if name != "images"}
    recipe = {
        part: form.pop(f"recipe.{part}")
        for part in ("name", "revision")
        if f"recipe.{part}" in form
    }
    if recipe:
        form["recipe"] = recipe
    return {**form, "images": data.getlist("images")}


# --- waiting -----------------------------------------------------------------------------


def wanted_seconds(prefer: str) -> float:
    """Of a `Prefer` header; 0 where it asks for no wait."""
    found = WAIT.search(prefer)
    return float(found[1]) if found else 0.0


def waits(view: Callable[..., Any]) -> Any:
    """The view, then, where `Prefer: wait` asks for it, its answer once the verdict is there."""

    @wraps(view)  # also what the schema and the middlewares look for on a view
    async def waiting(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        async with _turn():
            response: Any = await sync_to_async(_asked)(view, request, *args, **kwargs)
        seconds = wanted_seconds(request.headers.get("Prefer", ""))
        key = getattr(response, "waits_for", None)
        if seconds and key:
            if await verdict_within(key, seconds):
                async with _turn():
                    response = await sync_to_async(_again)(response)
            response["Preference-Applied"] = f"wait={seconds:.0f}"
        answer: HttpResponseBase = response
        return answer

    return waiting


def _turn() -> asyncio.Semaphore:
    """So many at once reach for the database: 200 clients must not take 200 connections."""
    loop = asyncio.get_running_loop()
    return _turns.setdefault(loop, asyncio.Semaphore(MOST_AT_ONCE))


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


def _again(response: Any) -> Any:
    try:
        return response.ask_again()
    finally:
        let_go()


def _asked(view: Callable[..., Any], request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
    try:
        return view(request, *args, **kwargs)
    finally:
        let_go()
