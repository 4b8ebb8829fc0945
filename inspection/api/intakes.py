"""Intakes: watched folders and prefixes of stores, and what became of every file there."""

from typing import Any, ClassVar

from django.db import transaction
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from inspection.models import Intake, IntakeFile, Viewpoint
from inspection.services import intakes

from .base import Nouns
from .fields import Strict, Whole
from .narrow import OfViewpoint, of_viewpoint, station_named
from .schema import IF_MATCH

FOLDER = {
    "name": "AOI 3",
    "viewpoint": "01990000-0000-7000-8000-000000000000",
    "station": "AOI-3",
    "location": "/mnt/aoi3",
    "pattern": "{lot}_{serial}_{position}.png",
    "afterwards": "move",
}
STORE = {
    "name": "AOI 4",
    "viewpoint": "01990000-0000-7000-8000-000000000000",
    "location": "s3://plant/aoi4",
    "pattern": "{lot}/{serial}_{any}.png",
}
STANDING = {
    "id": "01990000-0000-7000-8000-000000000001",
    "name": "AOI 3",
    "paused_at": None,
    "last_look_at": "2026-11-26T12:00:00Z",
    "last_error": "",
    "accepted": 1204,
    "duplicate": 3,
    "rejected": 1,
    "waiting": 2,
}


class IntakeOut(serializers.ModelSerializer[Intake]):
    recipe = serializers.CharField(source="viewpoint.recipe_name")
    station = serializers.CharField(source="station.code", default=None, allow_null=True)
    created_by = serializers.CharField(
        source="created_by.username", help_text="with whose rights files come in"
    )

    class Meta:
        model = Intake
        fields = (
            "id",
            "created_at",
            "name",
            "viewpoint",
            "recipe",
            "station",
            "location",
            "pattern",
            "stable_seconds",
            "quiet_minutes",
            "afterwards",
            "paused_at",
            "created_by",
        )


class IntakeChange(Strict):
    name = serializers.CharField(max_length=80, help_text="what your people call the machine")
    viewpoint = serializers.UUIDField()
    station = serializers.CharField(
        required=False, allow_null=True, max_length=80, help_text="its code; null: from none"
    )
    location = serializers.CharField(
        max_length=500, help_text="a full path on the server, or s3://bucket/prefix"
    )
    pattern = serializers.CharField(max_length=200, help_text="{lot}_{serial}_{position}.png")
    stable_seconds = Whole(
        required=False,
        min_value=1,
        max_value=intakes.LONGEST_WAIT_S,
        help_text="how long size and time of a file must stay the same",
    )
    quiet_minutes = Whole(
        required=False,
        min_value=1,
        max_value=intakes.LONGEST_QUIET_MINUTES,
        help_text="without a file for so long, the batch of a lot is closed",
    )
    afterwards = serializers.ChoiceField(
        Intake.Afterwards.choices,
        required=False,
        help_text="what is done with files that were read",
    )


class IntakeQuery(OfViewpoint):
    paused = serializers.BooleanField(required=False, allow_null=True, default=None)


class IntakeStandingOut(serializers.ModelSerializer[Intake]):
    """How many files had each outcome, and how the last look went."""

    accepted = serializers.IntegerField(help_text="they are inspections")
    duplicate = serializers.IntegerField(help_text="the same bytes of the same part, again")
    rejected = serializers.IntegerField()
    waiting = serializers.IntegerField(help_text="until they lie still, or can be read")

    class Meta:
        model = Intake
        fields = (
            "id",
            "name",
            "paused_at",
            "last_look_at",
            "last_error",
            "accepted",
            "duplicate",
            "rejected",
            "waiting",
        )


class IntakeFileOut(serializers.ModelSerializer[IntakeFile]):
    class Meta:
        model = IntakeFile
        fields = (
            "id",
            "created_at",
            "path",
            "size",
            "sha256",
            "outcome",
            "code",
            "message",
            "inspection",
            "decided_at",
            "put_away_at",
        )


class IntakeFileQuery(Strict):
    outcome = serializers.ChoiceField(IntakeFile.Outcome.values, required=False)
    path = serializers.CharField(required=False, max_length=500, help_text="what it contains")


class PreviewQuery(Strict):
    pattern = serializers.CharField(max_length=200)
    names = serializers.CharField(max_length=4000, help_text="one a line; the first 20 are read")


class NameRead(serializers.Serializer[Any]):
    """What a name says; empty, or 0, where it says nothing."""

    serial = serializers.CharField()
    lot = serializers.CharField()
    work_order = serializers.CharField()
    panel = serializers.CharField()
    position = serializers.IntegerField()
    side = serializers.CharField()


class NameOut(serializers.Serializer[Any]):
    name = serializers.CharField()
    read = NameRead(allow_null=True, help_text="null: it would be rejected")


class PreviewOut(serializers.Serializer[Any]):
    names = NameOut(many=True)


class Intakes(Nouns[Intake]):
    """Watched folders of the server, or prefixes of an S3 store: what a machine drops there
    becomes inspections in production. Where they may be, and the keys of the store, are the
    administrator's matter and no part of this."""

    noun = "intakes"
    model = Intake
    serializer_class = IntakeOut
    queries: ClassVar = {
        "list": IntakeQuery,
        "standing": IntakeQuery,
        "files": IntakeFileQuery,
        "preview": PreviewQuery,
    }

    def get_queryset(self) -> Any:
        rows = of_viewpoint(super().get_queryset(), self.user, self.query, "viewpoint")
        paused = self.query.get("paused")
        return rows if paused is None else rows.filter(paused_at__isnull=not paused)

    @extend_schema(
        request=IntakeChange,
        responses={201: IntakeOut},
        examples=[
            OpenApiExample("A folder of the server", FOLDER, request_only=True),
            OpenApiExample("A prefix of a store", STORE, request_only=True),
        ],
    )
    def create(self, request: Request) -> Response:
        """Watch a place from now on. Files come in with the rights of the key's owner. Engineers
        and above."""
        made = intakes.create_intake(self.user, **self._named(self.asked(IntakeChange)))
        return self.tell(self.get_queryset().get(pk=made.pk), status.HTTP_201_CREATED)

    @extend_schema(request=IntakeChange, parameters=[IF_MATCH])
    def partial_update(self, request: Request, pk: Any = None) -> Response:
        """Change some fields. From now on files come in with the rights of the key's owner; those
        that were rejected for their names are read again by another `pattern`."""
        asked = self.asked(IntakeChange, partial=True)
        self.get_object()
        with transaction.atomic():
            intakes.hold_places()
            intake = self.get_object()
            self.check_match(intake)
            intakes.edit_intake(self.user, intake, **self._named(asked))
        return self.tell(self.get_object())

    def _named(self, asked: dict[str, Any]) -> dict[str, Any]:
        """With the rows that a body names."""
        if "viewpoint" in asked:
            asked["viewpoint"] = self.find(Viewpoint, asked["viewpoint"], "viewpoint")
        if "station" in asked:
            asked["station"] = station_named(asked["station"])
        return asked

    @extend_schema(request=None, responses=IntakeOut)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: Any = None) -> Response:
        """Look no more; what is being taken right now is the last."""
        intakes.pause_intake(self.user, self.get_object())
        return self.tell(self.get_object())

    @extend_schema(request=None, responses=IntakeOut)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: Any = None) -> Response:
        """Look again; files that came meanwhile are taken."""
        intakes.resume_intake(self.user, self.get_object())
        return self.tell(self.get_object())

    @extend_schema(
        responses=IntakeStandingOut(many=True),
        filters=True,
        examples=[OpenApiExample("One that works", STANDING, response_only=True)],
    )
    @action(detail=False)
    def standing(self, request: Request) -> Response:
        """What each has taken in, and how its last look went."""
        return self.page_of(intakes.with_counts(self.get_queryset()), IntakeStandingOut)

    # Not among the fields of the intake: it changes with every look, and with it the ETag would.
    @extend_schema(
        responses=IntakeStandingOut,
        examples=[OpenApiExample("One that works", STANDING, response_only=True)],
    )
    @action(detail=True, url_path="standing", pagination_class=None)
    def standing_of(self, request: Request, pk: Any = None) -> Response:
        """What it has taken in, and how the last look went."""
        found = get_object_or_404(intakes.with_counts(self.get_queryset()), pk=pk)
        return Response(IntakeStandingOut(found).data)

    @extend_schema(responses=IntakeFileOut(many=True), filters=True)
    @action(detail=True)
    def files(self, request: Request, pk: Any = None) -> Response:
        """Every file that was seen and what became of it, newest first. One that is written anew
        under its name is another one."""
        return self.page_of(intakes.files_of(self.get_object(), **self.query), IntakeFileOut)

    @extend_schema(responses=PreviewOut)
    @action(detail=False, pagination_class=None)
    def preview(self, request: Request) -> Response:
        """How a pattern reads names of files, before anything is watched by it."""
        names = intakes.examples(self.query["pattern"], self.query["names"].splitlines())
        return Response(PreviewOut({"names": names}).data)
