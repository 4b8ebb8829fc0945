"""Folders as other people lay out their data sets, and what lies about in them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import part
from PIL import Image

from ml.__main__ import main
from ml.bench import run
from ml.bench.dataset import (
    BenchError,
    BenchSet,
    checked,
    comparison_size,
    read_mask,
    read_set,
)
from ml.bench.training import TrainingFailed
from ml.commands.folders import good_pictures, pictures_under, without_masks

Capture = pytest.CaptureFixture[str]


def write(root: Path, *names: str) -> Path:
    """Files by these names; what is in them does not matter here."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def listed(data: BenchSet) -> list[tuple[str, str, str | None]]:
    """Name, kind and mask of every test picture."""
    return [
        (p.name, p.kind, p.mask.relative_to(data.root).as_posix() if p.mask else None)
        for p in data.test
    ]


def learnt(root: Path) -> list[str]:
    return [p.relative_to(root).as_posix() for p in good_pictures(root)]


def test_btad_calls_good_parts_ok_and_defects_ko(tmp_path: Path) -> None:
    root = write(
        tmp_path / "01", "train/ok/0.bmp", "test/ok/1.bmp", "test/ko/2.bmp", "ground_truth/ko/2.png"
    )
    data = read_set(root)
    assert [p.name for p in data.train] == ["0.bmp"]
    assert listed(data) == [("ko/2.bmp", "ko", "ground_truth/ko/2.png"), ("ok/1.bmp", "good", None)]
    assert data.defects.tolist() == [True, False]
    assert learnt(root) == ["train/ok/0.bmp"]


def test_capital_letters_in_names_are_no_other_names(tmp_path: Path) -> None:
    root = write(
        tmp_path / "a", "Train/Good/0.JPG", "Test/Good/1.JPG", "Test/Bad/2.JPG",
        "Ground_Truth/bad/2_mask.PNG",
    )  # fmt: skip
    found = listed(read_set(root))
    assert found == [
        ("Bad/2.JPG", "Bad", "Ground_Truth/bad/2_mask.PNG"), ("Good/1.JPG", "good", None),
    ]  # fmt: skip
    assert learnt(root) == ["Train/Good/0.JPG"]


def test_good_pictures_beside_a_test_folder_are_learnt_without_it(tmp_path: Path) -> None:
    root = write(
        tmp_path / "a", "0.png", "lot/1.png", "test/good/2.png", "test/cut/3.png",
        "ground_truth/cut/3.png", "bad/4.png", "masks/4.png",
    )  # fmt: skip
    assert learnt(root) == ["0.png", "lot/1.png"]
    assert [p.name for p in read_set(root).train] == ["0.png", "1.png"]
    assert learnt(write(tmp_path / "b", "train/0.png", "test/ok/1.png")) == ["train/0.png"]


def test_visa_is_divided_by_its_own_table(tmp_path: Path) -> None:
    root = write(
        tmp_path / "candle", *(f"Data/Images/Normal/{n}.JPG" for n in (0, 1, 2)),
        "Data/Images/Anomaly/0.JPG", "Data/Masks/Anomaly/0.png",
    )  # fmt: skip
    assert learnt(root) == [f"Data/Images/Normal/{n}.JPG" for n in (0, 1, 2)]
    with pytest.raises(BenchError, match=r"1cls\.csv"):
        read_set(root)
    table = write(tmp_path, "split_csv/1cls.csv") / "split_csv/1cls.csv"
    lines = [
        "object,split,label,image,mask",
        "candle,train,normal,candle/Data/Images/Normal/0.JPG,",
        "candle,train,normal,candle/Data/Images/Normal/2.JPG,",
        "candle,test,normal,candle/Data/Images/Normal/1.JPG,",
        "candle,test,anomaly,candle/Data/Images/Anomaly/0.JPG,candle/Data/Masks/Anomaly/0.png",
        "capsules,test,normal,capsules/Data/Images/Normal/9.JPG,",
    ]
    table.write_text("\n".join(lines))
    with pytest.raises(BenchError, match="no object 'other'"):
        read_set(write(tmp_path / "other", "Data/Images/Normal/0.JPG"))
    data = read_set(root)
    assert [p.name for p in data.train] == ["0.JPG", "2.JPG"]
    assert listed(data) == [
        ("Anomaly/0.JPG", "Anomaly", "Data/Masks/Anomaly/0.png"), ("Normal/1.JPG", "good", None),
    ]  # fmt: skip


def mask(path: Path, defect: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("L", (20, 16))
    if defect:
        image.putpixel((3, 4), 1)
    image.save(path)


def test_masks_beside_the_pictures_are_no_pictures(tmp_path: Path, capsys: Capture) -> None:
    root = write(
        tmp_path / "a", "train/good/0.png", "test/good/1.png", "test/cut/2.png",
        "test/cut/2_GT.png",
    )  # fmt: skip
    assert listed(read_set(root))[0] == ("cut/2.png", "cut", "test/cut/2_GT.png")
    # without the masks of all of them nothing may be learnt as good
    root = write(tmp_path / "k", "kos01/Part0.jpg", "kos01/Part0_label.bmp", "kos01/Part1.jpg")
    with pytest.raises(BenchError, match=r"Part0_label\.bmp.*none of .*Part1\.jpg"):
        read_set(root)
    assert main(["train", "--data", str(root), "--out", str(tmp_path / "out"), "--json",
                 "--weights", "none"]) == 2  # fmt: skip
    (event,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert "Part1.jpg" in event["message"]
    assert "train/good" in event["message"]
    named = write(tmp_path / "n", "train/good/7.png", "train/good/7_label.png")  # a part's label
    assert len(good_pictures(named)) == 2


def test_good_is_what_a_black_mask_beside_says(tmp_path: Path) -> None:
    root = write(tmp_path / "k", "kos01/Part0.jpg", "kos01/Part1.jpg")
    mask(root / "kos01/Part0_label.bmp", True)
    mask(root / "kos01/Part1_label.bmp", False)
    assert learnt(root) == ["kos01/Part1.jpg"]
    names = [f"{part}/{n}.png" for part in ("train", "test") for n in (1, 2)]
    root = write(tmp_path / "kolektor2", *names)
    for name in names:
        mask(root / name.replace(".png", "_GT.png"), "2" in name)
    data = read_set(root)
    assert [p.name for p in data.train] == ["1.png"]
    assert listed(data) == [
        ("1.png", "good", "test/1_GT.png"), ("2.png", "defect", "test/2_GT.png"),
    ]  # fmt: skip
    (root / "train/2_GT.png").write_bytes(b"x")
    with pytest.raises(BenchError, match="2_GT"):
        read_set(root)


def test_what_systems_and_editors_leave_is_passed_over(tmp_path: Path) -> None:
    root = write(
        tmp_path / ".x/a", "train/good/0.png", "train/good/._0.png", "train/good/.DS_Store",
        "train/good/Thumbs.db", "train/good/@eaDir/0.png", "train/good/.ipynb_checkpoints/0.png",
        "__MACOSX/1.png", "test/good/._1.png", "test/good/1.PNG", "test/cut/2.png",
    )  # fmt: skip
    (root / "test/none").mkdir()
    names = [p.relative_to(root).as_posix() for p in pictures_under(root)]
    assert names == ["test/cut/2.png", "test/good/1.PNG", "train/good/0.png"]
    assert [p.kind for p in read_set(root).test] == ["cut", "good"]


def test_linked_folders_are_folders(tmp_path: Path) -> None:
    stored = write(tmp_path / "stored", "good/0.png", "cut/1.png")
    root = tmp_path / "a"
    (root / "train").mkdir(parents=True)
    (root / "train/good").symlink_to(stored / "good")
    (root / "test").mkdir()
    (root / "test/good").symlink_to(stored / "good")
    (root / "test/cut").symlink_to(stored / "cut")
    (root / "test/loop").symlink_to(root / "test")
    assert [p.name for p in read_set(root).test] == ["cut/1.png", "good/0.png"]


def test_a_run_says_where_it_found_the_good_parts(tmp_path: Path, capsys: Capture) -> None:
    root = tmp_path / "a"
    for index in range(3):
        path = root / f"train/ok/{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        part(index).save(path)
    write(root, "test/ko/9.png")
    assert main(["train", "--data", str(root), "--out", str(tmp_path / "out"), "--json",
                 "--weights", "none"]) == 2  # fmt: skip
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[0]["message"] == f"Good parts: 3 pictures in {root / 'train/ok'}, of 4 in {root}."
    assert "add 57 more" in events[-1]["message"]


def board(root: Path) -> Path:
    """Pictures that can be opened: two good, two defective with masks."""
    for name in ("train/good/0", "test/good/1", "test/good/2", "test/cut/3", "test/cut/4"):
        path = root / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        part(int(name[-1]), defect="cut" in name).save(path)
    for number in (3, 4):
        mask = root / f"ground_truth/cut/{number}_mask.png"
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (96, 72), 255).save(mask)
    return root


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_damaged_test_pictures_and_masks_show_before_a_training(tmp_path: Path) -> None:
    root = board(tmp_path / "a")
    data, said = checked(read_set(root))
    assert (data, said) == (read_set(root), [])
    cut_off(root / "test/good/1.png")
    cut_off(root / "ground_truth/cut/3_mask.png")
    Image.new("L", (72, 96)).save(root / "ground_truth/cut/4_mask.png")
    data, said = checked(read_set(root))
    assert data.left_out == ("good/1.png",)
    assert [p.name for p in data.test] == ["cut/3.png", "cut/4.png", "good/2.png"]
    assert [p.mask for p in data.test] == [None] * 3
    assert "3_mask.png" in said[0]
    assert "72 × 96" in said[1]
    assert "good/1.png" in said[2]
    assert "2 of 2 defective test pictures of a have no mask" in said[3]
    assert "not given" in said[3]
    cut_off(root / "test/good/2.png")
    with pytest.raises(BenchError, match=r"too few .* good/2\.png"):
        checked(read_set(root))


def test_copies_of_what_was_learned_are_told(tmp_path: Path) -> None:
    root = board(tmp_path / "a")
    learned = root / "train" / "good" / "0.png"
    shutil.copy(learned, root / "train" / "good" / "7.png")
    shutil.copy(learned, root / "test" / "good" / "8.png")
    shutil.copy(root / "test" / "good" / "1.png", root / "test" / "good" / "9.png")  # no harm done
    seen, again = checked(read_set(root))[1]
    assert "1 test pictures of a are copies of training pictures" in seen
    assert f"{root / 'test/good/8.png'} and {learned}" in seen
    assert "1 training pictures of a are copies of training pictures" in again
    assert f"{root / 'train/good/7.png'} and {learned}" in again


def test_a_bench_says_once_what_is_wrong_with_a_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    root = board(tmp_path / "a")
    cut_off(root / "test/cut/3.png")
    trained: list[BenchSet] = []

    def no_training(folder: Path, data: BenchSet, *rest: object) -> Path:
        trained.append(data)
        raise TrainingFailed("not now")

    monkeypatch.setattr(run, "train_row", no_training)
    options = ["--methods", "paper,csa", "--json", str(tmp_path / "t.json"), "--steps", "1"]
    options += ["--weights", "none", "--threads", "1"]
    assert main(["bench", "--data", str(root), *options]) == 1
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    stand_in, warning = [e for e in events if e["event"] == "log"]
    assert "stands in" in stand_in["message"]
    assert "cut/3.png" in warning["message"]
    assert [d.left_out for d in trained] == [("cut/3.png",)] * 2


def test_many_test_pictures_are_compared_smaller_so_that_memory_holds(tmp_path: Path) -> None:
    data = read_set(board(tmp_path / "a"))
    assert data.edge == 512
    assert replace(data, test=data.test[:1] * 244).edge == 512
    many = replace(data, test=data.test[:1] * 2500)
    assert 2500 * many.edge**2 <= 64_000_000
    assert comparison_size(1000, 500, many.edge) == (160, 80)


def test_what_jpeg_leaves_around_a_masks_edges_is_no_defect(tmp_path: Path) -> None:
    marked = np.zeros((64, 64), np.uint8)
    marked[19:42, 23:45] = 255
    Image.fromarray(marked).save(tmp_path / "m.jpg", quality=60)
    assert np.array_equal(read_mask(tmp_path / "m.jpg", (64, 64)), marked > 0)


def test_a_folder_of_sets_is_no_set(tmp_path: Path, capsys: Capture) -> None:
    root = write(tmp_path / "all", "bottle/train/good/0.png", "cable/train/good/0.png")
    write(root, "candle/Data/Images/Normal/0.JPG", "lot/good/0.png")
    with pytest.raises(BenchError, match=r"\(bottle, cable, candle\); name one"):
        read_set(root)
    assert main(["train", "--data", str(root), "--out", str(tmp_path / "out"), "--json",
                 "--weights", "none"]) == 2  # fmt: skip
    assert "name one of them" in capsys.readouterr().out
    lots = write(tmp_path / "lots", "a/good/0.png", "a/bad/1.png", "b/good/2.png")
    assert learnt(lots) == ["a/good/0.png", "b/good/2.png"]


def test_pictures_of_16_bits_whose_depth_is_guessed_differently_are_told(
    tmp_path: Path, capsys: Capture
) -> None:
    for index, high in enumerate((4000, 4000, 9000)):
        grey = np.full((32, 32), 2000, np.uint16)
        grey[0, 0] = high
        path = tmp_path / f"a/{index}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(grey).save(path)
    options = ["--out", str(tmp_path / "out"), "--preset", "tiny", "--json", "--weights", "none"]
    assert main(["train", "--data", str(tmp_path / "a"), *options]) == 2
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    _, warning = [e["message"] for e in events if e.get("level") == "warning"]
    assert "2 fit into 12 and are read as such, 1 do not" in warning


def parts_of(root: Path) -> list[Path]:
    return without_masks(root, pictures_under(root))


def test_masks_are_no_parts_to_score(tmp_path: Path) -> None:
    root = write(
        tmp_path / "set",
        "test/bad/1.png",
        "Ground_Truth/bad/1_mask.png",
        "a/2.jpg",
        "a/2_label.bmp",
    )
    assert [p.relative_to(root).as_posix() for p in parts_of(root)] == [
        "a/2.jpg",
        "test/bad/1.png",
    ]
    only = write(tmp_path, "masks/3.png") / "masks"
    assert [p.name for p in parts_of(only)] == ["3.png"], "the folder that was named is meant"
    assert parts_of(only / "3.png") == [only / "3.png"]


def test_of_pictures_in_three_dimensions_the_colours_are_used(tmp_path: Path) -> None:
    files = [
        f"{part}/{where}/{number}.{suffix}"
        for part, number in (("train/good", 0), ("test/good", 1), ("test/crack", 1))
        for where, suffix in (("rgb", "png"), ("gt", "png"), ("xyz", "tiff"))
        if (part, where) != ("train/good", "gt")
    ]
    root = write(tmp_path / "bagel", *files)
    assert learnt(root) == ["train/good/rgb/0.png"]
    data = read_set(root)
    assert [p.name for p in data.train] == ["0.png"]
    assert listed(data) == [
        ("crack/rgb/1.png", "crack", "test/crack/gt/1.png"), ("good/rgb/1.png", "good", None),
    ]  # fmt: skip
    assert [p.relative_to(root).as_posix() for p in parts_of(root)] == [
        "test/crack/rgb/1.png", "test/good/rgb/1.png", "train/good/rgb/0.png",
    ]  # fmt: skip
    alone = write(tmp_path / "lot", "xyz/1.png")
    assert learnt(alone) == ["xyz/1.png"], "a name like another beside no pictures in colour"


@pytest.mark.parametrize(
    "mask",
    [
        "test/masks/bad/2.png", "test/ground_truth/bad/2_mask.png", "test/bad/gt/2.png",
        "test/Masks/2.png", "ground_truth/2_mask.png", "ground_truth/2.png",
    ],
)  # fmt: skip
def test_masks_inside_the_test_folder_are_no_test_pictures(mask: str, tmp_path: Path) -> None:
    root = write(tmp_path / "a", "train/good/0.png", "test/good/1.png", "test/bad/2.png", mask)
    assert listed(read_set(root)) == [("bad/2.png", "bad", mask), ("good/1.png", "good", None)]
    assert learnt(root) == ["train/good/0.png"]


def test_a_flat_mask_is_nobodys_where_two_defects_have_its_name(tmp_path: Path) -> None:
    names = ("train/good/0.png", "test/good/1.png", "test/cut/1.png", "ground_truth/1.png")
    root = write(tmp_path / "a", *names)
    assert [p.mask for p in read_set(root).test] == [root / "ground_truth/1.png", None]
    write(root, "test/dent/1.png")
    assert [p.mask for p in read_set(root).test] == [None] * 3


def test_a_folder_that_is_taken_for_masks_is_told(tmp_path: Path) -> None:
    root = board(tmp_path / "a")
    write(root, "test/label/9.png")
    data, said = checked(read_set(root))
    assert [p.name for p in data.test] == ["cut/3.png", "cut/4.png", "good/1.png", "good/2.png"]
    assert "test/label is taken for a folder of masks" in said[0]


def test_pictures_of_formats_that_are_not_accepted_are_told(
    tmp_path: Path, capsys: Capture
) -> None:
    root = write(tmp_path / "a", "train/good/0.webp", "train/good/1.png", "test/good/2.png")
    write(root, "test/cut/3.png")
    assert learnt(root) == ["train/good/1.png"]
    assert "0.webp: their format is not accepted. Save" in read_set(root).notes[0]
    options = ["--out", str(tmp_path / "out"), "--weights", "none", "--json"]
    assert main(["train", "--data", str(root), *options]) == 2
    told = [json.loads(line)["message"] for line in capsys.readouterr().out.splitlines()[:2]]
    assert told[0].startswith(f"1 pictures in {root} are left out")
    assert "PNG, JPEG, TIFF or BMP" in told[0]


def test_a_picture_may_have_a_folder_of_masks(tmp_path: Path) -> None:
    names = ("train/good/0.png", "test/good/1.png", "test/logical/2.png")
    root = write(tmp_path / "loco", *names)
    masks = root / "ground_truth" / "logical" / "2"
    masks.mkdir(parents=True)
    for number in range(2):
        mask = np.zeros((16, 16), np.uint8)
        mask[number, 3] = 255
        Image.fromarray(mask).save(masks / f"00{number}.png")
    data = read_set(root)
    assert listed(data) == [
        ("good/1.png", "good", None),
        ("logical/2.png", "logical", "ground_truth/logical/2"),
    ]
    assert np.argwhere(read_mask(masks, (16, 16))).tolist() == [[0, 3], [1, 3]]
    for name in names[1:]:
        Image.new("RGB", (16, 16)).save(root / name)
    assert checked(data) == (replace(data, left_out=()), [])
    (masks / "001.png").write_bytes(b"nothing")
    without, said = checked(data)
    assert without.test[1].mask is None
    assert "001.png cannot be read" in said[0]
