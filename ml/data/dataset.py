"""The pictures of a run, opened once and kept as bytes at the preset's size."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ml.data.alignment import Aligner
from ml.data.model_view import model_view
from ml.data.pictures import PictureError, read_picture

MAX_PIXELS = 80_000_000


@dataclass(frozen=True)
class Source:
    """One picture of the job: the app's id and where its bytes lie."""

    id: str
    path: Path


def digest(pictures: Iterable[Source]) -> str:
    """SHA-256 of the pictures' names and sizes in bytes, in whatever order; -1 for what is gone."""
    lines = sorted(f"{one.id}\0{size_of(one.path)}\n" for one in pictures)
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()


def size_of(path: Path) -> int:
    """Bytes of a file; -1 where there is none."""
    return path.stat().st_size if path.is_file() else -1


@dataclass
class PictureSet:
    """Pictures at one size; row i of `pixels` is the picture `ids[i]`.

    pixels: uint8 (N, 3, S, S); sizes: the original (width, height); unreadable: id → reason;
    symmetries: what the parts may do and stay good, for training to show them that way;
    transforms: how each was brought to the common pose, empty where none is; notes: what was
    changed on opening → how many pictures.
    """

    ids: list[str]
    pixels: Tensor
    sizes: list[tuple[int, int]]
    unreadable: dict[str, str] = field(default_factory=dict)
    symmetries: tuple[str, ...] = ()
    transforms: list[Tensor | None] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.ids)

    def subset(self, ids: Sequence[str]) -> PictureSet:
        """The pictures with these ids, in this order."""
        place = {id_: index for index, id_ in enumerate(self.ids)}
        rows = [place[id_] for id_ in ids]
        sizes = [self.sizes[r] for r in rows]
        transforms = [self.transforms[r] for r in rows] if self.transforms else []
        return PictureSet(list(ids), self.pixels[rows], sizes, transforms=transforms)

    def floats(self, rows: Sequence[int] | Tensor | slice = slice(None)) -> Tensor:
        """Rows as (n, 3, S, S) in 0..1."""
        return self.pixels[rows].float() / 255


def load_pictures(
    sources: Sequence[Source],
    size: int,
    progress: Callable[[int, int], None] | None = None,
    aligner: Aligner | None = None,
) -> PictureSet:
    """Open every picture as the model sees it; one that cannot be read is left out with its
    reason."""
    ids: list[str] = []
    squares: list[Tensor] = []
    sizes: list[tuple[int, int]] = []
    transforms: list[Tensor | None] = []
    unreadable: dict[str, str] = {}
    notes: Counter[str] = Counter()
    for index, source in enumerate(sources):
        try:
            picture, info = read_picture(source.path, MAX_PIXELS)
        except (PictureError, OSError) as error:
            unreadable[source.id] = str(error) or type(error).__name__
        else:
            ids.append(source.id)
            notes.update(info.notes)
            seen = model_view(picture, size, aligner)
            squares.append(seen.pixels)
            transforms.append(seen.transform)
            sizes.append(picture.size)
        if progress:
            progress(index + 1, len(sources))
    pixels = torch.stack(squares) if squares else torch.zeros(0, 3, size, size, dtype=torch.uint8)
    return PictureSet(ids, pixels, sizes, unreadable, transforms=transforms, notes=notes)
