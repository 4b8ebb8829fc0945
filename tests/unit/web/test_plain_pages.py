"""Small promises of the pages: nothing is claimed that is not known, nothing is said in vain."""

import re

import numpy as np
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from inspection.models import Batch, Inspection, JobState, ModelVersion, SnapshotImage, TrainingRun
from inspection.services import announce, batches
from inspection.services.result_files import strongest_place
from inspection.web import words
from tests.unit.web.conftest import World
from tests.unit.web.test_pages import read


def test_the_status_bar_claims_nothing_before_it_has_asked(engineer: Client) -> None:
    page = read(engineer, "jobs")
    bar = re.search(r'<span id="status-jobs"[^>]*>(.*?)</span>', page)
    assert bar
    assert bar[1] == ""
    assert 'data-live="asking"' in page


def test_a_card_says_what_its_run_does(world: World, engineer: Client) -> None:
    runs = TrainingRun.objects.filter(viewpoint__product=world.product)
    runs.update(state=JobState.DONE)
    assert 'data-run="' not in read(engineer, "products")
    last = runs.order_by("-id")[0]
    for state, said in (
        (JobState.PAUSED, f"Run {last.number} waits for you"),
        (JobState.RUNNING, f"Run {last.number} is learning"),
        (JobState.QUEUED, f"Run {last.number} waits for its turn"),
    ):
        runs.filter(pk=last.pk).update(state=state)
        assert said in read(engineer, "products")


def test_only_products_with_a_model_that_judges_are_in_inspection(
    world: World, engineer: Client
) -> None:
    assert "1 product · 1 in inspection" in read(engineer, "products")
    ModelVersion.objects.update(state=ModelVersion.State.CANDIDATE)
    assert "1 product · 0 in inspection" in read(engineer, "products")


def test_leaving_out_what_is_suggested_says_what_it_did(world: World, engineer: Client) -> None:
    run = world.run
    TrainingRun.objects.filter(pk=run.pk).update(state=JobState.PAUSED)
    items = SnapshotImage.objects.filter(snapshot=run.snapshot).order_by("vet_rank")
    items.filter(vet_rank=0).update(vet_suggests_exclusion=True)
    page = read(engineer, "run", run.pk)
    assert f"Not decided: <span data-n>{items.count()}</span>" in page
    address = reverse("vetting_suggested", args=[run.pk])
    told = [str(m) for m in get_messages(engineer.post(address).wsgi_request)]
    assert told == ["1 picture is left out."]
    assert f"Not decided: <span data-n>{items.count() - 1}</span>" in read(engineer, "run", run.pk)
    told = [str(m) for m in get_messages(engineer.post(address).wsgi_request)]
    assert told == ["Nothing more is suggested to leave out; every picture stays as it was."]


def test_shares_are_told_when_all_is_scored(world: World, engineer: Client) -> None:
    page = read(engineer, "batch_head", world.batch.pk)
    assert "4 of 5 scored" in page
    assert " %</span>" not in page
    line = announce.batch_line(world.batch, batches.batch_summary(world.batch))
    assert (line["scored"], line["total"]) == (4, 5)
    Inspection.objects.filter(batch=world.batch, verdict="").delete()
    Batch.objects.filter(pk=world.batch.pk).update(sealed_at=timezone.now())
    assert " %</span>" in read(engineer, "batch_head", world.batch.pk)


def test_only_a_trial_asks_what_folder_names_mean(world: World, engineer: Client) -> None:
    assert 'id="ask-folders"' not in read(engineer, "batch", world.batch.pk)
    Batch.objects.filter(pk=world.batch.pk).update(purpose="trial")
    assert 'id="ask-folders"' in read(engineer, "batch", world.batch.pk)


def test_words_of_experts_stand_behind_a_disclosure(world: World, engineer: Client) -> None:
    page = read(engineer, "inspection", world.inspection.pk)
    assert page.index("For experts") < page.index("Eq. 7")
    model = read(engineer, "model", world.version.pk)
    assert '<details class="card vetting" id="manifest">' in model
    bar = re.search(r'data-notice="stand-in".*?</div>', page, re.DOTALL)
    assert bar
    assert "finds fewer defects" in bar[0]
    assert "ssl_encoder" not in bar[0]


def test_a_faint_verdict_says_where_to_look_first(world: World, engineer: Client) -> None:
    assert "data-faint" not in read(engineer, "inspection", world.inspection.pk)
    world.result.regions = [strongest_place(np.eye(40)[::-1] * 0.1)]
    world.result.save()
    page = read(engineer, "inspection", world.inspection.pk)
    assert "data-faint" in page
    assert 'id="regions"' in page


def test_a_model_says_one_speed(world: World, engineer: Client) -> None:
    world.version.manifest |= {"images_per_second": 2.5, "metrics": {"images_per_second": 2.5}}
    world.version.save()
    assert read(engineer, "model", world.version.pk).lower().count("pictures per second") == 1


def test_stages_before_the_plan_are_in_the_order_of_the_plan() -> None:
    assert words.usual_stages("fused")[:2] == ["vet", "pretrain"]
    assert words.usual_stages("fused", stand_in=True)[:2] == ["pretrain", "vet"]
    assert words.usual_stages("memory", stand_in=True)[0] == "vet"
