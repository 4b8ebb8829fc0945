"""Maps as pictures: the inferno colours on the model's absolute scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Polynomial fit of matplotlib's inferno, by Matt Zucker (public domain).
_COEFFICIENTS = np.array(
    [
        [0.0002189403691192265, 0.001651004631001012, -0.01948089843709184],
        [0.1065134194856116, 0.5639564367884091, 3.932712388889277],
        [11.60249308247187, -3.972853965665698, -15.9423941062914],
        [-41.70399613139459, 17.43639888205313, 44.35414519872813],
        [77.162935699427, -33.40235894210092, -81.80730925738993],
        [-71.31942824499214, 32.62606426397723, 73.20951985803202],
        [25.13112622477341, -12.24266895238567, -23.07032500287172],
    ]
)
OPAQUE_AT = 0.15  # share of the scale over which a map fades in


def inferno(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Values (…,) in 0..1 to colours (…, 3)."""
    t = np.clip(values, 0, 1)[..., None]
    colours = np.zeros((*values.shape, 3))
    for coefficients in _COEFFICIENTS[::-1]:
        colours = colours * t + coefficients
    return np.asarray(np.clip(colours, 0, 1) * 255 + 0.5, np.uint8)


def render_heatmap(heat: NDArray[np.float32], low: float, high: float) -> Image.Image:
    """RGBA picture of a map (H, W): transparent below `low`, brightest from `high` on."""
    share = (np.asarray(heat, np.float64) - low) / max(high - low, 1e-12)
    alpha = np.clip(share / OPAQUE_AT, 0, 1) * 255 + 0.5
    rgba = np.dstack([inferno(share), alpha.astype(np.uint8)])
    return Image.fromarray(rgba)
