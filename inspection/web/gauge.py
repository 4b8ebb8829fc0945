"""A score drawn on the model's own absolute scale, with the limits that decide."""

from dataclasses import dataclass

from inspection.models import ModelVersion, OperatingPoint

MARGIN = 0.06  # of the width, kept free beyond the largest thing that is drawn
TICKS = 120  # of calibration parts; more are thinned evenly


@dataclass(frozen=True)
class Gauge:
    """Positions in per cent of the width. The scale is the model's: it never depends on the
    picture shown; a score beyond it is drawn at its end and said to be `over`."""

    low: float
    high: float
    review: float
    fail: float
    score: float | None
    over: bool
    review_value: float
    fail_value: float
    score_value: float | None
    map_start: float
    map_end: float
    ticks: list[float]

    @classmethod
    def of(cls, version: ModelVersion, point: OperatingPoint, score: float | None) -> "Gauge":
        good = list(version.manifest.get("calibration", {}).get("scores", []))
        low = min(version.scale_low, point.threshold_review, *good[:1])
        top = max(version.scale_high, point.threshold_fail)
        high = top + (top - low) * MARGIN
        low -= (top - low) * MARGIN
        span = (high - low) or 1.0

        def place(value: float) -> float:
            return float(round(min(100.0, max(0.0, (value - low) / span * 100)), 2))

        return cls(
            low=low,
            high=high,
            review=place(point.threshold_review),
            fail=place(point.threshold_fail),
            score=None if score is None else place(score),
            over=score is not None and score > high,
            review_value=point.threshold_review,
            fail_value=point.threshold_fail,
            score_value=score,
            map_start=place(version.scale_low),
            map_end=place(version.scale_high),
            ticks=[place(score) for score in good[:: max(1, len(good) // TICKS)]],
        )

    @property
    def map_width(self) -> float:
        return round(self.map_end - self.map_start, 2)

    @property
    def review_width(self) -> float:
        return round(max(0.0, self.fail - self.review), 2)

    @property
    def fail_width(self) -> float:
        return round(100 - self.fail, 2)
