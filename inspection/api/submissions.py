"""One unit at a time, as an MES asks: submitted once, judged before all batches."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.urls import reverse
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_field,
)
from rest_framework import serializers, status
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from inspection.errors import UserError
from inspection.models import Image, Inspection
from inspection.services import dataset_pictures, image_stores, submissions
from inspection.services.pictures import visible_images
from inspection.services.submission_fields import MOST_IMAGES, read_fields, recipe_of
from inspection.services.verdict_facts import FACTS_OF

from .fetching import Found
from .fields import Anything, Strict, Whole
from .inspections import COMPLETED, InspectionOut, Inspections
from .parsers import Json, check_size

RETRY_AFTER_S = 1
MOST_MB = 200  # of all pictures of one unit together
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


@extend_schema_field(
    {
        "type": "string",
        "oneOf": [{"format": "uuid"}, {"format": "uri", "pattern": "^https?://"}],
    }
)
class PictureNamed(serializers.CharField):
    """The id of a picture (as a UUID), or its address (as a text)."""

    def to_internal_value(self, data: Any) -> Any:
        text = str(super().to_internal_value(data))
        if image_stores.is_address(text):
            return text
        return serializers.UUIDField().to_internal_value(text)


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
        child=PictureNamed(),
        min_length=1,
        max_length=MOST_IMAGES,
        help_text="ids of pictures that were sent before, or addresses at a store that an "
        "administrator lists",
    )
    BoardId = serializers.CharField(required=False, allow_blank=True, help_text="as external_id")
    FailedBoard = Anything(
        required=False, help_text="0, 1 or 2; checked and not kept: judged by pictures"
    )
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
        fields, named = self._read()
        addresses = self._to_fetch(key, fields, named)
        if not addresses:
            return self._take(key, fields, named, {})
        later = Response(status=status.HTTP_202_ACCEPTED)  # never told: see `waits`
        later.fetches = addresses  # type: ignore[attr-defined]
        later.fetches_for = self.user.pk  # type: ignore[attr-defined]
        later.go_on = lambda found: self._resumed(  # type: ignore[attr-defined]
            lambda: self._take(key, fields, named, found)
        )
        return later

    def _take(self, key: str, fields: dict[str, Any], named: list[Any], found: Found) -> Response:
        """Store the pictures that came or were fetched, and submit."""
        with submissions.receiving(self.user, key):
            known = submissions.pictures_of(self.user, key) if _addresses(named) else []
            images = [self._image(n, one, found, known) for n, one in enumerate(named)]
            addresses = [one if isinstance(one, str) else "" for one in named]
            asked = read_fields(fields, images, addresses)
            taken = submissions.submit(
                self.user, asked, idempotency_key=key, method_path=METHOD_PATH
            )
        return self.answer(taken.inspection.pk, created=taken.created)

    def _resumed(self, work: Callable[[], Response]) -> Response:
        """What `work` answers, finished as the first answer would have been."""
        try:
            response = work()
        except Exception as error:
            response = self.handle_exception(error)
        told: Response = self.finalize_response(self.request, response)
        return told

    def answer(self, key: UUID, *, created: bool, waited: bool = False) -> Response:
        """The inspection as it stands: 201 for a verdict of this very request, 200 for one that
        was there, 202 while there is none."""
        # Whoever asks may know of it (`submit` looked), also when its product is archived since.
        inspection = Inspection.objects.select_related(*FACTS_OF).get(pk=key)
        done = bool(inspection.verdict)
        code: int = status.HTTP_202_ACCEPTED
        if done:
            code = status.HTTP_201_CREATED if created else status.HTTP_200_OK
        answer = self.tell(inspection, code)
        answer["Location"] = reverse("api-inspection-detail", args=[key])
        if not done:
            answer["Retry-After"] = str(RETRY_AFTER_S)
            if not waited:
                answer.waits_for = key  # type: ignore[attr-defined]
                answer.ask_again = lambda: self._resumed(  # type: ignore[attr-defined]
                    lambda: self.answer(key, created=created, waited=True)
                )
        return answer

    def _read(self) -> tuple[dict[str, Any], list[Any]]:
        """The fields by their names, and the pictures: ids, addresses or files."""
        data = self.request.data
        if not hasattr(data, "getlist"):
            fields = dict(self.asked(SubmissionIn))
        else:
            form = SubmissionForm(data=_of_form(data), context=self.get_serializer_context())
            form.is_valid(raise_exception=True)
            fields = dict(form.validated_data)
        return fields, fields.pop("images")

    def _to_fetch(self, key: str, fields: dict[str, Any], named: list[Any]) -> list[str]:
        """Addresses of pictures that no request with this key has brought yet. Nobody has one
        fetched who may not send the part: whether it is there is told to no one else."""
        wanted = _addresses(named)
        if not wanted or len(submissions.pictures_of(self.user, key)) == len(named):
            return []
        submissions.check_may_send(self.user, recipe_of(fields))
        for number, one in enumerate(named):
            if isinstance(one, str):
                with pointing_at(number):
                    image_stores.listed(one)
        return wanted

    def _image(self, number: int, one: Any, found: Found, known: list[Image]) -> Image:
        with pointing_at(number):
            if isinstance(one, str):
                if number < len(known):
                    return known[number]
                file = found[one]
                if isinstance(file, UserError):
                    raise file
                file.seek(0)  # one address may be named twice
                return dataset_pictures.receive_image(self.user, image_stores.name_of(one), file)
            if isinstance(one, UUID):
                return self._sent_before(one)
            return dataset_pictures.receive_image(self.user, one.name, one)

    def _sent_before(self, key: UUID) -> Image:
        found = visible_images(self.user).filter(pk=key).first()
        if found is None:
            raise UserError(
                "no_such_thing",
                "There is no picture {key} here. Send it to /api/v1/images first.",
                key=key,
            )
        return found


@contextmanager
def pointing_at(number: int) -> Iterator[None]:
    """A refusal inside names this picture, where it names no field of its own."""
    try:
        yield
    except UserError as error:
        error.field = error.field or f"images[{number}]"
        raise


def _addresses(named: list[Any]) -> list[str]:
    return [one for one in named if isinstance(one, str)]


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
