"""What a long test found, kept beside the results of the benchmarks."""

import json
import platform
from datetime import UTC, datetime
from typing import Any

from tests.processes import ROOT


def write_result(name: str, figures: dict[str, Any]) -> None:
    """Put figures into benchmarks/results/<name>.json; what else is in it stays."""
    path = ROOT / "benchmarks" / "results" / f"{name}.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    made = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
    }
    path.write_text(json.dumps({**known, **figures, "made": made}, indent=2) + "\n")
