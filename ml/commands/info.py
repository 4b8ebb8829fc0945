"""`python -m ml info`: check a model folder and print what it holds."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from ml.scoring.model_folder import ModelError, read_manifest


def main(argv: Sequence[str]) -> int:
    """Print the manifest as JSON; status 2 where a hash differs."""
    p = argparse.ArgumentParser(prog="python -m ml info", description=__doc__)
    p.add_argument("model", type=Path, help="model folder")
    arguments = p.parse_args(argv)
    try:
        manifest = read_manifest(arguments.model)
    except ModelError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    manifest["calibration"] = {k: v for k, v in manifest["calibration"].items() if k != "scores"}
    manifest.pop("aggregation_candidates", None)
    sys.stdout.write(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
    return 0
