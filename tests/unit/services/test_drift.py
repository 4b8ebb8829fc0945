"""Drift: limits from a model's first days, an alert that opens once and closes again."""

import math
from datetime import date, timedelta

import pytest

from inspection.models import DriftAlert, ModelVersion, Notification
from inspection.services import drift
from inspection.services.drift import Day, chart
from tests.factories.model_version import ModelVersionFactory
from tests.factories.station import StationFactory
from tests.factories.tally import HourlyTallyFactory
from tests.factories.user import UserFactory

FIRST = date(2026, 3, 2)
USUAL = [0.30, 0.31] * 10


def days(means: list[float], n: int = 400) -> list[Day]:
    return [
        Day(FIRST + timedelta(days=i), n, n * m, n * (m * m + 0.0025)) for i, m in enumerate(means)
    ]


def test_limits_by_hand() -> None:
    """Moving range 0.01 each → σ = 0.01/1.128; first limit 3·0.2·σ, later 3·σ·√(0.2/1.8)."""
    found = chart(days(USUAL))
    sigma = 0.01 / 1.128
    first, last = found.points[0], found.points[-1]
    assert found.centre == pytest.approx(0.305)
    assert first.ewma == pytest.approx(0.305 + 0.2 * (0.30 - 0.305))
    assert first.high == pytest.approx(0.305 + 3 * 0.2 * sigma)
    assert last.high == pytest.approx(0.305 + 3 * sigma * math.sqrt(0.2 / 1.8), rel=1e-3)
    assert found.since_outside is None


def test_a_slow_shift_is_seen() -> None:
    found = chart(days(USUAL + [0.305 + 0.001 * step for step in range(25)]))
    assert found.since_outside is not None
    assert FIRST + timedelta(days=24) < found.since_outside < FIRST + timedelta(days=45)


def test_one_odd_day_is_no_drift() -> None:
    assert chart(days([*USUAL, 0.33, 0.305, 0.305])).since_outside is None


def test_no_limits_before_there_are_days_enough() -> None:
    found = chart(days([0.3, 0.31] * 3))
    assert not found.known
    assert found.since_outside is None
    assert chart(days(USUAL, n=3)).points == [], "a few parts a day say nothing"
    assert chart([]).points == []


def test_parts_that_vary_widen_the_limits() -> None:
    """Days that happen to be alike do not make limits narrower than chance allows."""
    found = chart(days([0.3] * 20, n=25))
    assert found.points[0].high == pytest.approx(0.3 + 3 * 0.2 * math.sqrt(0.0025 / 25))


@pytest.mark.django_db
class TestWatch:
    def fill(self, version: ModelVersion, last: float, station: object = None) -> None:
        means = [*USUAL, *[0.305] * 10, *[last] * 10]
        for ago, value in zip(range(len(means) - 1, -1, -1), means, strict=True):
            HourlyTallyFactory(
                model_version=version, station=station, days_ago=ago, mean=value, inspected=400
            )

    def test_an_alert_opens_once_is_told_and_closes(self) -> None:
        engineer, viewer = UserFactory(role="engineer"), UserFactory(role="viewer")
        version = ModelVersionFactory()
        self.fill(version, 0.36, StationFactory())
        self.fill(ModelVersionFactory(), 0.305)
        assert (drift.watch(), drift.watch()) == (1, 1)
        alert = DriftAlert.objects.get()
        assert (alert.model_version, alert.ended_at) == (version, None)
        assert alert.value > alert.high
        told = Notification.objects.get()
        assert (told.user, told.kind) == (engineer, "drift")
        assert told.user != viewer
        version.tallies.filter(score_sum__gt=0.33 * 400).delete()
        assert drift.watch() == 0
        alert.refresh_from_db()
        assert alert.ended_at is not None

    def test_everybody_is_told_in_their_own_language(self) -> None:
        people = {lang: UserFactory(role="engineer", language=lang) for lang in ("en", "zh-hant")}
        version, station = ModelVersionFactory(), StationFactory()
        self.fill(version, 0.36, station)
        assert drift.watch() == 1
        english, chinese = (Notification.objects.get(user=user) for user in people.values())
        place = f"{version.viewpoint.product.name}, {station}"
        assert english.title == f"Scores of good parts drift: {place}"
        assert chinese.title == f"良品分數漂移：{place}"
        assert "The smoothed mean score is 0.3" in english.text
        assert "平滑後的平均分數為 0.3" in chinese.text

    def test_a_retired_model_is_not_watched(self) -> None:
        self.fill(ModelVersionFactory(state=ModelVersion.State.RETIRED), 0.36)
        assert drift.watch() == 0
