"""The memory, the fusion and what they are chosen by."""

import json
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ml.data.letterbox import Letterbox
from ml.data.symmetries import Squares, estimate, proposed, transformed
from ml.features import SQUEEZENET_FILE, EncoderFeatures
from ml.masks import sweep, zone_mask
from ml.memory.memory import Memory, remember
from ml.memory.view import MemoryView, joined, layer_maps, views
from ml.memory_bank import CHUNK, MemoryBank, distinct, greedy_coreset
from ml.metrics import auroc
from ml.presets import PRESETS
from ml.scoring.choose import Sample, best, choose, paired_error
from ml.scoring.decision import Decision, norms_from
from ml.scoring.evidence import Evidence
from ml.scoring.restore import restore
from ml.train.memory import _normals, view_options
from ml.unet import Encoder

VIEW = MemoryView(64, (1, 2), 8)
PRESET = PRESETS["tiny"]
SIZE = PRESET.image_size


@pytest.fixture(scope="module")
def extractor() -> EncoderFeatures:
    torch.manual_seed(3)
    encoder = Encoder(PRESET.levels, PRESET.width, PRESET.max_width, SIZE)
    return EncoderFeatures(encoder, VIEW.layers)


def pictures(count: int, seed: int = 0) -> list[Tensor]:
    """Normals: one scene with a little noise."""
    generator = torch.Generator().manual_seed(7)
    scene = torch.nn.functional.interpolate(torch.rand(1, 3, 8, 8, generator=generator), SIZE)[0]
    noise = torch.Generator().manual_seed(seed)
    return [
        (scene + 0.02 * torch.randn(scene.shape, generator=noise)).clamp(0, 1) for _ in range(count)
    ]


def test_the_coreset_covers_better_than_chance() -> None:
    generator = torch.Generator().manual_seed(0)
    crowd = 0.01 * torch.randn(500, 4, generator=generator)
    rare = torch.randn(12, 4, generator=generator) * 5
    points = torch.cat([crowd, rare])
    chosen = greedy_coreset(points, 13, generator)
    assert len(set(chosen.tolist())) == 13
    assert set(range(500, 512)) <= set(chosen.tolist())


def test_distinct_rows_are_the_first_of_their_kind() -> None:
    rows = torch.randn(40, 16, generator=torch.Generator().manual_seed(3))
    order = torch.randint(40, (500,), generator=torch.Generator().manual_seed(4))
    repeated = rows[order]
    expected = [i for i in range(500) if int(order[i]) not in order[:i].tolist()]
    first, group = distinct(repeated)
    assert first.tolist() == expected
    assert torch.equal(repeated[first][group], repeated)
    assert distinct(rows)[0].tolist() == list(range(40))


def test_bare_ground_is_remembered_once(extractor: EncoderFeatures) -> None:
    drawing = torch.full((3, SIZE, SIZE), 0.2)
    drawing[:, 16:24, 24:32] = 0.9
    memory = remember(VIEW, extractor, [drawing], seed=1, keep=10_000)
    found = memory.descriptors(drawing[None])[0]
    kinds = distinct(found)[0]
    assert len(kinds) < len(found)
    assert len(memory.bank.patches) == len(kinds)
    assert float(memory.distances(drawing).max()) < 2e-2


def test_distances_are_those_of_a_plain_search(extractor: EncoderFeatures) -> None:
    memory = remember(VIEW, extractor, pictures(6), seed=1, keep=10_000)
    looked_at = pictures(1, seed=99)[0]
    layers = layer_maps(extractor, VIEW, looked_at[None])
    queries = joined(layers, memory.scales, VIEW)[0]
    plain = torch.stack([(memory.bank.patches - q).norm(dim=1).min() for q in queries])
    found = memory.distances(looked_at).flatten()
    assert torch.allclose(found, plain, atol=2e-3)


def test_a_remembered_picture_is_left_out_of_its_own_memory(extractor: EncoderFeatures) -> None:
    normals = pictures(6)
    memory = remember(VIEW, extractor, normals, seed=1, keep=10_000)
    assert float(memory.distances(normals[2]).max()) < 2e-2
    assert float(memory.distances(normals[2], leave_out=2).mean()) > 2e-2


def test_a_defect_is_far_from_every_normal_where_it_lies(extractor: EncoderFeatures) -> None:
    memory = remember(VIEW, extractor, pictures(12), seed=1)
    damaged = pictures(1, seed=50)[0]
    damaged[:, 24:40, 24:40] = 1 - damaged[:, 24:40, 24:40]
    found = memory.distances(damaged)
    row, column = divmod(int(found.argmax()), VIEW.grid)
    assert 2 <= row <= 5
    assert 2 <= column <= 5


def test_a_stored_memory_says_the_same(extractor: EncoderFeatures) -> None:
    view = MemoryView(64, (1, 2), 8, position=2.0, soft=True)
    memory = remember(view, extractor, pictures(6), seed=1)
    stored = MemoryView.from_json(json.loads(json.dumps(view.as_json())))
    again = Memory.of_tensors(memory.tensors(), stored, extractor, torch.device("cpu"))
    picture = pictures(1, seed=5)[0]
    assert torch.equal(again.distances(picture), memory.distances(picture))


def test_with_imagenet_weights_the_memory_looks_with_them(tmp_path: Path) -> None:
    """Whatever was pre-trained: `fused` has an encoder too, which then stands in for nothing."""
    job = SimpleNamespace(weights_dir=tmp_path)
    context: Any = SimpleNamespace(job=job, preset=PRESET, tiling=None)
    assert view_options(context)[0] == MemoryView(SIZE, (1, 2), SIZE // 8)
    (tmp_path / SQUEEZENET_FILE).touch()
    assert view_options(context)[0] == MemoryView(224, (7, 10), 28, soft=True)
    assert any(view.position for view in view_options(context))


def test_a_short_budget_tries_the_finest_grid_second() -> None:
    default, second, *_ = views(stand_in=False, image_size=128)
    assert second == MemoryView(512, (4,), 127, soft=True)
    assert second.grid > 4 * default.grid


def test_soft_descriptors_are_told_apart_by_direction_and_flat_ones_by_length() -> None:
    """x / sqrt(|x|² + 1), layer by layer, by hand: lengths 3 and 300 end close together."""
    view = MemoryView(64, (1, 2), 1, soft=True)
    first, second = torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 0.1]])
    layers = [x.view(1, 2, 1, 1) for x in (first, second)]
    found = joined(layers, torch.tensor([1.0, 1.0]), view)[0, 0]
    by_hand = torch.tensor([3 / 26**0.5, 4 / 26**0.5, 0, 0.1 / 1.01**0.5])
    assert torch.allclose(found, by_hand)
    louder = joined([100 * layers[0], layers[1]], torch.tensor([1.0, 1.0]), view)[0, 0]
    assert float((louder - found).norm()) < 0.03  # 500 against 5: the same direction
    noise = joined([layers[0], -layers[1]], torch.tensor([1.0, 1.0]), view)[0, 0]
    assert float((noise - found).norm()) == pytest.approx(0.2 / 1.01**0.5)  # not to opposite ends


def test_a_memory_from_before_the_choice_stays_as_it_was() -> None:
    assert not MemoryView.from_json({"size": 224, "layers": [7, 10], "grid": 28}).soft


def test_the_kth_nearest_is_that_of_a_plain_search() -> None:
    generator = torch.Generator().manual_seed(5)
    patches = torch.rand(300, 6, generator=generator)
    queries = torch.rand(CHUNK + 7, 6, generator=generator)
    owners = torch.arange(300) % 4
    bank = MemoryBank(patches, owners)
    every = torch.cdist(queries, patches)
    others = torch.cdist(queries, patches[owners != 2])
    assert torch.allclose(bank.distances(queries), every.amin(1), atol=1e-3)
    assert torch.allclose(bank.distances(queries, k=3), every.sort(1).values[:, 2], atol=1e-3)
    assert torch.allclose(bank.distances(queries, leave_out=2), others.amin(1), atol=1e-3)


@pytest.mark.parametrize("stand_in", [True, False])
def test_in_tiles_places_mean_nothing_and_grids_stay_coarse(stand_in: bool) -> None:
    found = views(stand_in, 128, tiled=True)
    assert found[0] == views(stand_in, 128)[0]
    assert len(found) >= 2
    assert all(view.position == 0 and view.grid <= 32 for view in found)


def samples(with_memory: bool = True) -> list[Sample]:
    """Twelve normals, and a defect on each that only the memory's map shows clearly."""
    generator = torch.Generator().manual_seed(0)
    box = Letterbox(0, 4, 32, 24)
    found = []
    for kind in (None, "spot"):
        for normal in range(12):
            inpainting = torch.rand(2, 3, 32, 32, generator=generator)
            memory = torch.rand(1, 1, 32, 32, generator=generator)
            if kind:
                inpainting[..., 10:13, 10:13] += 0.3
                memory[..., 10:13, 10:13] += 2.0
            maps = {"inpainting": inpainting} | ({"memory": memory} if with_memory else {})
            found.append(Sample(Evidence(maps), box, kind, normal))
    return found


def test_the_fused_decision_finds_what_one_part_shows_and_survives_a_file() -> None:
    every = samples()
    choice = choose(every, {}, "fused", stand_in=False)
    decided = [choice.decision.decide(s.evidence, s.box) for s in every]
    labels = np.array([s.kind is not None for s in every])
    assert auroc(np.array([d.score for d in decided]), labels) == 1.0
    assert set(decided[0].scores) == {"decision", "inpainting", "memory", "fused"}
    assert all(d.scores["decision"] == d.scores["fused"] == d.score for d in decided)
    assert set(choice.tables) == {"inpainting", "memory", "fusion"}
    assert all(sum(bool(r["chosen"]) for r in rows) == 1 for rows in choice.tables.values())

    stored = json.loads(json.dumps(choice.decision.as_json()))
    again = Decision.from_json(stored, norms_from(choice.decision.norm_tensors()))
    assert again.decide(every[-1].evidence, every[-1].box).scores == decided[-1].scores


def test_one_part_alone_needs_no_fusion() -> None:
    choice = choose(samples(with_memory=False), {}, "inpainting", stand_in=True)
    assert choice.decision.fusion is None
    assert set(choice.decision.parts) == {"inpainting"}


def test_the_default_stays_unless_another_is_clearly_better() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60) >= 30
    default = rng.normal(size=60) + labels
    twin = default + 1e-3 * rng.normal(size=60)
    clear = default + 3 * labels
    chosen, rows = best(["default", "twin"], np.stack([default, twin], 1), labels, lambda o: {})
    assert chosen == "default"
    assert rows[0]["auroc"] == round(max(auroc(default, labels), auroc(twin, labels)), 4)
    assert best(["a", "b"], np.stack([default, clear], 1), labels, lambda o: {})[0] == "b"


def test_more_may_be_asked_of_what_replaces_the_default() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60) >= 30
    default = rng.normal(size=60) + labels
    better = default + 0.5 * labels + 0.5 * rng.normal(size=60)
    scores = np.stack([default, better], 1)
    gain = auroc(better, labels) - auroc(default, labels)
    ratio = gain / paired_error(better, default, labels)
    assert ratio > 0
    assert best(["a", "b"], scores, labels, lambda o: {}, 0.9 * ratio)[0] == "b"
    assert best(["a", "b"], scores, labels, lambda o: {}, 1.1 * ratio)[0] == "a"


def test_the_paired_error_is_that_of_a_bootstrap() -> None:
    rng = np.random.default_rng(1)
    labels = np.arange(120) >= 60
    first = rng.normal(size=120) + labels
    second = first + 0.8 * rng.normal(size=120)
    differences = []
    for _ in range(800):
        rows = np.concatenate([rng.integers(0, 60, 60), rng.integers(60, 120, 60)])
        differences.append(auroc(first[rows], labels) - auroc(second[rows], labels))
    assert paired_error(first, second, labels) == pytest.approx(np.std(differences), rel=0.15)


def test_only_repair_zones_are_hidden_and_restored() -> None:
    class Black(torch.nn.Module):
        def forward(self, image: Tensor, mask: Tensor) -> "Black":
            self.refined = torch.zeros_like(image)
            return self

    zone = zone_mask([[0.25, 0.5, 0.5, 0.25]], 32, 0, 4, 32, 24)
    assert zone[16:22, 8:24].min() == 1
    assert zone.sum() == 6 * 16
    image = torch.rand(3, 32, 32) + 0.1
    restored = restore(Black(), image.clamp(0, 1), sweep(32, (8, 16), 4, 1) * zone)
    inside = zone.bool().expand(3, -1, -1)
    assert float(restored[0][inside].max()) == 0
    assert torch.equal(restored[1][~inside], image.clamp(0, 1)[~inside])


def test_symmetries_are_proposed_where_the_normals_show_them() -> None:
    still = torch.stack([(p * 255).to(torch.uint8) for p in pictures(30)])
    rng = random.Random(0)
    mirrored = torch.stack([p.flip(-1) if rng.random() < 0.5 else p for p in still])
    assert proposed(estimate(still, 1)) == []
    assert proposed(estimate(mirrored, 1)) == ["mirror_left_right"]


def test_declared_symmetries_are_remembered_too() -> None:
    byte = {"a": (pictures(1)[0] * 255).to(torch.uint8)}
    squares = Squares(byte.__getitem__, ["a"], ("mirror_left_right", "quarter_turns"))
    assert len(squares) == len(list(squares)) == 5
    assert torch.equal(squares[1], squares[0].flip(-1))
    assert squares.owners == [0] * 5
    with pytest.raises(ValueError, match="no symmetry"):
        transformed(byte["a"], "upside_down", random.Random(0))


def test_copies_of_a_picture_are_no_witnesses_for_it(extractor: EncoderFeatures) -> None:
    """Left out of the memory, a picture is as far from it as if it had never been there."""
    ids = ["a", "b", "c", "d"]
    byte = {i: (p * 255).to(torch.uint8) for i, p in zip(ids, pictures(4), strict=True)}
    job = SimpleNamespace(seed=1, symmetries=["mirror_left_right", "quarter_turns"])
    context: Any = SimpleNamespace(
        job=job, state=SimpleNamespace(train=ids), tiling=None, device=torch.device("cpu"),
        large_loader=lambda size: byte.__getitem__,
    )  # fmt: skip
    images, remembered, owners = _normals(context, 64)
    assert remembered == ids
    assert len(owners) == len(images) == 20
    for image, owner in zip(images[:8], owners[:8], strict=True):
        own = byte[ids[owner]].float() / 255
        assert torch.equal(image, own) or torch.equal(image, own.flip(-1))
    memory = remember(VIEW, extractor, images, 1, 100_000, owners=owners)
    mirrored = images[4 + 2]  # c, as a copy
    own = memory.bank.owners == 2
    others = memory.bank.patches[~own]
    far = torch.cdist(memory.descriptors(mirrored.unsqueeze(0))[0], others).min(1).values
    found = memory.distances(mirrored, leave_out=2).flatten()
    torch.testing.assert_close(found, far, atol=1e-3, rtol=1e-3)
    assert float(found.mean()) > float(memory.distances(mirrored).mean())
