"""How the setting was chosen, from manifests of every age."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from inspection.models import ModelVersion
from inspection.web.choice import choices
from tests.unit.web.conftest import World

ROWS: list[dict[str, Any]] = [
    {"auroc": 0.91, "blur": 0.006, "levels": [0, 1]},
    {"auroc": 0.95, "blur": 0.012, "levels": [0]},
    {"auroc": 0.91, "blur": 0.006, "levels": [0, 1], "default": True},
]


def test_an_older_manifest_says_it_by_the_setting_that_was_used() -> None:
    old = {"aggregation_candidates": ROWS, "aggregation": {"blur": 0.012, "levels": [0]}}
    (choice,) = choices(old)
    assert [one.auroc for one in choice.candidates] == [0.95, 0.91], "best first, each once"
    assert choice.taken is not None
    assert (choice.taken.setting, choice.taken.default) == ("blur 0.012 · levels 0", False)
    assert [one.place for one in choice.candidates] == [98.0, 2.0]


def test_every_table_of_a_newer_manifest_has_its_own_plot() -> None:
    fusion = [
        {"auroc": 0.97, "weight": 0.5, "default": True, "chosen": False},
        {"auroc": 0.99, "weight": 0.75, "default": False, "chosen": True},
    ]
    memory = [{"auroc": 0.9, "blur": 0.1, "default": True, "chosen": True}]
    found = choices({"choice": {"memory": memory, "fusion": fusion, "empty": []}})
    assert [one.title for one in found] == [
        "How distances from remembered places become a score",
        "How restoration and memory are weighed",
    ]
    taken = [one.taken for one in found]
    assert [one and one.setting for one in taken] == ["blur 0.1", "weight 0.75"]


@pytest.mark.parametrize("manifest", [{}, {"choice": None}, {"choice": {}}, {"choice": {"x": 3}}])
def test_without_a_choice_there_is_nothing_to_show(manifest: dict[str, Any]) -> None:
    assert choices(manifest) == []


def test_nearly_equal_candidates_do_not_look_far_apart() -> None:
    near = [{"auroc": 0.9990, "blur": 1}, {"auroc": 0.9991, "blur": 2}]
    places = [one.place for one in choices({"choice": near})[0].candidates]
    assert places[0] - places[1] < 1


def test_the_runs_page_shows_the_choice_and_its_table(world: World, engineer: Client) -> None:
    ModelVersion.objects.filter(pk=world.version.pk).update(
        manifest={**world.version.manifest, "aggregation_candidates": ROWS, "aggregation": ROWS[0]}
    )
    address = reverse("run", args=[world.version.training_run_id])
    page = engineer.get(address).content.decode()
    card = page[page.index('id="choice"') :]
    assert card.count("<circle") == 2
    assert "0.9500" in card
    assert "levels 0, 1" in card
