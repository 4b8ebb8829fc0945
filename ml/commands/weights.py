"""Where the commands find ImageNet weights, what they refuse, and what they say without any."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from ml.features import SQUEEZENET_FILE, installed

NONE = "none"
ROOT = Path(__file__).resolve().parents[2]
STAND_IN = (
    "No ImageNet weights are used: an encoder of the run's own stands in for them, and scores are "
    f"usually worse. {{why}}; name a folder that holds {SQUEEZENET_FILE} with --weights."
)


def add_option(p: argparse.ArgumentParser) -> None:
    """`--weights DIR`."""
    p.add_argument(
        "--weights",
        metavar="DIR",
        help=f"folder with installed weights files, or {NONE} to do without them (default: "
        "$KINTSUGI_WEIGHTS, else $KINTSUGI_VAR/weights, var/weights or $KINTSUGI_SHARED/weights "
        "where they are installed)",
    )


def chosen(asked: str | None) -> Path | None:
    """The folder that was asked for, or where weights usually lie; None for the stand-in.

    Raises ValueError where a folder was named that holds no weights.
    """
    if asked is None:
        return usual()
    if asked == NONE:
        return None
    folder = Path(asked)
    if installed(folder, SQUEEZENET_FILE) is None:
        raise ValueError(
            f"--weights {asked} holds no {SQUEEZENET_FILE}; put it there, name the folder that "
            f"has it, or use --weights {NONE} for an encoder of the run's own."
        )
    return folder


def usual() -> Path | None:
    """Where weights lie that no option names: the app's own folder first, then the shared one.

    A folder that the environment names is believed, even where it is empty.
    """
    named = os.environ.get("KINTSUGI_WEIGHTS")
    if named:
        return None if named == NONE else Path(named)
    var = Path(os.environ.get("KINTSUGI_VAR") or ROOT / "var")
    shared = Path(os.environ.get("KINTSUGI_SHARED") or ROOT.parent / "shared")
    folders = (var / "weights", shared / "weights")
    return next((f for f in folders if installed(f, SQUEEZENET_FILE)), None)


def warning(folder: Path | None) -> str | None:
    """What to say where the stand-in will be used; None where weights are installed."""
    if installed(folder, SQUEEZENET_FILE):
        return None
    return STAND_IN.format(why=f"{folder} holds none" if folder else "None were found or wanted")
