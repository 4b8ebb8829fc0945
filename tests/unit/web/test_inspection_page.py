"""What the page of one inspection tells, and what can be said there."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from PIL import Image as Pillow

from inspection.models import (
    Escape,
    Inspection,
    Purpose,
    ReasonCode,
    Review,
    ReviewState,
    Role,
    SnapshotImage,
    TrainingRun,
)
from inspection.services import nearest
from tests.factories.files import encoded
from tests.factories.image import ImageFactory
from tests.factories.inspection import InspectionFactory
from tests.factories.membership import MembershipFactory
from tests.factories.unit import LotFactory, UnitFactory
from tests.unit.web.conftest import World, signed_in


@pytest.fixture
def inspector(world: World) -> Client:
    return signed_in(MembershipFactory(product=world.product, role=Role.INSPECTOR).user)


def page_of(client: Client, world: World, **query: str) -> str:
    return client.get(reverse("inspection", args=[world.inspection.pk]), query).content.decode()


def with_unit(world: World, **fields: Any) -> Inspection:
    lot = LotFactory(product=world.product, code="L-7")
    unit = UnitFactory(product=world.product, serial_number="SN 42/A", lot=lot)
    Inspection.objects.filter(pk=world.inspection.pk).update(unit=unit, lot=lot, **fields)
    world.inspection.refresh_from_db()
    return world.inspection


def test_crumbs_go_by_noun(world: World, viewer: Client) -> None:
    with_unit(world)
    page = page_of(viewer, world)
    crumbs = page[page.index('<ol class="crumbs"') : page.index("</ol>")]
    product = str(world.product.pk)
    assert reverse("product", args=[product]) in crumbs
    assert f"{reverse('defects')}?product={product}&amp;lot=L-7" in crumbs
    assert f"{reverse('defects')}?product={product}&amp;serial=SN%2042/A" in crumbs
    assert 'aria-current="page">Inspection<' in crumbs


def test_the_history_of_a_unit_tells_retests_reviews_and_escapes(
    world: World, viewer: Client
) -> None:
    first = with_unit(world, is_record=True)
    author = MembershipFactory(product=world.product, role=Role.INSPECTOR).user
    retest = InspectionFactory(
        batch=world.batch, unit=first.unit, review_state=ReviewState.REJECTED, reviewed_by=author
    )
    InspectionFactory(batch=world.batch, unit=UnitFactory(product=world.product))
    Escape.objects.create(
        unit=first.unit, found_at=timezone.now(), found_where="ICT 3", reported_by=author
    )
    answer = viewer.get(reverse("inspection", args=[first.pk]))
    told = [event.inspection for event in answer.context["history"]]
    again = [one for one in told if one.purpose == Purpose.RESCORE]
    assert [one.pk for one in told if one not in again] == [retest.pk, first.pk]
    assert all(one.origin_id == first.pk for one in again)
    page = answer.content.decode()
    assert reverse("inspection", args=[retest.pk]) in page
    assert "decision of record" in page
    assert "retest" in page
    assert author.username in page
    assert "ICT 3" in page


def test_regions_have_outlines_and_what_good_parts_say(world: World, viewer: Client) -> None:
    regions = [
        {
            **{"x": 0.25, "y": 0.5, "width": 0.25, "height": 0.25, "area": 0.01, "peak": 3.0},
            "polygon": [[0.25, 0.5], [0.5, 0.5], [0.375, 0.75]],
            "p_value": 0.004,
        },
        {"x": 0.0, "y": 0.0, "width": 0.1, "height": 0.1, "area": 0.01, "peak": 1.0},
    ]
    type(world.result).objects.filter(pk=world.result.pk).update(regions=regions)
    page = page_of(viewer, world)
    # A picture of 64 × 48, drawn a thousand wide: the triangle, and a box where none is known.
    assert "M250.0 375.0L500.0 375.0L375.0 562.5ZM0.0 0.0L100.0 0.0" in page
    assert page.count("p = 0.004") == 1


def test_neighbours_from_defects_follow_its_filter(world: World, viewer: Client) -> None:
    found = list(world.batch.inspections.exclude(verdict="").order_by("id"))
    Inspection.objects.filter(pk__in=[one.pk for one in found]).update(cell=3)
    Inspection.objects.filter(pk=found[2].pk).update(cell=4)
    address = reverse("inspection", args=[found[1].pk])
    shown = viewer.get(address, {"from": "defects", "cell": "3"})
    assert (shown.context["before"], shown.context["after"]) == (found[3].pk, found[0].pk)
    page = shown.content.decode()
    assert f"{reverse('inspection', args=[found[0].pk])}?from=defects&amp;cell=3" in page
    assert f'href="{reverse("defects")}?cell=3"' in page


def judge(client: Client, world: World, **fields: str) -> Any:
    address = reverse("inspection_review", args=[world.inspection.pk])
    return client.post(address, {"seen": "NotVerifiedYet", **fields})


def test_an_inspector_judges_and_takes_back(world: World, inspector: Client) -> None:
    reason = ReasonCode.objects.create(product=world.product, code="DUST", text="Dust")
    judge(inspector, world, state="DefectRejected", reason=str(reason.pk), comment="wiped off")
    world.inspection.refresh_from_db()
    assert world.inspection.review_state == ReviewState.REJECTED
    assert world.inspection.review_reason == reason
    page = page_of(inspector, world)
    assert "wiped off" in page
    assert "Undo the last review" in page
    review = Review.objects.get()
    inspector.post(
        reverse("inspection_undo", args=[world.inspection.pk]), {"review": str(review.pk)}
    )
    world.inspection.refresh_from_db()
    assert world.inspection.review_state == ReviewState.NOT_VERIFIED
    assert "taken back" in page_of(inspector, world)


def test_what_somebody_else_judged_meanwhile_stands(world: World, inspector: Client) -> None:
    judge(inspector, world, state="DefectConfirmed")
    answer = inspector.post(
        reverse("inspection_review", args=[world.inspection.pk]),
        {"seen": "NotVerifiedYet", "state": "DefectRejected"},
        headers={"Accept": "application/json"},
    )
    assert answer.status_code == 409
    assert answer.json()["code"] == "changed_meanwhile"
    world.inspection.refresh_from_db()
    assert world.inspection.review_state == ReviewState.CONFIRMED


def test_a_viewer_sees_reviews_and_gives_none(
    world: World, viewer: Client, inspector: Client, stranger: Client
) -> None:
    assert judge(viewer, world, state="DefectConfirmed").status_code == 403
    assert judge(stranger, world, state="DefectConfirmed").status_code == 404
    judge(inspector, world, state="DefectConfirmed")
    page = page_of(viewer, world)
    assert "Defect confirmed" in page
    assert "judge-form" not in page
    undo = reverse("inspection_undo", args=[world.inspection.pk])
    sent = {"review": str(Review.objects.get().pk)}
    assert viewer.post(undo, sent).status_code == 403


def test_many_are_judged_at_once_and_refusals_are_said(
    world: World, inspector: Client, viewer: Client
) -> None:
    parts = list(world.batch.inspections.exclude(verdict="")[:3])
    waiting = world.batch.inspections.get(verdict="")
    other = InspectionFactory()
    Inspection.objects.filter(pk=parts[2].pk).update(review_state=ReviewState.CONFIRMED)
    picks = [str(one.pk) for one in (*parts, waiting, other)]
    seen = [f"{key}.NotVerifiedYet" for key in picks]
    sent = {"inspection": picks, "seen": seen, "state": "DefectRejected"}
    answer = inspector.post(reverse("defects_review"), sent, follow=True)
    states = [Inspection.objects.get(pk=one.pk).review_state for one in (*parts, waiting, other)]
    assert states == ["DefectRejected"] * 2 + ["DefectConfirmed"] + ["NotVerifiedYet"] * 2
    said = [str(message) for message in answer.context["messages"]]
    assert "2 parts are now “False call”." in said
    assert any("Somebody judged this part a moment ago" in one for one in said)
    assert any("no verdict to review" in one for one in said)
    assert Review.objects.count() == 2
    viewer.post(reverse("defects_review"), sent)
    assert Review.objects.count() == 2


def test_nothing_picked_is_said(world: World, inspector: Client) -> None:
    for picks in ([], ["x"] * 201, ["no key"]):
        answer = inspector.post(
            reverse("defects_review"),
            {"inspection": picks, "state": "DefectRejected"},
            headers={"Accept": "application/json"},
        )
        assert answer.status_code == 409


# --- what good parts look like ---------------------------------------------------------------


def flat(colour: tuple[int, int, int], spot: tuple[int, int, int] | None = None) -> bytes:
    """A plain part of 64 × 64, with a spot in its upper left quarter."""
    picture = Pillow.new("RGB", (64, 64), colour)
    if spot:
        picture.paste(spot, (4, 4, 20, 20))
    return encoded(picture, "WEBP", lossless=True)


@pytest.fixture
def good_parts(world: World) -> Iterator[dict[str, SnapshotImage]]:
    """Three that the model learned from: one almost like the part, one darker, one that has
    the part's own spot, so that a careless comparison would call it the most similar."""
    nearest._known.cache_clear()
    snapshot = world.version.training_run.snapshot
    drawn = {
        "like it": flat((120, 120, 120)),
        "darker": flat((90, 90, 90)),
        "same defect, another shade": flat((100, 100, 100), (255, 0, 0)),
    }
    made = {}
    for name, content in drawn.items():
        image = ImageFactory()
        default_storage.save(image.thumbnail_key, ContentFile(content))
        made[name] = SnapshotImage.objects.create(
            snapshot=snapshot, image=image, file_name=name, split=SnapshotImage.Split.TRAIN
        )
    SnapshotImage.objects.create(snapshot=snapshot, image=ImageFactory(), file_name="not used")
    shown = world.result.picture.image
    default_storage.save(shown.thumbnail_key, ContentFile(flat((122, 122, 122), (255, 0, 0))))
    regions = [{"x": 0.06, "y": 0.06, "width": 0.26, "height": 0.26, "area": 0.07, "peak": 9.0}]
    type(world.result).objects.filter(pk=world.result.pk).update(regions=regions)
    yield made
    nearest._known.cache_clear()


def test_the_most_similar_good_parts_are_found_around_the_defect(
    world: World, good_parts: dict[str, SnapshotImage]
) -> None:
    snapshot = world.version.training_run.snapshot
    world.result.refresh_from_db()
    image = world.result.picture.image
    found = nearest.most_alike(image, snapshot, world.result.regions)
    assert found is not None
    assert [part.file_name for part in found.parts] == [
        "like it",
        "same defect, another shade",
        "darker",
    ]
    assert found.parts[0].difference == pytest.approx(2 / 255, abs=1e-3)
    assert (found.compared, found.there_are, found.around) == (3, 3, True)
    nearest._known.cache_clear()  # another process reads what this one wrote
    again = nearest.most_alike(image, snapshot, world.result.regions)
    assert again == found


def test_the_page_says_how_they_were_found(
    world: World, viewer: Client, stranger: Client, good_parts: dict[str, SnapshotImage]
) -> None:
    address = reverse("inspection_alike", args=[world.inspection.pk])
    assert address in page_of(viewer, world)
    page = viewer.get(address).content.decode()
    assert reverse("preview", args=[good_parts["like it"].image_id]) in page
    assert "of 3 of the 3 good parts" in page
    assert "decided nothing" in page
    assert stranger.get(address).status_code == 404
    TrainingRun.objects.filter(pk=world.version.training_run_id).update(
        symmetries=["free_rotation"]
    )
    page = viewer.get(address).content.decode()
    assert "may lie turned" in page
    assert 'viewBox="0 0 1000 750"' in page, "the whole picture, since places do not match"


def test_good_parts_that_are_gone_are_said_to_be(world: World, viewer: Client) -> None:
    nearest._known.cache_clear()
    page = viewer.get(reverse("inspection_alike", args=[world.inspection.pk])).content.decode()
    assert "not in the storage any more" in page
