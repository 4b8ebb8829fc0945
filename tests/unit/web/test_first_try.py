"""A model of the preset Tiny shows that everything works; no page lets it pass for more."""

import pytest
from django.test import Client
from django.urls import reverse

from inspection.models import Batch, JobState, ModelVersion
from tests.unit.web.conftest import World
from tests.unit.web.test_pages import read

NOTICE = 'data-notice="first-try"'


@pytest.fixture
def first_try(world: World) -> ModelVersion:
    """The only model of the product, as its run registered it."""
    ModelVersion.objects.exclude(pk=world.version.pk).update(state=ModelVersion.State.RETIRED)
    version = world.version
    version.state = ModelVersion.State.CANDIDATE
    version.manifest = {**version.manifest, "preset": "tiny"}
    version.save()
    type(version.training_run).objects.filter(pk=version.training_run_id).update(
        state=JobState.DONE
    )
    return version


def test_its_run_offers_a_trial_and_a_better_preset(
    first_try: ModelVersion, world: World, engineer: Client
) -> None:
    page = read(engineer, "run", first_try.training_run_id)
    assert "ready for trials" in page
    assert "judges from now on" not in page
    assert reverse("batch_new", args=[world.product.pk]) in page
    assert reverse("train", args=[world.product.pk]) in page


def test_a_new_batch_is_a_trial_with_it(
    first_try: ModelVersion, world: World, engineer: Client
) -> None:
    page = read(engineer, "batch_new", world.product.pk)
    assert '<option value="trial" selected>' in page
    assert f'<option value="{first_try.pk}" selected>' in page
    sent = {"name": "A", "viewpoint": "main", "model_version": str(first_try.pk)}
    refused = engineer.post(
        reverse("batch_new", args=[world.product.pk]), {**sent, "purpose": "production"}
    )
    assert "does not judge production parts" in refused.content.decode()
    engineer.post(reverse("batch_new", args=[world.product.pk]), {**sent, "purpose": "trial"})
    assert Batch.objects.order_by("-id")[0].model_version == first_try


def test_every_page_with_its_verdicts_says_so(
    first_try: ModelVersion, world: World, engineer: Client
) -> None:
    shown = [
        read(engineer, "product", world.product.pk),
        read(engineer, "batch", world.batch.pk),
        read(engineer, "inspection", world.inspection.pk),
        read(engineer, "model", first_try.pk),
        read(engineer, "batch_new", world.product.pk),
    ]
    assert all(NOTICE in page for page in shown)
    first_try.manifest = {**first_try.manifest, "preset": "compact"}
    first_try.save()
    assert NOTICE not in read(engineer, "batch", world.batch.pk)


def test_a_person_may_let_it_judge_all_the_same(
    first_try: ModelVersion, world: World, engineer: Client
) -> None:
    address = reverse("model_promote", args=[first_try.pk])
    assert address in read(engineer, "model", first_try.pk)
    engineer.post(address, {"reason": "nothing better", "override": "no other model yet"})
    first_try.refresh_from_db()
    assert first_try.state == ModelVersion.State.ACTIVE


def test_the_product_asks_for_a_model_that_may_judge(
    first_try: ModelVersion, world: World, engineer: Client
) -> None:
    assert "Train with Compact, so that a model can judge" in read(
        engineer, "product", world.product.pk
    )
