"""Which normals are trained on, which choose the settings, which calibrate."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from ml.train.job import Refused

MIN_CALIBRATION = 40
# Pictures that are looked at through tiles: each costs as much as some thirty whole ones, and a
# fifth of a thousand would take longer than any usual budget.
MOST_LARGE_CALIBRATION = 60
MIN_TRAIN = 20
MIN_USABLE = MIN_CALIBRATION + MIN_TRAIN
MIN_FEW = 5  # where a set is as small as it is, and little is promised
HELD_OUT_SHARE, HELD_OUT_FROM, HELD_OUT_MOST = 0.12, 100, 48


@dataclass(frozen=True)
class Split:
    """Ids of three disjoint sets; `held_out` is empty where pictures are few."""

    train: list[str]
    held_out: list[str]
    calibration: list[str]


def calibration_count(usable: int, large: bool = False, few: bool = False) -> int:
    """20 % of the normals, at least 40; of pictures that are looked at through tiles at most 60.
    Where there are fewer than 60 in all, a third of them; with `few` also up to 120, so that of
    60 two thirds are learned from, as of 59."""
    if usable < (3 * MIN_CALIBRATION if few else MIN_USABLE):
        return max(1, usable // 3)
    count = max(MIN_CALIBRATION, round(0.2 * usable))
    return min(count, MOST_LARGE_CALIBRATION) if large else count


def check_enough(usable: int, few: bool = False) -> None:
    """Raise Refused where there are too few usable pictures, saying how many more it takes.

    few: five are enough. A limit that so few set says little (`smallest_alpha`); a ranking needs
    none.
    """
    if usable == 0:
        raise Refused(
            "too_few_images",
            f"There is no usable picture of a good part; upload at least {MIN_USABLE}.",
        )
    if few:
        if usable < MIN_FEW:
            raise Refused(
                "too_few_images",
                f"There are {usable} usable pictures of good parts and at least {MIN_FEW} are "
                f"needed; add {MIN_FEW - usable} more.",
            )
        return
    if usable < MIN_USABLE:
        raise Refused(
            "too_few_images",
            f"There are {usable} usable pictures of good parts and at least {MIN_USABLE} are "
            f"needed ({MIN_CALIBRATION} to calibrate, {MIN_TRAIN} to train); "
            f"add {MIN_USABLE - usable} more.",
        )


def draw(ids: Sequence[str], seed: int, large: bool = False, few: bool = False) -> Split:
    """Split by a hash of seed and id, which does not depend on the order of the job file.

    large: whether the pictures are looked at through tiles; few: see `check_enough`.
    """

    def rank(id_: str) -> bytes:
        return hashlib.sha256(f"{seed}:{id_}".encode()).digest()

    check_enough(len(ids), few)
    shuffled = sorted(ids, key=rank)
    calibration = calibration_count(len(ids), large, few)
    held_out = 0
    if len(ids) >= HELD_OUT_FROM:
        held_out = min(HELD_OUT_MOST, round(HELD_OUT_SHARE * len(ids)))
    return Split(
        train=sorted(shuffled[calibration + held_out :]),
        held_out=sorted(shuffled[calibration : calibration + held_out]),
        calibration=sorted(shuffled[:calibration]),
    )


def without(
    split: Split, excluded: set[str], large: bool = False, few: bool = False
) -> Split | None:
    """The split after vetting took pictures out, or None where it must be drawn again.

    Calibration pictures must never have been trained on, so what it lacks comes from the
    held-out set; training may have begun on the others (pre-training runs before the vetting
    where the encoder stands in for ImageNet weights).
    """
    train = [i for i in split.train if i not in excluded]
    held_out = [i for i in split.held_out if i not in excluded]
    calibration = [i for i in split.calibration if i not in excluded]
    wanted = calibration_count(len(train) + len(held_out) + len(calibration), large, few)
    missing = max(0, wanted - len(calibration))
    calibration, held_out = calibration + held_out[:missing], held_out[missing:]
    least = (1, MIN_FEW - 1) if few else (MIN_CALIBRATION, MIN_TRAIN)
    if len(calibration) < least[0] or len(train) < least[1]:
        return None
    return Split(train, held_out, sorted(calibration))
