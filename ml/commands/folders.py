"""Finding pictures in folders, as people and published data sets lay them out."""

from __future__ import annotations

import os
from pathlib import Path

from PIL import Image

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
# Pictures too, but of formats that are not opened (see ml.data.pictures).
REFUSED = frozenset({".webp", ".gif", ".heic", ".heif", ".avif", ".jp2", ".jxl"})
# What the folder of good parts is called: by MVTec AD, by BTAD, by VisA.
GOOD_NAMES = ("good", "ok", "normal")
MASK_FOLDERS = ("ground_truth", "groundtruth", "gt", "masks", "mask", "labels", "label")
BAD_NAMES = ("bad", "ko", "ng", "anomaly", "anomalies", "defect", "defects", "defective")
# Beside good pictures these hold what must not be learnt as good.
ASIDE = frozenset({"test", *MASK_FOLDERS, *BAD_NAMES})
MASK_ENDINGS = ("_mask", "_label", "_gt")


def pictures_under(root: Path) -> list[Path]:
    """Every picture file under a folder, sorted; or the file itself.

    Hidden files and folders are passed over: systems and editors leave them, no camera does. So
    are maps of points in `xyz` beside pictures in `rgb` (MVTec 3D-AD). Linked folders count as
    folders.
    """
    if root.is_file():
        return [root]
    return [path for path in _files_under(root) if path.suffix.lower() in SUFFIXES]


def refused_under(root: Path) -> str | None:
    """A sentence on pictures under a folder in formats that are not accepted, if there are any."""
    found = [path for path in _files_under(root) if path.suffix.lower() in REFUSED]
    if not found:
        return None
    return (
        f"{len(found)} pictures in {root} are left out, such as {found[0].relative_to(root)}: "
        "their format is not accepted. Save them as PNG, JPEG, TIFF or BMP."
    )


def _files_under(root: Path) -> list[Path]:
    """Every file that no system or editor left there, sorted."""
    found: list[Path] = []
    seen: set[str] = set()
    for folder, inside, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link to a folder above it
            inside.clear()
            continue
        seen.add(real)
        points = "xyz" if "rgb" in {name.lower() for name in inside} else None
        inside[:] = [name for name in inside if _shown(name) and name.lower() != points]
        found += [Path(folder, name) for name in files if _shown(name)]
    return sorted(path for path in found if path.is_file())


def without_masks(root: Path, pictures: list[Path]) -> list[Path]:
    """Of `pictures_under` a root those that are no masks: in folders of them, or beside their
    pictures."""
    beside = set(masks_beside(pictures).values())
    return [
        path
        for path in pictures
        if path not in beside
        and not {part.lower() for part in path.relative_to(root).parts[:-1]}.intersection(
            MASK_FOLDERS
        )
    ]


def _shown(name: str) -> bool:
    return not name.startswith(".") and name not in ("__MACOSX", "@eaDir")


def child(folder: Path, *names: str) -> Path | None:
    """The first of these names that lies in a folder as a folder, in capitals or not."""
    if not folder.is_dir():
        return None
    known = {p.name.lower(): p for p in sorted(folder.iterdir(), reverse=True) if p.is_dir()}
    return next((known[name] for name in names if name in known), None)


def good_folder(root: Path) -> Path:
    """Where the pictures of good parts lie: `train/good` of an MVTec layout where it exists,
    `train/ok`, `Data/Images/Normal` and the like of others, else the folder itself."""
    train = child(root, "train")
    if train:
        return child(train, *GOOD_NAMES) or train
    images = child(child(root, "data") or root, "images")
    return (images and child(images, *GOOD_NAMES)) or child(root, *GOOD_NAMES) or root


def good_pictures(root: Path) -> list[Path]:
    """The pictures in the folder of good parts, without folders that hold tests, defects or masks.

    Where masks lie beside the pictures (KolektorSDD), defects lie among them too: good are those
    with a black mask. A folder that is named as one of good parts is believed. Raises ValueError
    where a mask is missing or damaged, and where the folder holds whole sets.
    """
    folder = good_folder(root)
    if folder == root and (sets := _sets_in(root)):
        raise ValueError(f"{root} holds sets of their own ({', '.join(sets)}); name one of them.")
    pictures = [
        path
        for path in pictures_under(folder)
        if not ASIDE & {part.lower() for part in path.relative_to(folder).parts[:-1]}
    ]
    masks = masks_beside(pictures)
    if not masks or folder.name.lower() in GOOD_NAMES:
        return pictures
    both = {*masks, *masks.values()}
    if unknown := [path for path in pictures if path not in both]:
        raise ValueError(
            f"{folder} holds masks beside the pictures, such as {next(iter(masks.values()))}, but "
            f"none of {unknown[0]}, so that good parts are not told from defects; move the "
            "pictures of good parts alone into a folder train/good."
        )
    return [path for path in pictures if path in masks and not marked(masks[path])]


def marked(mask: Path) -> bool:
    """Whether a mask shows a defect. Raises ValueError where it cannot be read."""
    try:
        with Image.open(mask) as image:
            low = 127 if image.format == "JPEG" else 0  # JPEG leaves traces of its own
            return max(high for _, high in _extrema(image)) > low
    except (OSError, SyntaxError) as error:
        raise ValueError(f"The mask {mask} cannot be read: {error}") from error


def _extrema(image: Image.Image) -> list[tuple[float, float]]:
    found = (
        image.convert("RGB") if image.mode in ("RGBA", "LA", "P", "PA") else image
    ).getextrema()
    return list(found) if isinstance(found[0], tuple) else [found]


def _sets_in(root: Path) -> list[str]:
    """Folders that are sets by themselves: with `train/good` or `Data/Images/Normal`."""
    inside = sorted(p for p in root.iterdir() if p.is_dir()) if root.is_dir() else []
    return [p.name for p in inside if good_folder(p).parent not in (p, p.parent)]


def masks_beside(pictures: list[Path]) -> dict[Path, Path]:
    """Picture → its mask, where that lies in the same folder (`7.jpg`, `7_label.bmp`)."""
    known = {(path.parent, path.stem.lower()): path for path in pictures}
    return {
        known[where, stem.removesuffix(ending)]: path
        for (where, stem), path in known.items()
        for ending in MASK_ENDINGS
        if stem.endswith(ending) and (where, stem.removesuffix(ending)) in known
    }
