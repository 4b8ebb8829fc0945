"""The one thing to do next with a product, said in one sentence with its button."""

from dataclasses import dataclass

from django.urls import reverse
from django.utils.translation import gettext as _

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
            _(
                "Run %(n)s found pictures that may not show good parts. Keep or leave out each of "
                "them, then the run goes on."
            )
            % {"n": waiting.number},
            _("Look at them"),
            reverse("run", args=[waiting.pk]),
            "eye",
        )
    if not models:
        if going := next((run for run in runs if run.state in WORKING), None):
            url = reverse("run", args=[going.pk])
            return NextStep(
                _("Run %(n)s is learning.") % {"n": going.number}, _("Watch it"), url, "chart-line"
            )
        return _to_first_model(usable, product, upload)
    ready = [model for model in models if model.state != ModelVersion.State.RETIRED]
    if ready and all(model.is_first_try for model in ready):
        return _after_first_try(product, ready[0], tried=bool(batches))
    if not batches:
        return NextStep(
            _(
                "The model is ready. Give it a batch of pictures, good and bad, and see its "
                "verdicts."
            ),
            _("Inspect a batch"),
            reverse("batch_new", args=[product]),
            "photo-scan",
        )
    return None


def _after_first_try(product: object, model: ModelVersion, tried: bool) -> NextStep:
    """A first try judges nothing but trials: one of them, then a model that is meant to judge."""
    if tried:
        return NextStep(
            _(
                "So far there is only a first try. Train with Compact, so that a model can judge "
                "production."
            ),
            _("Train with Compact"),
            reverse("train", args=[product]),
            "cpu",
        )
    return NextStep(
        _(
            "Model %(n)s is ready for trials: give it a batch of pictures, good and bad. To judge "
            "production, train with Compact."
        )
        % {"n": model.number},
        _("Try it on a batch"),
        reverse("batch_new", args=[product]),
        "photo-scan",
    )


def _to_first_model(usable: int, product: object, upload: str) -> NextStep:
    if usable == 0:
        return NextStep(
            _(
                "Upload pictures of good parts; %(n)s are enough to begin, some hundreds are "
                "better. No defects are needed."
            )
            % {"n": MIN_PICTURES},
            _("Upload pictures"),
            upload,
            "upload",
        )
    if usable < MIN_PICTURES:
        return NextStep(
            _("%(here)s of %(n)s pictures are here: %(more)s more and training can start.")
            % {"here": usable, "n": MIN_PICTURES, "more": MIN_PICTURES - usable},
            _("Upload pictures"),
            upload,
            "upload",
        )
    return NextStep(
        _("%(n)s pictures of good parts are here: enough to train a first model.") % {"n": usable},
        _("Train a model"),
        reverse("train", args=[product]),
        "cpu",
    )
