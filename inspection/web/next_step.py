"""The one thing to do next with a product, said in one sentence with its button."""

from dataclasses import dataclass

from django.urls import reverse

from inspection.models import Batch, JobState, ModelVersion, TrainingRun, Viewpoint
from inspection.services.training import MIN_PICTURES

WORKING = (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True)
class NextStep:
    sentence: str
    button: str
    url: str
    icon: str


def next_step(
    viewpoint: Viewpoint,
    usable: int,
    runs: list[TrainingRun],
    models: list[ModelVersion],
    batches: list[Batch],
) -> NextStep | None:
    """None when the product is in everyday use."""
    product = viewpoint.product_id
    upload = reverse("upload_new", args=[product])
    if waiting := next((run for run in runs if run.state == JobState.PAUSED), None):
        return NextStep(
            f"Run {waiting.number} found pictures that may not show good parts. Keep or leave out "
            "each of them, then the run goes on.",
            "Look at them",
            reverse("run", args=[waiting.pk]),
            "eye",
        )
    if not models:
        if going := next((run for run in runs if run.state in WORKING), None):
            url = reverse("run", args=[going.pk])
            return NextStep(f"Run {going.number} is learning.", "Watch it", url, "chart-line")
        return _to_first_model(usable, product, upload)
    if not batches:
        return NextStep(
            "The model is ready. Give it a batch of pictures, good and bad, and see its verdicts.",
            "Inspect a batch",
            reverse("batch_new", args=[product]),
            "photo-scan",
        )
    return None


def _to_first_model(usable: int, product: object, upload: str) -> NextStep:
    if usable == 0:
        return NextStep(
            f"Upload pictures of good parts; {MIN_PICTURES} are enough to begin, some hundreds "
            "are better. No defects are needed.",
            "Upload pictures",
            upload,
            "upload",
        )
    if usable < MIN_PICTURES:
        return NextStep(
            f"{usable} of {MIN_PICTURES} pictures are here: {MIN_PICTURES - usable} more and "
            "training can start.",
            "Upload pictures",
            upload,
            "upload",
        )
    return NextStep(
        f"{usable} pictures of good parts are here: enough to train a first model.",
        "Train a model",
        reverse("train", args=[product]),
        "cpu",
    )
