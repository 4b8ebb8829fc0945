"""`python -m ml info`: check a model folder and say what it holds."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml.methods import METHODS
from ml.scoring.model_folder import ModelError, read_manifest

LONG = ("aggregation_candidates", "choice")  # curves for a page, not for a terminal


def main(argv: Sequence[str]) -> int:
    """The gist on a terminal, JSON otherwise; status 2 where a hash differs."""
    p = argparse.ArgumentParser(prog="python -m ml info", description=__doc__)
    p.add_argument("model", type=Path, help="model folder")
    p.add_argument("--json", action="store_true", help="the manifest as JSON even on a terminal")
    p.add_argument("--text", action="store_true", help="the gist even where there is no terminal")
    arguments = p.parse_args(argv)
    try:
        manifest = read_manifest(arguments.model)
    except ModelError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    manifest["calibration"] = {
        k: v for k, v in manifest["calibration"].items() if k not in ("scores", "peaks")
    }
    for key in LONG:
        manifest.pop(key, None)
    if arguments.text or (sys.stdout.isatty() and not arguments.json):
        sys.stdout.write(gist(manifest) + "\n")
    else:
        sys.stdout.write(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
    return 0


def gist(manifest: dict[str, Any]) -> str:
    """A model in a few lines."""
    backbone, calibration = manifest["scoring_backbone"], manifest["calibration"]
    method = METHODS.get(manifest["method"])
    lines = {
        "Method": f"{manifest['method']}{f': {method.title}' if method else ''}",
        "Preset": f"{manifest['preset']}, {manifest['image_size']} px, seed {manifest['seed']}",
        "Looked at": _looked_at(manifest),
        "Backbone": backbone["name"]
        + (", standing in for ImageNet weights" if backbone["stand_in"] else ""),
        "Steps": _listed(manifest["steps"]),
        "Pictures": _listed(manifest["images"]),
        "Calibration": f"{calibration['n']} normals; "
        f"smallest rate of false calls {calibration['alpha_min']:.3g}",
        "Speed": f"{manifest['images_per_second']:g} pictures/s where it was trained",
        "Figures": _listed(manifest["metrics"]) + " (synthetic defects)",
        "Files": f"{len(manifest['files'])}, every SHA-256 as in the manifest",
        "Versions": _listed(manifest["versions"]),
    }
    return "\n".join(f"{name + ':':<13}{text}" for name, text in lines.items())


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in values.items()) or "none"


def _looked_at(manifest: dict[str, Any]) -> str:
    tiles = manifest.get("tiles")
    if not tiles:
        return "whole"
    restored = f"at most {tiles['thorough']}" if manifest["memory"] else "all"
    return f"with a long edge of {tiles['edge']} px through tiles, {restored} of them restored"
