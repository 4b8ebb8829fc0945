"""The demo pictures: the same everywhere, defects where the masks say, hard for the template."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ml.data.assemblies import KINDS, defective_sample, generate, good_sample
from ml.data.assemblies.cli import main
from ml.data.assemblies.defects import DEFECTS, difference_mask
from ml.data.assemblies.dice import Dice
from ml.data.assemblies.scene import render, render_clean
from ml.data.assemblies.unit import good_unit
from ml.metrics import auroc, label_regions
from ml.template import template_auroc, template_scores

GOLDEN = "ff430cddb2fec75b9b9706860fcda8d333abc485d8d46ea3390186aac713b48d"


def digest(*pictures: np.ndarray) -> str:
    return hashlib.sha256(b"".join(p.tobytes() for p in pictures)).hexdigest()


def drawn() -> str:
    defect = defective_sample(5, "stain", 0, size=128)
    assert defect.mask is not None
    return digest(good_sample(5, 3, size=128).picture, defect.picture, defect.mask)


def test_the_same_seed_gives_the_same_pixels_in_another_process_and_everywhere() -> None:
    program = "from tests.unit.ml.test_assemblies import drawn; print(drawn())"
    root = Path(__file__).parents[3]
    other = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    assert drawn() == other.stdout.strip() == GOLDEN


def test_another_seed_or_number_gives_another_picture() -> None:
    pictures = {digest(good_sample(s, n, size=128).picture) for s in (1, 2) for n in (0, 1)}
    pictures.add(digest(good_sample(1, 0, test=True, size=128).picture))
    assert len(pictures) == 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_defect_changes_the_picture_where_its_mask_is_and_nowhere_else(kind: str) -> None:
    unit = good_unit(9, 9)
    bad_unit = DEFECTS[kind](unit, Dice(4))
    good, bad = render_clean(unit), render_clean(bad_unit)
    mask = difference_mask(good, bad)
    change = np.abs(good.astype(int) - bad).max(axis=2)
    assert 40 <= mask.sum() < 0.2 * mask.size
    assert change[~mask].max() <= 12
    assert np.quantile(change[mask], 0.9) > 25  # holes are filled: not all of it changes much
    assert label_regions(mask)[1] <= 12


@pytest.mark.parametrize("kind", KINDS)
def test_defects_stay_visible_at_128_pixels(kind: str) -> None:
    for number in range(2):
        sample = defective_sample(3, kind, number, size=128)
        assert sample.mask is not None
        assert sample.mask.sum() >= 10
        unit = good_unit(3, 2 + KINDS.index(kind), number)
        change = np.abs(render_clean(unit, 128).astype(int) - sample.picture).max(axis=2)
        assert np.quantile(change[sample.mask], 0.9) > 20


def test_sizes_are_multiples_of_128() -> None:
    assert render(good_unit(1), 384).shape == (384, 384, 3)
    with pytest.raises(ValueError, match="multiple of 128"):
        render(good_unit(1), 200)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "demo"
    seen: list[tuple[int, int]] = []
    generate(
        out,
        seed=2,
        train=30,
        good=16,
        per_kind=2,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(i, 62) for i in range(1, 63)]
    return out


def test_the_layout_is_that_of_mvtec(folder: Path) -> None:
    assert sorted(p.name for p in folder.iterdir()) == ["ground_truth", "test", "train"]
    assert len(list((folder / "train" / "good").iterdir())) == 30
    assert {p.name for p in (folder / "test").iterdir()} == {"good", *KINDS}
    for kind in KINDS:
        for name in ("000", "001"):
            picture = Image.open(folder / "test" / kind / f"{name}.png")
            mask = Image.open(folder / "ground_truth" / kind / f"{name}_mask.png")
            assert picture.size == mask.size == (256, 256)
            assert (picture.mode, mask.mode) == ("RGB", "L")
            assert set(np.unique(np.asarray(mask))) == {0, 255}
    written = np.asarray(Image.open(folder / "train" / "good" / "007.png"))
    assert (written == good_sample(2, 7).picture).all()


def test_the_template_finds_them_hard(folder: Path) -> None:
    assert 0.45 <= template_auroc(folder) <= 0.85


def test_the_template_is_the_plain_formula() -> None:
    rng = np.random.default_rng(0)
    normals = list(rng.integers(0, 255, (9, 4, 5, 3)).astype(np.float32))
    picture = rng.integers(0, 255, (4, 5, 3)).astype(np.float32)
    stack = np.array(normals, float)
    expected = (abs(picture - stack.mean(0)) / (stack.std(0) + 1)).max()
    assert template_scores(normals, [picture]) == [pytest.approx(expected, rel=1e-4)]
    assert auroc([*template_scores(normals, [picture]), 0.0], [1, 0]) == 1.0


def test_the_template_needs_the_layout(tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    with pytest.raises(ValueError, match="lacks pictures"):
        template_auroc(tmp_path)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "demo"
    order = [str(out), "--train", "2", "--good", "1", "--per-kind", "1", "--size", "128"]
    assert main(order) == 0
    captured = capsys.readouterr()
    assert captured.out.strip() == str(out)
    assert "11 of 11" in captured.err
    assert len(list(out.rglob("*.png"))) == 2 + 1 + 2 * len(KINDS)
    assert main(order) == 2
    assert "not an empty folder" in capsys.readouterr().err


def test_a_broken_off_run_leaves_no_folder(tmp_path: Path) -> None:
    def stop(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path / "demo", train=40, good=0, per_kind=0, size=128, progress=stop)
    assert not (tmp_path / "demo").exists()
    generate(tmp_path / "demo", train=1, good=0, per_kind=0, size=128)
    assert [p.name for p in tmp_path.iterdir()] == ["demo"]
