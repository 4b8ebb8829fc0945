"""Which models a scoring process holds ready before the first unit asks for one."""

from datetime import timedelta

import pytest
from django.utils import timezone

from inspection import ml_adapter
from inspection.models import Inspection, ModelVersion
from inspection.services import warm_models
from tests.factories.jobs import make_version

pytestmark = pytest.mark.django_db


def active(days_ago: float | None = None) -> ModelVersion:
    """An active model, promoted so long ago."""
    version = make_version()
    at = None if days_ago is None else timezone.now() - timedelta(days=days_ago)
    ModelVersion.objects.filter(pk=version.pk).update(promoted_at=at)
    return version


def used(version: ModelVersion, days_ago: float) -> None:
    one = Inspection.objects.create(
        viewpoint=version.viewpoint,
        model_version=version,
        operating_point=version.operating_points.get(),
    )
    at = timezone.now() - timedelta(days=days_ago)
    Inspection.objects.filter(pk=one.pk).update(created_at=at)


def test_the_latest_used_come_first_and_one_place_stays_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ml_adapter, "WARM_MODELS", 3)
    long_idle, old_but_used, promoted, never = active(400), active(400), active(1), active()
    used(long_idle, 90)
    used(old_but_used, 0.1)
    used(never, 10)
    assert warm_models.wanted() == [old_but_used.folder, promoted.folder]
    monkeypatch.setattr(ml_adapter, "WARM_MODELS", 9)
    assert warm_models.wanted() == [old_but_used.folder, promoted.folder, never.folder]


def test_a_retired_model_is_not_wanted() -> None:
    version = active(1)
    ModelVersion.objects.filter(pk=version.pk).update(state=ModelVersion.State.RETIRED)
    assert warm_models.wanted() == []


def test_each_is_loaded_once_and_a_broken_one_is_tried_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sound, broken = active(2), active(1)
    loaded: set[str] = set()
    asked: list[str] = []

    def load(folder: str) -> None:
        asked.append(folder)
        if folder == broken.folder:
            raise ValueError("manifest.json: the hash is another")
        loaded.add(folder)

    monkeypatch.setattr(ml_adapter, "is_warm", loaded.__contains__)
    monkeypatch.setattr(ml_adapter, "warm_up", load)
    given_up: set[str] = set()
    assert warm_models.warm(given_up) == [sound.folder]
    assert warm_models.warm(given_up) == []
    assert asked == [broken.folder, sound.folder]
    assert given_up == {broken.folder}
