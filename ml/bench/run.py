"""A whole bench: rows that are missing are trained and measured, then everything is compared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ml.bench.dataset import BenchError, BenchSet, checked
from ml.bench.figure import Gallery
from ml.bench.figures import image_figures, map_figures
from ml.bench.measure import Measured, Shown, measure
from ml.bench.rows import SCORING, Key, Row, Table
from ml.bench.training import Event, Recipe, TrainingFailed, train_row
from ml.commands.progress import Counter
from ml.events import Emitter
from ml.features import SQUEEZENET_FILE, installed
from ml.methods import METHODS
from ml.metrics import auroc
from ml.scoring import ModelError

# One training run with method `fused` holds all three: its model gives every score (`run_of`).
OF_FUSED = ("paper", "memory", "fused")
# The score that is a row's own, and its map: Eq. 7 to the letter, or what the authors published.
OWN = {
    "paper": "eq7", "paper-nossl": "eq7", "csa": "eq7", "shift-net": "eq7",
    "skip-ganomaly": "published", "memory": "memory", "fused": "fused",
}  # fmt: skip
NO_MAP = (
    "Pixel AUROC and AUPRO are not given: pictures so large are looked at through tiles, and of "
    "these there is no whole map of the score {}."
)
LEARNING = ("load", "pretrain", "inpaint", "memory", "calibrate")


@dataclass(frozen=True)
class Bench:
    """What was asked for."""

    sets: list[BenchSet]
    methods: list[str]
    seeds: list[int]
    recipe: Recipe
    table: Table
    work: Path

    def key(self, data: BenchSet, method: str, seed: int) -> Key:
        """The identity of one row."""
        recipe = self.recipe
        budget = None if recipe.steps else float(recipe.budget_minutes)
        weights = installed(recipe.weights, SQUEEZENET_FILE) is not None
        setting = (recipe.preset, budget, recipe.steps, weights)
        return Key(data.name, method, seed, *setting, data.content)

    def wanted(self) -> list[Key]:
        """Every row that was asked for."""
        return [self.key(d, m, s) for d in self.sets for s in self.seeds for m in self.methods]


@dataclass(frozen=True)
class Run:
    """One training run and the rows that come from it."""

    data: BenchSet
    method: str
    seed: int
    rows: list[Key]

    @property
    def about(self) -> dict[str, Any]:
        """What every event of the run carries."""
        return {"dataset": self.data.name, "method": self.method, "seed": self.seed}

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.data.name} · {', '.join(k.method for k in self.rows)} · seed {self.seed}"


def missing_runs(bench: Bench) -> list[Run]:
    """The runs that the missing rows need, a whole seed before the next."""
    runs = []
    for seed in bench.seeds:
        for data in bench.sets:
            by_run: dict[str, list[Key]] = {}
            for method in bench.methods:
                key = bench.key(data, method, seed)
                if bench.table.find(key) is None:
                    by_run.setdefault(run_of(method, bench.methods), []).append(key)
            runs += [Run(data, method, seed, keys) for method, keys in by_run.items()]
    return runs


def run_of(method: str, asked: Sequence[str]) -> str:
    """The method that is trained for a method's row: `fused` where that serves several rows.

    Beside `paper-nossl` the paper's method is trained as itself: a fused run gives a part of its
    budget to the memory, and the difference would not be the pre-training's alone.
    """
    alike = [one for one in OF_FUSED if one in asked]
    if "paper-nossl" in asked and "paper" in alike:
        alike.remove("paper")
    return "fused" if method in alike and len(alike) > 1 else method


def run_bench(bench: Bench, emitter: Emitter) -> int:
    """Train and measure what is missing; returns how many rows failed."""
    runs = missing_runs(bench)
    asked = len(bench.wanted())
    there = asked - sum(len(run.rows) for run in runs)
    emitter.emit("bench", rows=asked, there=there, runs=len(runs), json=str(bench.table.path))
    failed = 0
    sets: dict[str, BenchSet] = {}
    for number, run in enumerate(runs, start=1):
        about = run.about
        emitter.emit("run", number=number, runs=len(runs), title=run.title, **about)
        try:
            run = replace(run, data=_checked(run.data, emitter, sets))
            measured, state, shown = _train_and_measure(bench, run, emitter)
        except Exception as error:  # one run must not cost the table
            failed += len(run.rows)
            emitter.emit("failed", message=_reason(error), **about)
            continue
        for key in run.rows:
            try:
                row = _keep_row(bench, run, key, measured, state, shown)
            except Exception as error:  # nor one row the others of its run
                failed += 1
                emitter.emit("failed", message=_reason(error), **{**about, "method": key.method})
            else:
                if _map_name(key.method, measured) is None:
                    emitter.emit(
                        "log", level="warning", message=NO_MAP.format(row["score"]), **about
                    )
                emitter.emit("row", row=row)
    return failed


def _checked(data: BenchSet, emitter: Emitter, known: dict[str, BenchSet]) -> BenchSet:
    """The set as it can be measured; what is wrong with it is said once."""
    if data.name not in known:
        known[data.name], said = checked(data)
        for sentence in said:
            emitter.emit("log", level="warning", message=sentence, dataset=data.name)
    return known[data.name]


def _reason(error: Exception) -> str:
    if isinstance(error, TrainingFailed | BenchError | ModelError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _train_and_measure(
    bench: Bench, run: Run, emitter: Emitter
) -> tuple[Measured, dict[str, Any], list[Shown]]:
    """The run's figures, its state, and one picture of each kind for the figure."""
    folder, about = bench.work / _folder_name(run), run.about

    def say(event: Event) -> None:
        fields = {k: v for k, v in event.items() if k != "event"}
        if event["event"] not in ("done", "error"):  # the row, or its failure, tells that
            emitter.emit(event["event"], **fields, **about)

    same_but_seed = _plan_name(run)
    plan = bench.table.plan_for(same_but_seed) if run.rows[0].steps is None else {}
    model = train_row(folder, run.data, run.method, run.seed, bench.recipe, say, plan)
    state = json.loads((folder / "state.json").read_text())
    if run.rows[0].steps is None:
        bench.table.keep_plan(same_but_seed, state["planned"])
    shown: list[Shown] = []
    measured = measure(
        model,
        run.data,
        weights=bench.recipe.weights,
        device=bench.recipe.device,
        tick=Counter(emitter, "score", **about),
        show=shown.append,
    )
    return measured, state, shown


def _keep_row(
    bench: Bench,
    run: Run,
    key: Key,
    measured: Measured,
    state: dict[str, Any],
    shown: list[Shown],
) -> Row:
    """Make one row and add it to the table, its side files first."""
    row = make_row(bench, run, key, measured, state)
    stem = bench.table.stem_for(key)
    lines = _lines(run.data, measured, key.method)
    row["scores_file"] = bench.table.write_scores(stem, lines)
    gallery = Gallery(bench.table.folder / stem)
    name = _map_name(key.method, measured) or "decision"
    gallery.keep(shown, name, METHODS[key.method].restores is not None)
    bench.table.append(row)
    return row


def _folder_name(run: Run) -> str:
    return _name(run, f"{run.method}-{run.seed}")


def _plan_name(run: Run) -> str:
    return _name(run, run.method)


def _name(run: Run, what: str) -> str:
    # With the pictures: another set of the same name is not taken for this one. With the scoring:
    # a run of an older one is not scored as if it were of today's, and its steps were others.
    return f"{run.data.name}-{what}-{_setting_name(run)}-{run.data.content}-v{SCORING}"


def _setting_name(run: Run) -> str:
    key = run.rows[0]
    length = f"{key.budget_minutes:g}min" if key.steps is None else f"{key.steps}steps"
    return f"{key.preset}-{length}-{'weights' if key.weights else 'standin'}"


def make_row(bench: Bench, run: Run, key: Key, measured: Measured, state: dict[str, Any]) -> Row:
    """Everything that is known about one row. Raises BenchError where the model lacks its score."""
    own = own_score(key.method, measured)
    manifest = measured.manifest
    row: Row = {
        "dataset": key.dataset,
        "method": key.method,
        "seed": key.seed,
        "preset": key.preset,
        "budget_minutes": key.budget_minutes,
        "steps_asked": key.steps,
        "weights": key.weights,
        "content": key.content,
        "steps": state["plan"].get("inpaint"),
        "trained_as": run.method,
        "scoring": SCORING,
        "threads": bench.recipe.threads,
        "backbone": manifest["scoring_backbone"]["name"],
        "score": own,
        "left_out": list(run.data.left_out),
        **_block(run.data, measured, own, _map_name(key.method, measured)),
        "train_seconds": round(training_seconds(key.method, state, stand_in=not key.weights), 1),
        "run_seconds": round(sum(state["seconds"].values()), 1),
        "images_per_second": round(_speed(key.method, measured), 3),
        "parameters": measured.parameters if METHODS[key.method].restores else 0,
    }
    if METHODS[key.method].restores:
        row["eq7"] = _block(run.data, measured, "eq7", _known(measured, "eq7"))
        chosen = "inpainting" if "inpainting" in measured.scores else "decision"
        row["chosen"] = _block(run.data, measured, chosen, _known(measured, chosen))
    if key.method == "paper":
        row["eq7_layers"] = _layers(run.data, measured)
    return row


def _speed(method: str, measured: Measured) -> float:
    """Of the part that the method is, where the model holds more than that."""
    part = {"paper": "inpainting", "memory": "memory"}.get(method, "decision")
    return measured.speeds.get(part, measured.speeds["decision"])


def own_score(method: str, measured: Measured) -> str:
    """The name of the score that a method's row shows.

    `fused` is the decision of its own run. Raises BenchError where the model does not give it.
    """
    name = "decision" if method == "fused" else OWN[method]
    if name not in measured.scores:
        raise BenchError(f"The model of method {method} gives no {name} score.")
    return name


def _map_name(method: str, measured: Measured) -> str | None:
    return _known(measured, own_score(method, measured))


def _known(measured: Measured, name: str) -> str | None:
    return name if name in measured.maps else None


def _block(data: BenchSet, measured: Measured, score: str, heat: str | None) -> dict[str, Any]:
    """The figures of one score, and of its map where there is one."""
    kinds = [picture.kind for picture in data.test]
    figures = image_figures(measured.scores[score], kinds, measured.calibration[score])
    pixels: dict[str, float | None] = {"pixel_auroc": None, "aupro": None}
    return {**figures, **(map_figures(measured.maps[heat], measured.masks) if heat else pixels)}


def _layers(data: BenchSet, measured: Measured) -> dict[str, float]:
    """AUC of Eq. 7 at each layer that "the seventh" may mean; empty without SqueezeNet."""
    return {
        name: round(auroc(scores, data.defects), 6)
        for name, scores in measured.scores.items()
        if name.startswith("index")
    }


def training_seconds(method: str, state: dict[str, Any], *, stand_in: bool = False) -> float:
    """Seconds of the stages that the method itself needs, over all attempts. Where the pre-trained
    encoder stands in for ImageNet weights every method needs it."""
    needs = METHODS[method]
    unneeded = {
        "pretrain": not needs.pretrains and not stand_in,
        "inpaint": needs.restores is None,
        "memory": not needs.memory,
    }
    seconds: dict[str, float] = state["seconds"]
    return sum(v for k, v in seconds.items() if k in LEARNING and not unneeded.get(k, False))


def _lines(data: BenchSet, measured: Measured, method: str) -> Sequence[dict[str, Any]]:
    """The side file: every test picture with the row's own score, then every other score."""
    own = own_score(method, measured)
    return [
        {
            "picture": picture.name,
            "kind": picture.kind,
            "defect": int(picture.defect),
            "score": float(measured.scores[own][index]),
            **{name: float(values[index]) for name, values in measured.scores.items()},
        }
        for index, picture in enumerate(data.test)
    ]


def rows_asked(bench: Bench) -> list[Row]:
    """The rows of this bench that are there, data set by data set in the order of the methods."""
    found = [bench.table.find(key) for key in bench.wanted()]
    rows = [row for row in found if row is not None]
    order = {method: place for place, method in enumerate(bench.methods)}
    places = {data.name: place for place, data in enumerate(bench.sets)}
    return sorted(rows, key=lambda r: (places[r["dataset"]], order[r["method"]], r["seed"]))
