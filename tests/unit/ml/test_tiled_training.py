"""Large pictures through the whole product: trained by tiles, calibrated and scored whole."""

from __future__ import annotations

import csv
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import write_job
from PIL import Image

from ml.__main__ import main
from ml.bench import measure
from ml.bench.dataset import read_set
from ml.bench.run import _block, _known
from ml.data.sight import Tiling
from ml.data.tiles import tile_plan
from ml.memory.view import MemoryView
from ml.scoring import Scorer
from ml.scoring.large import SHOWN_EDGE

WIDTH, HEIGHT, EDGE = 700, 140, 512  # eight tiles of preset tiny are 512 px
VIEW = MemoryView(96, (1, 2), 12)  # another scale than the restorer's
THOROUGH = 4
LESS = {
    "memory.REMEMBERED_TILES": 100,
    "memory.TRIAL_NORMALS": 8,
    "memory.TRIAL_DEFECTS": 10,
    "memory.TRIAL_REMEMBERED": 16,
    "calibrate_tiles.NORMAL_TILES": 20,
    "calibrate_tiles.SYNTHETIC": 15,
    "evaluate_tiles.PICTURES": 5,
}
SIDE = round((0.001 * WIDTH * HEIGHT) ** 0.5)


def panel(seed: int, defect: tuple[int, int] | None = None) -> Image.Image:
    """A smooth surface of fixed colours, lit and noisy a little differently each time, and a
    square defect of 0.1 % of its area."""
    rng = np.random.default_rng(seed)
    cells = np.random.default_rng(0).integers(60, 180, (HEIGHT // 20, WIDTH // 20, 3), np.uint8)
    surface = Image.fromarray(cells).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    pixels = np.asarray(surface, np.float32) * rng.uniform(0.97, 1.03)
    pixels = pixels + rng.normal(0, 3, pixels.shape)
    if defect:
        x, y = defect
        pixels[y : y + SIDE, x : x + SIDE] = (200, 40, 40)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a tiny run on sixty panels, with less of everything that takes time."""
    folder = tmp_path_factory.mktemp("tiled")
    images = []
    for index in range(60):
        path = folder / f"data/train/good/{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        panel(index).save(path)
        images.append({"id": f"train/good/{index}.png", "path": str(path)})
    for name, picture in (("good", panel(800)), ("spot", panel(801, (200, 80)))):
        (folder / "data/test" / name).mkdir(parents=True)
        picture.save(folder / "data/test" / name / "0.png")
    job = write_job(folder, images, steps=8, tile="always")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ml.train.tiles.Tiling", partial(Tiling, thorough=THOROUGH))
        patch.setattr("ml.train.memory.view_options", lambda context: [VIEW])
        for name, count in LESS.items():
            patch.setattr(f"ml.train.{name}", count)
        assert main(["train", "--job", str(job), "--json"]) == 0
    return folder / "out"


@pytest.fixture(scope="module")
def scorer(run: Path) -> Scorer:
    return Scorer.load(run / "model", device="cpu")


def test_the_manifest_says_how_pictures_are_looked_at(run: Path, scorer: Scorer) -> None:
    assert Tiling(**scorer.manifest["tiles"]) == Tiling(EDGE, thorough=THOROUGH)
    assert scorer.manifest["calibration"]["n"] == 40
    decision = scorer.manifest["decision"]
    assert {p["setting"]["normalisation"] for p in decision["parts"].values()} == {"overall"}
    assert json.loads((run / "state.json").read_text())["tile_edge"] == EDGE


@pytest.mark.parametrize("place", [(90, 60), (430, 110), (660, 20)])
def test_a_small_defect_is_the_maximum_of_the_map(scorer: Scorer, place: tuple[int, int]) -> None:
    found = scorer.score_one(panel(900, place))
    assert found.score > max(scorer.calibration_scores)
    assert found.p_value == pytest.approx(1 / 41)
    height, width = found.map.shape
    y, x = np.unravel_index(found.map.argmax(), found.map.shape)
    assert -4 < x * WIDTH / width - place[0] < SIDE + 4
    assert -4 < y * HEIGHT / height - place[1] < SIDE + 4
    region = found.regions[0]
    assert region.p_value == pytest.approx(1 / 41)
    assert region.x - 0.01 <= place[0] / WIDTH <= region.x + region.width
    assert region.area < 0.02
    assert region.polygon


def test_calibration_pictures_score_the_same_again_and_keep_their_promise(
    run: Path, scorer: Scorer
) -> None:
    ids = json.loads((run / "state.json").read_text())["calibration"]
    known, peaks = scorer.calibration_scores, scorer.manifest["calibration"]["peaks"]
    for id_ in ids[:4]:
        found = scorer.score_one(panel(int(Path(id_).stem)))
        assert min(abs(known - found.score)) < 1e-5
        assert min(abs(found.map.max() - peak) for peak in peaks) < 1e-5
        rank = int((known >= found.score - 1e-5).sum())
        assert found.p_value == pytest.approx((1 + rank) / 41)


def test_the_same_bytes_give_the_same_bits(run: Path, scorer: Scorer) -> None:
    again = Scorer.load(run / "model", device="cpu")
    first, second = (one.score_one(panel(77, (300, 80))) for one in (scorer, again))
    assert (first.score, first.scores) == (second.score, second.scores)
    assert np.array_equal(first.map, second.map)
    assert np.array_equal(first.restored, second.restored)


def test_what_is_shown_is_of_a_bounded_size_and_one_shape(scorer: Scorer) -> None:
    picture = panel(5).resize((4 * WIDTH, 4 * HEIGHT), Image.Resampling.BICUBIC)
    found = scorer.score_one(picture)
    assert max(found.map.shape) == EDGE <= SHOWN_EDGE
    assert found.view.shape == found.restored.shape == (*found.map.shape, 3)
    assert set(found.scores) == {"decision", "inpainting", "memory", "fused", "eq7"}
    assert (found.restored != found.view).any()


def test_no_seam_shows_in_a_normal_map(scorer: Scorer) -> None:
    assert scorer.large
    heat = scorer.large.score(panel(50)).map
    steps = heat.diff(dim=1).abs().mean(0)
    plan = tile_plan(heat.shape[1], heat.shape[0], scorer.size)
    borders = {t.columns.start for t in plan} | {t.columns.stop for t in plan}
    at = [b - 1 for b in borders if 0 < b < heat.shape[1]]
    assert float(steps[at].mean()) < 1.5 * float(steps.mean())


def test_score_command_and_export_know_tiles(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    panel(200, (500, 90)).save(data / "bad.png")
    out = tmp_path / "scored"
    assert main(["score", str(run / "model"), str(data), "--out", str(out)]) == 0
    with (out / "scores.csv").open() as handle:
        (row,) = csv.DictReader(handle)
    assert row["verdict"] == "Failed"
    assert Image.open(out / "heatmaps/bad.png").size == (512, 102)

    command = ["export", str(run / "model"), "--out", str(tmp_path / "m.onnx")]
    assert main([*command, "--golden", str(data)]) == 2
    assert "through tiles" in capsys.readouterr().err
    assert not (tmp_path / "m.onnx").exists()


def test_the_bench_measures_a_tiled_model(run: Path) -> None:
    data = read_set(run.parent / "data")
    shown: list[measure.Shown] = []
    found = measure.measure(
        run / "model",
        data,
        weights=None,
        device="cpu",
        tick=lambda done, total: None,
        show=shown.append,
    )
    assert [one.picture.kind for one in shown] == ["good", "spot"]
    assert set(found.maps) == {"decision", "memory"}
    heat = found.maps["memory"][1]
    peak = np.unravel_index(heat.argmax(), heat.shape)
    assert abs(peak[1] * WIDTH / heat.shape[1] - 200) < SIDE + 4
    assert abs(peak[0] * HEIGHT / heat.shape[0] - 80) < SIDE + 4
    assert {len(v) for v in found.calibration.values()} == {40}  # as the model keeps them
    assert found.calibration["decision"][-1] == max(Scorer.load(run / "model").calibration_scores)
    good, spot = found.scores["decision"]
    assert spot > good
    assert _block(data, found, "eq7", _known(found, "eq7"))["pixel_auroc"] is None
