"""Models that judge are loaded before the first unit asks: at the start of a scoring process,
and within seconds of a promotion."""

import logging
from datetime import datetime, timedelta

from django.utils import timezone

from inspection import ml_adapter
from inspection.models import Inspection, ModelVersion

log = logging.getLogger(__name__)

RECENT = timedelta(days=30)


def warm(given_up: set[str]) -> list[str]:
    """Load what is wanted and not warm yet; returns the folders. One that cannot be loaded is
    left to the first unit, whose verdict says why (`given_up` remembers it)."""
    loaded = []
    for folder in wanted():
        if ml_adapter.is_warm(folder) or folder in given_up:
            continue
        try:
            ml_adapter.warm_up(folder)
        except Exception as error:
            given_up.add(folder)
            log.warning("model %s cannot be loaded ahead: %s", folder, error)
        else:
            loaded.append(folder)
    return loaded


def wanted() -> list[str]:
    """Folders of active models: the viewpoints with the latest inspections, or promoted of late.
    One place is left free: the model of a trial must not be thrown out again and again."""
    since = timezone.now() - RECENT
    latest = {
        version.folder: max(filter(None, (version.promoted_at, _last_used(version))), default=since)
        for version in ModelVersion.objects.filter(state=ModelVersion.State.ACTIVE)
    }
    recent = sorted((at, folder) for folder, at in latest.items() if at > since)
    return [folder for _, folder in recent[::-1][: ml_adapter.WARM_MODELS - 1]]


def _last_used(version: ModelVersion) -> datetime | None:
    rows = Inspection.objects.filter(viewpoint=version.viewpoint_id).order_by("-id")
    return rows.values_list("created_at", flat=True).first()
