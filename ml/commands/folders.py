"""Finding pictures in folders."""

from __future__ import annotations

from pathlib import Path

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})


def pictures_under(root: Path) -> list[Path]:
    """Every picture file under a folder, sorted; or the file itself."""
    if root.is_file():
        return [root]
    return sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())


def good_pictures(root: Path) -> list[Path]:
    """`train/good` of an MVTec layout where it exists, else every picture under the folder."""
    inside = root / "train" / "good"
    return pictures_under(inside if inside.is_dir() else root)
