"""Regions of a picture as one path of an SVG, in pixels of the picture."""

from collections.abc import Iterable, Mapping
from typing import Any

ON_A_TILE = 6  # the strongest; more are mud at 150 pixels


def strongest(regions: Iterable[Mapping[str, Any]], most: int) -> list[Mapping[str, Any]]:
    """The regions with the highest peaks, highest first."""
    return sorted(regions, key=lambda one: -float(one.get("peak") or 0.0))[:most]


def corners(region: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Its outline in fractions of the picture; its box where the result has no outline."""
    if region.get("polygon"):
        return [(float(x), float(y)) for x, y in region["polygon"]]
    x, y = float(region["x"]), float(region["y"])
    right, bottom = x + float(region["width"]), y + float(region["height"])
    return [(x, y), (right, y), (right, bottom), (x, bottom)]


def path(regions: Iterable[Mapping[str, Any]], width: float, height: float) -> str:
    """`M… L… Z` per region. Always points, whatever the language; a tenth of a pixel will do."""
    return "".join(
        "M" + "L".join(f"{x * width:.1f} {y * height:.1f}" for x, y in corners(region)) + "Z"
        for region in regions
    )
