"""Work of every kind in one list, as the status bar and the jobs page show it."""

from typing import Any, ClassVar

from django.urls import reverse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from inspection.models import JobState, Upload
from inspection.services import uploads
from inspection.services.job_lists import RECENT, job_facts, upload_facts

from .base import Base, Nouns
from .narrow import OfProduct, product_named

# Where a job is by itself, and where it is stopped. An upload has no address but this.
PLACES: dict[str, tuple[str | None, str]] = {
    "training": ("api-run-detail", "api-run-cancel"),
    "batch": ("api-batch-detail", "api-batch-cancel"),
    "report": ("api-report-detail", "api-report-cancel"),
    "upload": (None, "api-job-upload-cancel"),
}
STATES = [*JobState.values, "open", "scoring", "cancelling"]
JOB = {
    "id": "0199f0a2-7c1e-7b60-9d0a-3f6a1c2b4d5e",
    "kind": "training",
    "title": "Motor board",
    "number": 3,
    "product": "BOARD-A",
    "state": "running",
    "fraction": 0.42,
    "eta_s": 311.0,
    "by": "eva",
    "error": "",
    "created_at": "2026-11-23T12:00:00+00:00",
    "finished_at": None,
    "address": "/api/v1/runs/0199f0a2-7c1e-7b60-9d0a-3f6a1c2b4d5e",
    "cancel": "/api/v1/runs/0199f0a2-7c1e-7b60-9d0a-3f6a1c2b4d5e/cancel",
}


class JobOut(serializers.Serializer[Any]):
    """A run, a batch, a report, or files on their way in and zips being unpacked."""

    id = serializers.UUIDField()
    kind = serializers.ChoiceField(list(PLACES))
    title = serializers.CharField(help_text="of a run, the product's name")
    number = serializers.IntegerField(allow_null=True, help_text="of a run")
    product = serializers.CharField(help_text="part number")
    state = serializers.ChoiceField(
        STATES, help_text="of a batch: open, scoring, done, cancelling or cancelled"
    )
    fraction = serializers.FloatField(allow_null=True, help_text="done of all, where known")
    eta_s = serializers.FloatField(allow_null=True, help_text="seconds until it ends, where known")
    by = serializers.CharField(allow_null=True, help_text="user name; null: nobody, or gone")
    error = serializers.CharField()
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    address = serializers.CharField(allow_null=True, help_text="null: an upload has none")
    cancel = serializers.CharField(
        allow_null=True,
        help_text="where a POST stops it; null where there is nothing to stop, or "
        "not for the caller",
    )

    def to_representation(self, instance: dict[str, Any]) -> dict[str, Any]:
        address, cancel = PLACES[instance["kind"]]
        keys = [instance["id"]]
        places = {
            "address": reverse(address, args=keys) if address else None,
            "cancel": reverse(cancel, args=keys) if instance["may_cancel"] else None,
        }
        told: dict[str, Any] = super().to_representation({**instance, **places})
        return told


class JobsOut(serializers.Serializer[Any]):
    running = JobOut(many=True, help_text=f"not ended, newest first; at most {RECENT} of a kind")
    recent = JobOut(
        many=True, help_text=f"the other newest {RECENT} of each kind; of uploads those with zips"
    )


class Jobs(Base):
    """Work of every kind."""

    noun = "runs"
    also = "inspections:read"
    queries: ClassVar = {"get": OfProduct}

    @extend_schema(
        responses=JobsOut,
        examples=[OpenApiExample("A run", {"running": [JOB], "recent": []}, response_only=True)],
    )
    def get(self, request: Request) -> Response:
        """What is running, how far it is and how long it will take, and what there was lately.
        Each job's own address tells more."""
        said = self.query.get("product")
        product = product_named(self.user, said) if said else None
        return Response(JobsOut(job_facts(self.user, product)).data)


class UploadJobs(Nouns[Upload]):
    """Files that a browser or a command brings in, and their zips."""

    noun = "images"
    model = Upload
    serializer_class = JobOut

    @extend_schema(operation_id="jobs_uploads_cancel", request=None, responses={200: JobOut})
    def cancel(self, request: Request, pk: Any = None) -> Response:
        """Take nothing more and stop unpacking. What was accepted stays."""
        return self._told(uploads.cancel_upload(self.user, self.get_object()))

    @extend_schema(operation_id="jobs_uploads_resume", request=None, responses={200: JobOut})
    def resume(self, request: Request, pk: Any = None) -> Response:
        """Unpack the rest of an upload whose unpacking failed."""
        return self._told(uploads.resume_upload(self.user, self.get_object()))

    def _told(self, upload: Upload) -> Response:
        return Response(JobOut(upload_facts(self.user, upload)).data)
