"""What self-supervised pre-training brings: the paper's method with and without it.

Judges the rows in results/ablation.json; `--run` measures first what is missing there (ten
minutes of training, three seeds, two methods). Nothing must come out: the difference is reported
with its interval, whatever it shows.

    KINTSUGI_SHARED=../shared python benchmarks/ablation.py [--run]
"""

from __future__ import annotations

import json
import sys
from typing import Any

from table import HERE, SEEDS, measure

from ml.bench import report
from ml.bench.compare import paired_differences, summaries
from ml.bench.rows import Table

TABLE = HERE / "results" / "ablation.json"
SET = "mvtec/transistor"
METHODS = ("paper", "paper-nossl")
BUDGET = 10.0


def main(arguments: list[str]) -> int:
    """Print the table and, as the last line, the JSON object."""
    if "--run" in arguments:
        measure(TABLE, (SET,), METHODS, BUDGET, SEEDS)
    table = Table(TABLE)
    rows = [r for r in table.rows() if r["method"] in METHODS and r["budget_minutes"] == BUDGET]
    differences = paired_differences(table, rows, print)
    if rows:
        print(report.table(summaries(rows)), report.pairs(differences), sep="\n\n")
    result = judge(differences)
    print(json.dumps(result))
    return 0 if result["ok"] else 1


def judge(differences: list[dict[str, Any]]) -> dict[str, Any]:
    """Reported with three seeds: that is all it must be."""
    measured = [one for one in differences if len(one["seeds"]) >= SEEDS]
    auc = measured[0]["auc"] if measured else None
    interval = f"{auc['low']:+.4f} to {auc['high']:+.4f}" if auc else "not measured"
    return {
        "name": "ablation",
        "figure": round(auc["mean"], 4) if auc else None,
        "unit": f"AUC of paper − paper-nossl (95 %: {interval})",
        "limit": None,
        "ratio": None,
        "must": None,
        "ok": auc is not None,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
