"""Random draws that are the same on every machine.

Only `Generator.random` is used: numpy may change the streams of its other distributions between
versions, and a normal deviate goes through the platform's logarithm. The bell curves here are
sums of uniform draws, which is plain addition.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
FloatMap = NDArray[np.float32]


class Dice:
    """Draws for one picture, seeded by integers (the set's seed, the split, the number)."""

    def __init__(self, *seed: int) -> None:
        self._rng = np.random.Generator(np.random.PCG64(seed))

    def between(self, low: float, high: float) -> float:
        """Uniform in [low, high)."""
        return low + (high - low) * float(self._rng.random())

    def bell(self, spread: float) -> float:
        """Bell-shaped around 0 with standard deviation `spread`, never beyond 2.45 of it."""
        total = sum(float(self._rng.random()) for _ in range(2)) - 1.0
        return total * spread * 2.449489742783178

    def count(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self._rng.random() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        return float(self._rng.random()) < probability

    def choice(self, options: Sequence[T]) -> T:
        return options[self.count(0, len(options) - 1)]

    def letters(self, alphabet: str, length: int) -> str:
        return "".join(self.choice(alphabet) for _ in range(length))

    def noise(self, *shape: int) -> FloatMap:
        """Bell-shaped noise with mean 0 and standard deviation 1, float32."""
        a, b, c = (self._rng.random(shape, dtype=np.float32) for _ in range(3))
        return (a + b + c - np.float32(1.5)) * np.float32(2.0)
