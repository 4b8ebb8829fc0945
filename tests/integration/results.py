"""What a long test found, kept beside the results of the benchmarks."""

import json
import platform
from datetime import UTC, datetime
from typing import Any

from tests.processes import ROOT


def write_result(name: str, part: str, figures: dict[str, Any]) -> None:
    """Put the figures of one part into benchmarks/results/<name>.json; other parts stay."""
    path = ROOT / "benchmarks" / "results" / f"{name}.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    known[part] = {**figures, "at": now, "python": platform.python_version()}
    path.write_text(json.dumps(known, indent=2) + "\n")
