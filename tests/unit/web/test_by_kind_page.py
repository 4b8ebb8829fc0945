"""The result by kind, on the page of a batch and of its model."""

from django.test import Client
from django.urls import reverse

from inspection.models import Batch, Inspection, Purpose
from tests.unit.web.conftest import World
from tests.unit.web.test_pages import read


def known(world: World) -> None:
    """Every part of the batch is known: half of them good, half scratched."""
    Batch.objects.filter(pk=world.batch.pk).update(purpose=Purpose.TRIAL)
    Inspection.objects.filter(batch=world.batch).update(purpose=Purpose.TRIAL)
    for number, one in enumerate(world.batch.inspections.order_by("id")):
        one.reference_label = "good" if number % 2 else "solder_bridge"
        one.save()


def test_a_labelled_batch_shows_its_kinds_once_all_is_scored(
    world: World, engineer: Client
) -> None:
    known(world)
    assert 'id="by-kind"' not in read(engineer, "batch", world.batch.pk), "one still waits"
    Inspection.objects.filter(batch=world.batch, verdict="").delete()
    for name in ("batch", "batch_head"):
        page = read(engineer, name, world.batch.pk)
        assert 'data-kind="solder_bridge"' in page
        assert "solder bridge" in page
        assert "Good parts that pass" in page


def test_the_model_shows_its_latest_labelled_batch(world: World, engineer: Client) -> None:
    address = reverse("model_by_kind", args=[world.version.pk])
    assert address in read(engineer, "model", world.version.pk)
    Inspection.objects.exclude(batch=world.batch).update(reference_label="")
    assert 'id="by-kind"' not in read(engineer, "model_by_kind", world.version.pk)
    known(world)
    page = read(engineer, "model_by_kind", world.version.pk)
    assert 'data-kind="solder_bridge"' in page
    assert f"/batches/{world.batch.pk}/" in page
