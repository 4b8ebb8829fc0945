"""A figure like the paper's Fig. 6: original, and each method's restoration and map.

While a row is measured its first picture of every kind is kept beside the row's scores; the
figure is put together from these, so that it can be drawn again without measuring.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from ml.bench.measure import Heat, Shown
from ml.bench.rows import Row, Table
from ml.checkpoints import write_json
from ml.scoring import render_heatmap

TILE, GAP, HEAD, SIDE = 128, 6, 34, 110
INDEX = "pictures.json"
INK, PAPER = (30, 30, 30), (255, 255, 255)


@dataclass
class Gallery:
    """The pictures of one row that a figure may show."""

    folder: Path

    def keep(self, items: Sequence[Shown], name: str, restores: bool) -> None:
        """Write view, restoration (where the method has one) and the map named `name`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        index = []
        scale = _scale([one.maps[name] for one in items])
        for number, one in enumerate(items):
            files = {"view": Image.fromarray(one.view), "map": _overlay(one, name, scale)}
            if restores:
                files["restored"] = Image.fromarray(one.restored)
            for what, image in files.items():
                image.save(self.folder / f"{number:02d}-{what}.png")
            index.append({"picture": one.picture.name, "kind": one.picture.kind})
        write_json(self.folder / INDEX, index)

    def index(self) -> list[dict[str, str]]:
        """The pictures that are there, or none."""
        path = self.folder / INDEX
        return json.loads(path.read_text()) if path.exists() else []

    def tile(self, number: int, what: str) -> Image.Image | None:
        """One of a picture's images, or None where the method has none."""
        path = self.folder / f"{number:02d}-{what}.png"
        if not path.exists():
            return None
        with Image.open(path) as image:
            return image.convert("RGB")


def _scale(maps: Sequence[Heat]) -> tuple[float, float]:
    """A method's colours, the same for all its pictures: from the median of its map values to
    the median of its pictures' peaks, so that one glaring defect does not hide the others."""
    low = float(np.median(np.concatenate([m.ravel() for m in maps])))
    return low, max(float(np.median([m.max() for m in maps])), low + 1e-9)


def _overlay(one: Shown, name: str, scale: tuple[float, float]) -> Image.Image:
    heat = render_heatmap(one.maps[name], *scale).resize(one.view.shape[1::-1])
    ground = Image.fromarray(one.view).convert("L").convert("RGBA")
    return Image.alpha_composite(ground, heat).convert("RGB")


def draw(path: Path, table: Table, rows: Sequence[Row]) -> bool:
    """Write the figure for rows of one seed; false where no row kept pictures.

    One line a picture, one block a data set; a column for the original and, for each method,
    its restoration and its map.
    """
    blocks = [
        _block(table, [row for row in rows if row["dataset"] == dataset])
        for dataset in dict.fromkeys(row["dataset"] for row in rows)
    ]
    drawn = [block for block in blocks if block]
    if not drawn:
        return False
    width = max(block.width for block in drawn)
    canvas = Image.new("RGB", (width, sum(b.height + GAP for b in drawn)), PAPER)
    top = 0
    for block in drawn:
        canvas.paste(block, (0, top))
        top += block.height + GAP
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.save(path)
    return True


def _block(table: Table, rows: Sequence[Row]) -> Image.Image | None:
    galleries = [(r["method"], Gallery(table.folder / Path(r["scores_file"]).stem)) for r in rows]
    galleries = [(method, gallery) for method, gallery in galleries if gallery.index()]
    if not galleries:
        return None
    index = galleries[0][1].index()
    columns = [("original", galleries[0][1], "view")]
    for method, gallery in galleries:
        if gallery.tile(0, "restored"):
            columns.append((f"{method}\nrestored", gallery, "restored"))
        columns.append((f"{method}\nmap", gallery, "map"))
    step = TILE + GAP
    canvas = Image.new("RGB", (SIDE + len(columns) * step, HEAD + len(index) * step), PAPER)
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(12)
    pen.text((GAP, GAP), rows[0]["dataset"], INK, font)
    for line, entry in enumerate(index):
        pen.text((GAP, HEAD + line * step + TILE // 2), entry["kind"], INK, font)
    for column, (title, gallery, what) in enumerate(columns):
        left = SIDE + column * step
        pen.multiline_text((left, 2), title, INK, font, spacing=1)
        for line in range(len(index)):
            if tile := gallery.tile(line, what):
                canvas.paste(ImageOps.contain(tile, (TILE, TILE)), (left, HEAD + line * step))
    return canvas
