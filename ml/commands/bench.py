"""`python -m ml bench`: methods beside each other, the columns of Table I and more.

Every finished row is appended to the JSON file at once and a row that is there is not measured
again, so that a long table is built in several goes; an interrupted run goes on from its work
folder. `paper`, `memory` and `fused` of a seed come from one training run. Exit status: 0 all
rows are there, 1 a run failed, 2 refused, 75 interrupted.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ml import device as devices
from ml.bench import report
from ml.bench.compare import paired_differences, summaries
from ml.bench.dataset import BenchError, read_sets
from ml.bench.figure import draw
from ml.bench.rows import Row, Table, locked
from ml.bench.run import Bench, rows_asked, run_bench
from ml.bench.training import INTERRUPTED, Recipe
from ml.commands import weights
from ml.events import Emitter
from ml.methods import METHODS
from ml.presets import PRESETS

# The order of the table: the paper's own, then what goes beyond it.
ORDER = ("paper", "paper-nossl", "csa", "shift-net", "skip-ganomaly", "memory", "fused")


SENTENCES: dict[str, Callable[[dict[str, Any]], str]] = {
    "bench": lambda f: f"{f['rows']} rows, {f['there']} there, {f['runs']} runs to do",
    "run": lambda f: f"run {f['number']} of {f['runs']}: {f['title']}",
    "row": lambda f: _sentence(f["row"]),
    "failed": lambda f: f"failed: {f['message']}",
    "figure": lambda f: f"figure: {f['path']}",
}
FOR_PROGRAMS = frozenset(
    {"metrics", "plan", "vet", "stage", "samples", "checkpoint", "curve", "summary"}
)


class BenchEmitter(Emitter):
    """Says in a sentence what only a bench says; on a terminal training curves are left out."""

    def emit(self, event: str, **fields: Any) -> None:
        """Send one event."""
        if self.as_json:
            super().emit(event, **fields)
        elif event in SENTENCES:
            super().emit("log", level="bench", message=SENTENCES[event](fields))
        elif event not in FOR_PROGRAMS and fields.get("level") != "info":
            super().emit(event, **fields)


def _sentence(row: Row) -> str:
    return (
        f"{row['dataset']} · {row['method']} · seed {row['seed']}: "
        f"AUC {row['auc']:.3f}, recall {row['recall_at_tnr60']:.3f} at TNR {row['tnr']:.2f}"
    )


def parser() -> argparse.ArgumentParser:
    """What to measure, how long to train, where to keep it."""
    p = argparse.ArgumentParser(
        prog="python -m ml bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument(
        "--data",
        type=Path,
        nargs="+",
        required=True,
        metavar="DIR",
        help="folders in MVTec AD's layout; BTAD's ok and ko are understood, and VisA's folders "
        "beside its split_csv",
    )
    p.add_argument(
        "--methods",
        type=_methods,
        default=list(ORDER),
        metavar="NAME,NAME",
        help=f"of {', '.join(ORDER)} (default: all)",
    )
    p.add_argument("--preset", choices=sorted(PRESETS), default="compact")
    p.add_argument(
        "--budget",
        type=float,
        default=30,
        metavar="MIN",
        help="minutes of training for each run, turned into a fixed number of steps "
        "after 20 timed ones (default 30)",
    )
    p.add_argument("--steps", type=int, help="restoration steps instead of a budget")
    p.add_argument("--seeds", type=int, default=1, metavar="N", help="seeds 1 to N (default 1)")
    p.add_argument("--json", type=Path, required=True, metavar="FILE", help="the table's rows")
    p.add_argument(
        "--work", type=Path, metavar="DIR", help="folder of the training runs (default: FILE.work)"
    )
    weights.add_option(p)
    p.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    p.add_argument("--device", default="auto")
    figure = p.add_mutually_exclusive_group()
    figure.add_argument(
        "--figure",
        type=Path,
        metavar="PNG",
        help="where to put the picture of the first seed's restorations and maps (default: beside "
        "FILE, as .png)",
    )
    figure.add_argument("--no-figure", action="store_true", help="write no such picture")
    return p  # fmt: skip


def _methods(text: str) -> list[str]:
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in METHODS:
            raise argparse.ArgumentTypeError(f"no method {name!r}; choose from {', '.join(ORDER)}")
    if not names:
        raise argparse.ArgumentTypeError("name at least one method")
    return sorted(names, key=ORDER.index)


def main(argv: Sequence[str]) -> int:
    """Measure what is missing, then print the whole table that was asked for."""
    arguments = parser().parse_args(argv)
    emitter = BenchEmitter(as_json=not sys.stdout.isatty())
    try:
        bench = _bench(arguments)
        if told := weights.warning(bench.recipe.weights):
            emitter.emit("log", level="warning", message=told)
        devices.limit(arguments.threads, 0)
        with sigterm_as_interrupt(), locked(bench.work):
            failed = run_bench(bench, emitter)
            figure = arguments.figure or arguments.json.with_suffix(".png")
            _tell(bench, emitter, None if arguments.no_figure else figure)
    except BenchError as error:
        emitter.emit("error", code="bench", message=str(error))
        return 2
    except KeyboardInterrupt:
        emitter.emit("log", level="warning", message="Interrupted; start again to go on.")
        return INTERRUPTED
    return 1 if failed else 0


def _bench(arguments: argparse.Namespace) -> Bench:
    for name in ("budget", "steps", "seeds", "threads"):
        value = getattr(arguments, name)
        if value is not None and value <= 0:
            raise BenchError(f"--{name} must be more than 0.")
    try:
        folder = weights.chosen(arguments.weights)
    except ValueError as error:
        raise BenchError(str(error)) from error
    table = Table(arguments.json)
    table.rows()  # a file that is no table is refused before anything is trained
    table.path.parent.mkdir(parents=True, exist_ok=True)
    work = arguments.work or arguments.json.with_name(f"{arguments.json.name}.work")
    recipe = Recipe(
        arguments.preset,
        arguments.budget,
        arguments.steps,
        folder,
        arguments.threads,
        arguments.device,
    )
    seeds = list(range(1, arguments.seeds + 1))
    sets = read_sets(arguments.data)
    return Bench(sets, arguments.methods, seeds, recipe, table, work.resolve())


def _tell(bench: Bench, emitter: Emitter, figure: Path | None) -> None:
    """The table and the paired differences; to standard error where events are on standard out."""
    rows = rows_asked(bench)
    if not rows:
        return
    summary = summaries(rows)

    def warn(message: str) -> None:
        emitter.emit("log", level="warning", message=message)

    differences = paired_differences(bench.table, rows, warn)
    emitter.emit("summary", table=summary, pairs=differences)
    layers = [
        f"Eq. 7 of {r['dataset']}, paper, seed {r['seed']}, by layer of SqueezeNet: "
        + ", ".join(f"{name} AUC {auc:.3f}" for name, auc in r["eq7_layers"].items())
        for r in rows
        if r.get("eq7_layers") and r["seed"] == bench.seeds[0]
    ]
    texts = [report.table(summary), report.pairs(differences), *layers]
    stream = sys.stderr if emitter.as_json else sys.stdout
    stream.write("\n" + "\n\n".join(text for text in texts if text) + "\n")
    if figure and draw(figure, bench.table, [r for r in rows if r["seed"] == bench.seeds[0]]):
        emitter.emit("figure", path=str(figure))


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """SIGTERM ends the command as Ctrl-C does: the trainer leaves a checkpoint."""

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
