"""Run every benchmark, keep what it said in results/, and show one table.

A benchmark prints as its last line one JSON object {name, figure, unit, limit, ratio, must, ok};
`ok` false, a crash or no such line makes the whole run fail.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
KEYS = ("name", "figure", "unit", "limit", "ratio", "must", "ok")


def scripts(names: list[str]) -> list[Path]:
    """The benchmarks named, or all of them."""
    found = [p for p in sorted(HERE.glob("*.py")) if p != Path(__file__).resolve()]
    return [p for p in found if not names or p.stem in names]


def run(script: Path) -> dict[str, Any]:
    """What one benchmark found."""
    print(f"--- {script.stem}", flush=True)
    with subprocess.Popen(
        [sys.executable, str(script)], cwd=HERE.parent, stdout=subprocess.PIPE, text=True
    ) as process:
        lines = []
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines += [line] if line.strip() else []
    return read(script.stem, lines, process.returncode)


def read(stem: str, lines: list[str], status: int) -> dict[str, Any]:
    """The last line as a result; one that is not ok where there is no such line."""
    try:
        said = json.loads(lines[-1])
        result = {key: said[key] for key in KEYS}
    except (IndexError, ValueError, KeyError, TypeError):
        blank = dict.fromkeys(KEYS)
        return {**blank, "name": stem, "unit": f"no result (exit status {status})", "ok": False}
    how = {"measured": said["measured"]} if "measured" in said else {}
    return {**result, "ok": bool(result["ok"]), **how}


def keep(path: Path, result: dict[str, Any]) -> None:
    """Write a result; the rows that a benchmark keeps in its file stay there."""
    rows = json.loads(path.read_text()).get("rows") if path.exists() else None
    kept = {**result, "rows": rows} if rows else result
    path.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")


def table(results: list[dict[str, Any]]) -> str:
    """All results, one line each."""
    rows = [KEYS, *([_text(result[key]) for key in KEYS] for result in results)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(KEYS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def main(names: list[str]) -> int:
    RESULTS.mkdir(exist_ok=True)
    results = []
    for script in scripts(names):
        result = run(script)
        keep(RESULTS / f"{script.stem}.json", result)
        results.append(result)
    print(f"\n{table(results)}")
    return 0 if results and all(result["ok"] for result in results) else 1


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if value is None:
        return "–"
    return f"{value:g}" if isinstance(value, int | float) else str(value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
