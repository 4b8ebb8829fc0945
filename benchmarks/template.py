"""How well the naive template does on the demo pictures: they must be hard enough for it.

The template learns from 100 normals and takes the maximum over pixels of |x − mean|/deviation.
Figure: its worst (highest) image AUROC over three seeds, at the pictures' own 256 pixels and at
128. Ratio = limit ÷ figure; at least 1 means that the pictures are as hard as promised.
"""

import json
import sys
import tempfile
from pathlib import Path

from ml.data.assemblies import generate
from ml.template import template_auroc

SEEDS, LIMIT, MUST = (1, 2, 3), 0.85, 1.0


def measured(seed: int, folder: Path) -> float:
    """The higher AUROC of both sizes on freshly drawn pictures of a seed."""
    generate(folder, seed=seed, train=100)
    figures = {size: template_auroc(folder, size=size) for size in (256, 128)}
    shown = ", ".join(f"{figure:.3f} at {size} px" for size, figure in figures.items())
    print(f"seed {seed}: image AUROC {shown}", flush=True)
    return max(figures.values())


def main() -> int:
    with tempfile.TemporaryDirectory() as scratch:
        figure = max(measured(seed, Path(scratch, str(seed))) for seed in SEEDS)
    ratio = LIMIT / figure
    result = {
        "name": "template AUROC on the demo pictures",
        "figure": round(figure, 4),
        "unit": "AUROC",
        "limit": LIMIT,
        "ratio": round(ratio, 3),
        "must": MUST,
        "ok": ratio >= MUST,
    }
    print(json.dumps(result))
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
