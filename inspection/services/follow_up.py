"""What the end of a training run sets off: a gate for its model, and a word to who must know."""

import logging
from typing import Any

from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from inspection import policies
from inspection.models import JobState, ModelVersion, TrainingRun, Viewpoint

from . import gate
from .notifications import notify

log = logging.getLogger(__name__)


def run_ended(run: TrainingRun) -> None:
    """Called once a worker let go of a run. Nothing that goes wrong here harms the run."""
    try:
        if run.state == JobState.DONE:
            _made_a_model(run)
        elif run.state == JobState.FAILED:
            _tell(run, _("Run {n} of {product} failed"), run.error)
        elif run.state == JobState.PAUSED:
            _tell(run, _("Run {n} of {product} waits for your decision"))
    except Exception:
        log.exception("what follows run %s was not done", run.pk)


def _made_a_model(run: TrainingRun) -> None:
    version = ModelVersion.objects.select_related("viewpoint__product").get(training_run=run)
    if version.state != ModelVersion.State.CANDIDATE:
        _tell(run, _("Run {n} of {product}: its model judges from now on"), version=version)
    elif gate.start_for(version) is None:  # with a gate, its outcome is the news
        _tell(
            run,
            _("Run {n} of {product}: its model waits to be promoted"),
            _("There is no golden set to hold it against."),
            version,
        )


def _tell(
    run: TrainingRun, title: Any, text: Any = "", version: ModelVersion | None = None
) -> None:
    viewpoint: Viewpoint = run.viewpoint
    notify(
        policies.MANAGE,
        kind="training",
        title=format_lazy(title, n=run.number, product=viewpoint.product.name),
        text=text,
        url=f"/models/{version.pk}/" if version else f"/runs/{run.pk}/",
        product=viewpoint.product,
    )
