"""A set to measure on: a folder in MVTec AD's layout, or in one of its relatives.

`train/good`, `test/good`, `test/<kind of defect>`, and where there are any the defects' masks in
`ground_truth/<kind>`, named like the picture with or without `_mask`, or, where a picture has
several, in a folder of its name. Masks may also lie flat in `ground_truth`, and in a folder of
masks inside `test` or beside the pictures (MVTec 3D-AD: `test/<kind>/rgb` and `gt`). Good parts may
also be called `ok` (BTAD) or `normal`, and lie in the folder itself beside `test`. VisA as it is
published (`Data/Images/Normal`, `Data/Images/Anomaly`) is divided by its `split_csv/1cls.csv`.
"""

from __future__ import annotations

import csv
import hashlib
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ml.commands.folders import (
    GOOD_NAMES,
    MASK_FOLDERS,
    SUFFIXES,
    child,
    good_pictures,
    marked,
    masks_beside,
    pictures_under,
    refused_under,
    without_masks,
)
from ml.data.dataset import MAX_PIXELS, Source, digest
from ml.data.pictures import PictureError, inspect_picture

GOOD = "good"
EDGE = 512  # long edge at which maps and masks meet; larger masks would cost memory, not accuracy
# Pixels of a whole test set at most: the figures of maps take about 70 bytes for each.
MOST_PIXELS = 64_000_000
LEAST_EDGE = 64
DIGITS = 16  # of a digest: enough for a name
SHAPE = 0.02  # by how much a mask's aspect ratio may differ from its picture's


class BenchError(Exception):
    """A bench that cannot be run as asked; the message names cause and remedy."""


@dataclass(frozen=True)
class TestPicture:
    """One picture of `test/`: `name` is its path below that folder; `mask` a file, or a folder of
    several (MVTec LOCO: one for each defect)."""

    name: str
    path: Path
    kind: str
    mask: Path | None

    @property
    def defect(self) -> bool:
        """Whether the folder that it lies in says that it is defective."""
        return self.kind != GOOD


@dataclass(frozen=True)
class BenchSet:
    """A set's name, its training normals and its test pictures in the order of their names.

    content: a digest of names and sizes, which tells sets of one name apart. left_out: test
    pictures that cannot be read. notes: sentences on what in the folder is not tested.
    """

    name: str
    root: Path
    train: list[Path]
    test: list[TestPicture]
    content: str = ""
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def defects(self) -> NDArray[np.bool_]:
        """(N,): which test pictures are defective."""
        return np.array([picture.defect for picture in self.test])

    @property
    def edge(self) -> int:
        """Long edge at which the maps and masks of so many test pictures are compared."""
        return max(LEAST_EDGE, min(EDGE, math.isqrt(MOST_PIXELS // max(1, len(self.test)))))


def read_set(root: Path) -> BenchSet:
    """Look through a folder. Raises BenchError where normals or defects are missing."""
    root = root.resolve()
    visa = None if child(root, "train") else child(child(root, "data") or root, "images")
    train, test = _divided(root, visa) if visa else _laid_out(root)
    for what, there in (
        ("train/good has no pictures", bool(train)),
        ("test/good has no pictures", any(not p.defect for p in test)),
        ("test has no folder with pictures of defects", any(p.defect for p in test)),
    ):
        if not there:
            raise BenchError(
                f"{root}: {what}; the bench needs MVTec AD's layout: train/good, test/good, "
                "test/<kind of defect> (good may be called ok or normal)."
            )
    content = content_of(root, [*train, *(picture.path for picture in test)])
    return BenchSet(root.name, root, train, test, content, notes=_notes(root, test))


def content_of(root: Path, pictures: Iterable[Path]) -> str:
    """A digest of where pictures lie below a folder and how many bytes each has."""
    named = (Source(os.path.relpath(path, root), path) for path in pictures)
    return digest(named)[:DIGITS]


def _notes(root: Path, test: list[TestPicture]) -> tuple[str, ...]:
    """What is under a set's root and not tested, where that may be meant otherwise."""
    notes = []
    masks = child(child(root, "test") or root / "test", *MASK_FOLDERS)
    if masks and not any(p.mask and p.mask.is_relative_to(masks) for p in test):
        notes.append(
            f"{masks} is taken for a folder of masks and is not tested; where it holds pictures of "
            "defects, give it another name."
        )
    refused = refused_under(root)
    return (*notes, refused) if refused else tuple(notes)


def read_sets(roots: list[Path]) -> list[BenchSet]:
    """All sets. Raises BenchError where two would have the same name in the table."""
    sets = [read_set(root) for root in roots]
    names = [one.name for one in sets]
    for name in names:
        if names.count(name) > 1:
            raise BenchError(f"Two folders are named {name}; the table could not tell them apart.")
    return sets


def _laid_out(root: Path) -> tuple[list[Path], list[TestPicture]]:
    """Training normals and test pictures by the folders that they lie in."""
    folder = child(root, "test") or root / "test"
    pictures = pictures_under(folder)
    beside = masks_beside(pictures)
    shown = [
        path for path in without_masks(folder, pictures) if path.parent != folder or path in beside
    ]
    masks = _Masks(root, folder, shown)
    try:
        train = good_pictures(root)
        test = [_test_picture(folder, path, beside.get(path), masks.of) for path in shown]
    except ValueError as error:
        raise BenchError(str(error)) from error
    return train, test


def _test_picture(
    folder: Path, path: Path, beside: Path | None, find: Callable[[Path], Path | None]
) -> TestPicture:
    """One picture below the folder `test`; `find` looks for its mask, which may lie beside it."""
    inside = path.relative_to(folder)
    if path.parent == folder and beside:  # KolektorSDD2: what is good only the masks say
        defect = marked(beside)
        return TestPicture(inside.as_posix(), path, "defect" if defect else GOOD, beside)
    kind = _kind(inside.parts[0])
    mask = None if kind == GOOD else beside or find(path)
    return TestPicture(inside.as_posix(), path, kind, mask)


class _Masks:
    """Finds the masks of defects in `test` (`folder`), wherever masks are put.

    Flat among the masks of all kinds one is found by its name alone, so that no two defects may
    have that name.
    """

    def __init__(self, root: Path, folder: Path, pictures: Sequence[Path]) -> None:
        self.root, self.folder = root, folder
        kinds = ((path, path.relative_to(folder).parts[0]) for path in pictures)
        self.defects = Counter(path.stem for path, kind in kinds if _kind(kind) != GOOD)
        self.known: dict[Path, Path | None] = {}

    def of(self, path: Path) -> Path | None:
        """The mask of one picture: a file, or a folder of several."""
        inside = path.relative_to(self.folder).parent.parts
        above = [self.root, self.folder]
        near = [path.parent] if len(inside) == 1 else [path.parent, path.parent.parent]
        places: list[tuple[Path, tuple[str, ...]]] = [(one, inside) for one in above]
        places += [(one, ()) for one in near]
        for one, way in places:
            if mask := _mask_of(self._inside(one), way, path.stem):
                return mask
        if self.defects[path.stem] > 1:
            return None
        flat = (truth for one in above if (truth := self._inside(one)))
        return next((mask for truth in flat if (mask := _file_of(truth, path.stem))), None)

    def _inside(self, folder: Path) -> Path | None:
        """The folder of masks in a folder."""
        if folder not in self.known:
            self.known[folder] = child(folder, *MASK_FOLDERS)
        return self.known[folder]


def _kind(folder: str) -> str:
    return GOOD if folder.lower() in GOOD_NAMES else folder


def _mask_of(truth: Path | None, inside: tuple[str, ...], stem: str) -> Path | None:
    """The mask in `truth`/`inside`, whatever its format, or the folder of its masks."""
    for name in inside:
        truth = truth and child(truth, name.lower())
    if truth is None:
        return None
    if found := _file_of(truth, stem):
        return found
    several = truth / stem
    return several if several.is_dir() and pictures_under(several) else None


def _file_of(truth: Path, stem: str) -> Path | None:
    """The mask of a picture's name in a folder, whatever its format."""
    names = (f"{stem}{ending}" for ending in ("_mask", "", "_label", "_gt", "_GT"))
    suffixes = [s for suffix in sorted(SUFFIXES) for s in (suffix, suffix.upper())]
    candidates = (truth / f"{name}{suffix}" for name in names for suffix in suffixes)
    return next((path for path in candidates if path.is_file()), None)


def _divided(root: Path, images: Path) -> tuple[list[Path], list[TestPicture]]:
    """Training normals and test pictures of VisA, by the table that it is published with."""
    table = root.parent / "split_csv" / "1cls.csv"
    train, test = [], []
    try:
        with table.open(newline="") as handle:
            lines = [line for line in csv.DictReader(handle) if line["object"] == root.name]
        if not lines:
            raise ValueError(f"it has no object {root.name!r}")
        for line in lines:
            path = root.parent / line["image"]
            if line["split"] == "train":
                train.append(path)
                continue
            mask = root.parent / line["mask"] if line["mask"] else None
            name = path.relative_to(images)
            test.append(TestPicture(name.as_posix(), path, _kind(name.parts[0]), mask))
    except (OSError, ValueError, KeyError) as error:
        raise BenchError(
            f"{root} is laid out like VisA, which {table} divides into pictures to learn from and "
            f"to test with, but that cannot be used ({error}); put it there, or sort the pictures "
            "into train/good, test/good and test/bad."
        ) from error
    return sorted(train), sorted(test, key=lambda picture: picture.name)


def checked(data: BenchSet) -> tuple[BenchSet, list[str]]:
    """The set as it can be measured, and sentences on what is wrong with it.

    Every test picture and mask is opened, so that a damaged one shows before a long training and
    not after it. Raises BenchError where no normals or no defects are left.
    """
    test, left_out, said = [], [], [*data.notes]
    for one in data.test:
        try:
            info = inspect_picture(one.path, MAX_PIXELS)
        except (PictureError, OSError) as error:
            left_out.append(one.name)
            said.append(f"Test picture {one.name} of {data.name} is left out: {error}")
            continue
        trouble = _trouble(one.mask, info.width, info.height) if one.mask else ""
        if trouble:
            said.append(f"The mask {one.mask} is not used: {trouble}")
        test.append(replace(one, mask=None) if trouble else one)
    defects = [one for one in test if one.defect]
    if not defects or len(defects) == len(test):
        raise BenchError(f"{data.name}: too few test pictures can be read. {' '.join(said)}")
    without = sum(one.mask is None for one in defects)
    if without:
        rest = "are of the others" if without < len(defects) else "are not given"
        said.append(
            f"{without} of {len(defects)} defective test pictures of {data.name} have no mask in "
            f"ground_truth/<kind of defect>; pixel AUROC and AUPRO {rest}."
        )
    return replace(data, test=test, left_out=tuple(left_out)), said + _copies(data)


def _copies(data: BenchSet) -> list[str]:
    """Sentences on files that are there more than once, which flatter what is measured on them."""
    learned = _same_bytes(data.train)
    firsts = {path for path, first in learned.items() if first is None}
    again = [(path, first) for path, first in learned.items() if first]
    tested = _same_bytes([*sorted(firsts), *(one.path for one in data.test)])
    seen = [(one.path, tested[one.path]) for one in data.test if tested[one.path] in firsts]
    said = []
    for pairs, what, why in (
        (seen, "test pictures", "a score of what was learned says nothing of other parts"),
        (again, "training pictures", "a limit that is set on copies promises too much"),
    ):
        if pairs:
            (one, other), more = pairs[0], len(pairs)
            said.append(
                f"{more} {what} of {data.name} are copies of training pictures (the first: {one} "
                f"and {other}): {why}. Take them out."
            )
    return said


def _same_bytes(paths: Sequence[Path]) -> dict[Path, Path | None]:
    """For each file the first before it that holds the same bytes, None where there is none. Read
    are only those of the same length."""
    lengths = {path: path.stat().st_size for path in paths}
    often = Counter(lengths.values())
    first: dict[bytes, Path] = {}
    found: dict[Path, Path | None] = {}
    for path in paths:
        found[path] = None
        if often[lengths[path]] > 1:
            known = first.setdefault(hashlib.sha256(path.read_bytes()).digest(), path)
            found[path] = known if known != path else None
    return found


def _trouble(mask: Path, width: int, height: int) -> str:
    """What keeps a mask from being compared with a picture of width × height; empty if nothing."""
    for path in pictures_under(mask):
        try:
            with Image.open(path) as image:
                image.load()
                wide, high = image.size
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            return f"{path.name} cannot be read ({error})."
        if abs((wide / high) / (width / height) - 1) > SHAPE:
            return f"{path.name} has {wide} × {high} pixels and its picture {width} × {height}."
    return ""


def comparison_size(width: int, height: int, edge: int = EDGE) -> tuple[int, int]:
    """Width and height at which a picture's map and mask are compared."""
    scale = min(1.0, edge / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def read_mask(path: Path, size: tuple[int, int]) -> NDArray[np.bool_]:
    """A mask at `size` (width, height) as (height, width): whatever is not black is defective, in
    any of them where `path` is a folder.

    JPEG leaves traces around every edge; there it is what is nearer to white.
    """
    return np.logical_or.reduce([_one_mask(one, size) for one in pictures_under(path)])


def _one_mask(path: Path, size: tuple[int, int]) -> NDArray[np.bool_]:
    with Image.open(path) as image:
        black = 127 if image.format == "JPEG" else 0
        # a transparency channel is no defect
        plain = image.convert("RGB") if image.mode in ("RGBA", "LA", "PA") else image
        values = np.asarray(plain)
    marked = values.reshape(*values.shape[:2], -1).max(-1) > black
    if marked.shape == size[::-1]:
        return marked
    scaled = Image.fromarray(marked.astype(np.uint8) * 255).resize(size, Image.Resampling.BOX)
    # half a pixel counts as one; a region that is thinner than that is still there
    shares = np.asarray(scaled)
    found = shares >= 128
    return found if found.any() else shares > 0
