"""Declared symmetries: what a part may do and still be the same good part."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from ml.metrics import auroc

SYMMETRIES = ("free_rotation", "quarter_turns", "mirror_left_right", "mirror_top_bottom", "shift")
SHIFT = 0.08  # of the picture's edge
ESTIMATE_ON = 100  # pictures
ESTIMATE_SIZE = 32  # pixels: enough to tell how a part lies
PROPOSED_BELOW = 0.65  # AUROC


def transformed(picture: Tensor, symmetry: str, rng: random.Random) -> Tensor:
    """The picture (3, S, S), bytes or floats, as this symmetry may show it.

    What a turn or a shift uncovers is filled with the border's own pixels.
    """
    if symmetry == "mirror_left_right":
        return picture.flip(-1)
    if symmetry == "mirror_top_bottom":
        return picture.flip(-2)
    if symmetry == "quarter_turns":
        return torch.rot90(picture, rng.randint(1, 3), (-2, -1))
    size = picture.shape[-1]
    if symmetry == "shift":
        reach = round(SHIFT * size)
        dy, dx = rng.randint(-reach, reach), rng.randint(-reach, reach)
        return _shifted(picture, dy, dx)
    if symmetry == "free_rotation":
        margin = size // 4
        wide = F.pad(picture, [margin] * 4, padding_mode="edge")
        turned = F.rotate(wide, rng.uniform(0, 360), interpolation=v2.InterpolationMode.BILINEAR)
        return turned[..., margin : margin + size, margin : margin + size]
    raise ValueError(f"{symmetry!r} is no symmetry; choose from {', '.join(SYMMETRIES)}")


def _shifted(picture: Tensor, dy: int, dx: int) -> Tensor:
    reach = max(abs(dy), abs(dx), 1)
    size = picture.shape[-1]
    wide = F.pad(picture, [reach] * 4, padding_mode="edge")
    return wide[..., reach + dy : reach + dy + size, reach + dx : reach + dx + size]


def keeps_positions(symmetries: Sequence[str]) -> bool:
    """Whether a position in the picture still means a place on the part."""
    return not symmetries


def copies(symmetries: Sequence[str]) -> list[str]:
    """How often a picture is shown: as it is (""), and then by the name of a symmetry."""
    often = {"free_rotation": 4, "quarter_turns": 3}
    return ["", *(s for s in symmetries for _ in range(often.get(s, 1)))]


@dataclass
class Squares(Sequence[Tensor]):
    """Pictures opened when asked for, as floats (3, V, V) in 0..1: each as it is, and then once
    more per symmetry (four times for a free rotation)."""

    open: Callable[[str], Tensor]  # gives bytes (3, V, V)
    ids: Sequence[str]
    symmetries: Sequence[str] = ()
    device: torch.device | str = "cpu"

    def on(self, device: torch.device) -> Squares:
        """The same pictures on a device."""
        return Squares(self.open, self.ids, self.symmetries, device)

    @property
    def owners(self) -> list[int]:
        """The place in `ids` of the picture that each is a show of: all as they are come first."""
        return list(range(len(self.ids))) * len(copies(self.symmetries))

    def __len__(self) -> int:
        return len(self.ids) * len(copies(self.symmetries))

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        show, place = divmod(index, len(self.ids))
        picture = self.open(self.ids[place]).to(self.device).float() / 255
        symmetry = copies(self.symmetries)[show]
        if not symmetry:
            return picture
        return transformed(picture, symmetry, random.Random(f"{symmetry}:{show}:{place}"))

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))


def estimate(pictures: Tensor, seed: int) -> dict[str, float]:
    """How clearly each symmetry's pictures stand out from normals (N, 3, S, S) bytes: an AUROC.

    A normal that was turned, mirrored or shifted is as near to its nearest other normal as an
    untouched one only where the normals themselves lie that way: 0.5, where they never do: 1.
    """
    small = _small(pictures[:ESTIMATE_ON])
    distances = torch.cdist(small, small)
    distances.fill_diagonal_(torch.inf)
    usual = distances.min(1).values
    found = {}
    for symmetry in SYMMETRIES:
        rng = random.Random(f"{symmetry}:{seed}")
        moved = torch.stack([transformed(p, symmetry, rng) for p in pictures[:ESTIMATE_ON]])
        away = torch.cdist(_small(moved), small)
        away.fill_diagonal_(torch.inf)
        unusual = away.min(1).values
        labels = torch.arange(2 * len(usual)) >= len(usual)
        found[symmetry] = auroc(torch.cat([usual, unusual]).numpy(), labels.numpy())
    return found


def _small(pictures: Tensor) -> Tensor:
    grey = pictures.float().mean(1, keepdim=True) / 255
    return torch.nn.functional.adaptive_avg_pool2d(grey, ESTIMATE_SIZE).flatten(1)


def proposed(estimates: dict[str, float]) -> list[str]:
    """The symmetries that the normals themselves show."""
    return [name for name, value in estimates.items() if value < PROPOSED_BELOW]
