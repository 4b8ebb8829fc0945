"""The figures of the main job: every picture counts once, and nothing is made up."""

from pathlib import Path

import pytest

from inspection.management.demo.figures import report
from inspection.management.demo.notebook import Notebook
from inspection.management.demo.source import from_folder
from inspection.services.by_kind import Scored, image_auroc
from webapp.local.problems import CannotStart


def picture(kind: str, score: float, said: str) -> Scored:
    return Scored(kind, score, failed=said == "fail", review=said == "review")


PICTURES = [
    picture("good", 0.1, "pass"),
    picture("good", 0.6, "review"),
    picture("scratch", 0.9, "fail"),
    picture("scratch", 0.5, "review"),
    picture("stain", 0.2, "pass"),
]


def test_every_kind_has_its_line_with_and_without_review(tmp_path: Path) -> None:
    lines = [" ".join(line.split()) for line in report(PICTURES, tmp_path)]
    assert "good 2 0 % 50 %" in lines
    assert "scratch 2 50 % 100 % 0.750" in lines
    assert "stain 1 0 % 0 % 0.500" in lines
    assert "Good parts that do not fail (TNR): 100 %" in lines
    assert any(line.startswith("AUROC: 0.667 (a naive template") for line in lines)


def test_auroc_needs_both_good_and_defective_pictures() -> None:
    assert image_auroc(PICTURES) == pytest.approx(4 / 6)
    assert image_auroc([p for p in PICTURES if p.is_defect]) is None
    assert image_auroc([p for p in PICTURES if not p.is_defect]) is None
    assert image_auroc([]) is None


def test_a_notebook_comes_back_as_it_was_and_a_torn_one_is_begun_again(tmp_path: Path) -> None:
    file = tmp_path / "demo" / "A.json"
    notebook = Notebook.open(file, "A")
    notebook.run, notebook.seconds["import"] = "some-id", 1.5
    notebook.write()
    assert Notebook.open(file, "A") == notebook

    file.write_text(file.read_text()[:20])
    assert Notebook.open(file, "A") == Notebook(file=file, code="A")


def test_a_folder_names_its_product(tmp_path: Path) -> None:
    good = tmp_path / "Relay K3 (neu)" / "train" / "good"
    good.mkdir(parents=True)
    for n in range(60):
        (good / f"{n}.png").touch()
    source = from_folder(good.parents[1])
    assert (source.code, source.name) == ("RELAY-K3-NEU", "Relay K3 (neu)")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match=r"no folder .*/nowhere"):
        from_folder(tmp_path / "nowhere")
