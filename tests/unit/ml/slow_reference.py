"""The paper's equations as plain loops: slow, and written from the text alone."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def cosine(a: Array, b: Array) -> float:
    """Eq. 1 and 2: the inner product over the product of the lengths."""
    length = math.sqrt(float(a @ a)) * math.sqrt(float(b @ b))
    return float(a @ b) / length if length > 0 else 0.0


def attention(features: Array, hidden: NDArray[np.bool_]) -> Array:
    """CSA over one picture's features (C, H, W); hidden (H, W)."""
    _, height, width = features.shape
    places = [(y, x) for y in range(height) for x in range(width)]
    known = [p for p in places if not hidden[p]]
    result = features.copy()
    if not known:
        return result
    previous: Array | None = None
    for y, x in (p for p in places if hidden[p]):
        patch = features[:, y, x]
        similar = [cosine(patch, features[:, ky, kx]) for ky, kx in known]
        best = int(np.argmax(similar))
        matched = features[:, known[best][0], known[best][1]]
        d_max = max(0.0, similar[best])
        d_ad = 0.0 if previous is None else max(0.0, cosine(patch, previous))
        if d_ad + d_max == 0:
            generated = matched
        else:
            generated = (d_ad * (previous if previous is not None else 0) + d_max * matched) / (
                d_ad + d_max
            )
        result[:, y, x] = generated
        previous = generated
    return result


def cross_correlation(a: Array, b: Array, i: int, j: int) -> float:
    """C_ij of Eq. 6 for embeddings (N, D) that are centred along the batch."""
    za, zb = a[:, i] - a[:, i].mean(), b[:, j] - b[:, j].mean()
    return cosine(za, zb)


def barlow_twins(a: Array, b: Array, weight: float) -> float:
    """L_BT of Eq. 5 over embeddings (N, D)."""
    invariance, redundancy = 0.0, 0.0
    for i in range(a.shape[1]):
        invariance += (1 - cross_correlation(a, b, i, i)) ** 2
        for j in range(a.shape[1]):
            if j != i:
                redundancy += cross_correlation(a, b, i, j) ** 2
    return invariance + weight * redundancy


def reconstruction(rough: Array, refined: Array, image: Array, mask: Array) -> float:
    """L_r of Eq. 3 as means over channels and masked pixels: (C, H, W) and mask (H, W)."""
    return masked_mean_of(abs(rough - image), mask) + masked_mean_of(abs(refined - image), mask)


def consistency(encoded: Array, decoded: Array, target: Array, mask: Array) -> float:
    """L_c of Eq. 4, its second term read as CSA_d: squared L2 norms over y in M.

    Divided by the number of positions and channels, so that a mean is left of the sum.
    """
    channels, height, width = target.shape
    total, count = 0.0, 0
    for y in range(height):
        for x in range(width):
            if mask[y, x]:
                for features in (encoded, decoded):
                    difference = features[:, y, x] - target[:, y, x]
                    total += float(difference @ difference)
                count += 1
    return total / (count * channels)


def masked_mean_of(values: Array, mask: Array) -> float:
    """Mean of (C, H, W) over the masked positions (H, W) and channels."""
    total, count = 0.0, 0
    for c in range(values.shape[0]):
        for y in range(values.shape[1]):
            for x in range(values.shape[2]):
                if mask[y, x]:
                    total += values[c, y, x]
                    count += 1
    return total / count


def eq7(original: Array, restored: Array) -> float:
    """Eq. 7 over feature maps (C, h, w)."""
    _, height, width = original.shape
    total = 0.0
    for y in range(height):
        for x in range(width):
            difference = original[:, y, x] - restored[:, y, x]
            total += float(difference @ difference)
    return total / (height * width)
