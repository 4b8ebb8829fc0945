"""Which pictures the main job runs on: the demo's own, or a folder in MVTec's layout."""

import re
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from inspection.services.folder_import import files_in
from inspection.services.training import MIN_PICTURES
from webapp.local.problems import CannotStart

DEMO_CODE = "DEMO-ASSEMBLY"
DEMO_NAME = "Demo assembly"
DEMO_SEED = 1
LAYOUT = (
    "It must hold `train/good` with pictures of good parts, and may hold `test/good` and "
    "`test/<kind of defect>`."
)


@dataclass(frozen=True)
class Counts:
    """How many demo pictures to make."""

    train: int = 200
    good: int = 60
    per_kind: int = 10


@dataclass(frozen=True)
class Source:
    """Pictures on this machine. `folder` None: the demo's own, made when they are needed."""

    code: str
    name: str
    folder: Path | None = None

    @property
    def is_demo(self) -> bool:
        return self.folder is None


def demo() -> Source:
    return Source(DEMO_CODE, DEMO_NAME)


def from_folder(folder: Path) -> Source:
    """A source of a person's own pictures. Raises CannotStart with what is missing."""
    folder = folder.expanduser().resolve()
    if not folder.is_dir():
        raise CannotStart(f"DATA: there is no folder {folder}. Check the path.")
    if not (folder / "train" / "good").is_dir():
        raise CannotStart(f"DATA: {folder} has no folder train/good. {LAYOUT}")
    have = len(list(files_in(folder / "train" / "good")))
    if have < MIN_PICTURES:
        raise CannotStart(
            f"DATA: {folder}/train/good holds {have} files; training needs at least "
            f"{MIN_PICTURES} pictures of good parts. Add {MIN_PICTURES - have} more."
        )
    code = re.sub(r"[^A-Z0-9]+", "-", folder.name.upper()).strip("-")[:40] or "PICTURES"
    return Source(code, folder.name[:120], folder)


def make_demo_pictures(
    folder: Path, counts: Counts, progress: Callable[[int, int], None] | None = None
) -> None:
    """Draw the demo pictures into `folder`: seeded, so the same on every machine."""
    shutil.rmtree(folder, ignore_errors=True)
    numbers = {"train": counts.train, "good": counts.good, "per-kind": counts.per_kind}
    options = [text for name, n in numbers.items() for text in (f"--{name}", str(n))]
    command = [sys.executable, "-m", "ml", "demo-pictures", str(folder), "--seed", str(DEMO_SEED)]
    said: deque[str] = deque(maxlen=15)
    with subprocess.Popen(
        [*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as drawing:
        for line in drawing.stderr or ():
            said.append(line)
            if progress and (counted := re.match(r"(\d+) of (\d+)", line)):
                progress(int(counted[1]), int(counted[2]))
    if drawing.returncode:
        raise CannotStart(f"The demo pictures could not be drawn:\n{''.join(said)}")
