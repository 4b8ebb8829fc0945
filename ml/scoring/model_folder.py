"""The model folder: a manifest with hashes and safetensors files, nothing pickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from ml.checkpoints import write_json
from ml.features import file_sha256

FORMAT = 2
MANIFEST = "manifest.json"


class ModelError(Exception):
    """A model folder that cannot be trusted or used; the message names cause and remedy."""


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest last, with the hash of every file beside it."""
    files = {p.name: file_sha256(p) for p in sorted(folder.glob("*.safetensors"))}
    write_json(folder / MANIFEST, {**manifest, "format": FORMAT, "files": files})


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest, after checking every file's SHA-256."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise ModelError(f"The model folder {folder} has no readable manifest: {error}") from error
    if manifest.get("format") != FORMAT:
        raise ModelError(
            f"The model in {folder} has format {manifest.get('format')}, not {FORMAT}: it was made "
            "by another version of this program; train again."
        )
    for name, expected in manifest["files"].items():
        path = folder / Path(name).name
        if not path.is_file():
            raise ModelError(f"The model in {folder} lacks its file {name}; restore or retrain it.")
        if file_sha256(path) != expected:
            raise ModelError(
                f"The file {name} of the model in {folder} is not the one that was trained "
                "(its SHA-256 differs); restore it from a backup or train again."
            )
    return manifest


def read_tensors(folder: Path, name: str) -> dict[str, Tensor]:
    """Load `name`.safetensors; call `read_manifest` first, which checks it."""
    return load_file(folder / f"{name}.safetensors")
