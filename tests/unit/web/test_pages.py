"""What people read on the pages."""

from pathlib import Path

from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from inspection.models import (
    Disposition,
    JobState,
    ModelVersion,
    Role,
    UploadReceipt,
    Verdict,
)
from inspection.services.training import MIN_PICTURES
from inspection.web import words
from inspection.web.gauge import Gauge
from ml.methods import METHODS
from tests.factories.dataset import DatasetFactory
from tests.factories.membership import MembershipFactory
from tests.factories.model_version import ModelVersionFactory
from tests.factories.upload import UploadArchiveFactory, UploadFactory, UploadReceiptFactory
from tests.factories.user import UserFactory
from tests.unit.web.conftest import World, populate, signed_in


def read(client: Client, name: str, *keys: object) -> str:
    return client.get(reverse(name, args=keys)).content.decode()


def test_a_new_product_says_how_many_pictures_it_needs(db: None) -> None:
    client = signed_in(UserFactory(role="engineer"))
    product = DatasetFactory().viewpoint.product
    page = read(client, "product", product.pk)
    assert f"{MIN_PICTURES} are enough to begin" in page
    assert reverse("upload_new", args=[product.pk]) in page


def test_too_few_pictures_stop_training_with_a_sentence(world: World, engineer: Client) -> None:
    address = reverse("train", args=[world.product.pk])
    sent = {"preset": "tiny", "budget_minutes": "1", "vetting": "keep", "seed": "1"}
    page = engineer.post(address, {**sent, "viewpoint": "main"}).content.decode()
    assert f"Training needs at least {MIN_PICTURES} pictures" in page


def test_refused_files_of_a_batch_stay_in_sight(world: World, engineer: Client) -> None:
    upload = UploadFactory(dataset=None, batch=world.batch)
    sentence = "broken.png is cut off: copy it again from the camera."
    UploadReceiptFactory(
        upload=upload, outcome=UploadReceipt.Outcome.REFUSED, message=sentence, file_name="broken"
    )
    assert sentence in read(engineer, "batch", world.batch.pk)


def test_every_page_with_a_stand_ins_score_says_so(world: World, engineer: Client) -> None:
    shown = [
        read(engineer, "product", world.product.pk),
        read(engineer, "batch", world.batch.pk),
        read(engineer, "inspection", world.inspection.pk),
        read(engineer, "model", world.version.pk),
        read(engineer, "batch_new", world.product.pk),
    ]
    assert all('data-notice="stand-in"' in page for page in shown)
    world.version.backbone_is_stand_in = False
    world.version.save()
    assert 'data-notice="stand-in"' not in read(engineer, "inspection", world.inspection.pk)


def test_many_candidates_do_not_hide_the_model_that_judges(world: World, engineer: Client) -> None:
    for _ in range(6):
        ModelVersionFactory(
            training_run__viewpoint=world.version.viewpoint,
            training_run__snapshot__dataset=world.dataset,
            state=ModelVersion.State.CANDIDATE,
        )
    page = read(engineer, "product", world.product.pk)
    assert reverse("batch_new", args=[world.product.pk]) in page


def test_a_model_that_is_not_on_the_list_is_not_replaced_by_another(
    world: World, engineer: Client
) -> None:
    sent = {"name": "A", "purpose": "trial", "viewpoint": "main", "model_version": "unknown"}
    page = engineer.post(reverse("batch_new", args=[world.product.pk]), sent)
    assert "not on the list any more" in page.content.decode()


def test_a_failed_run_says_why_and_offers_to_resume(world: World, engineer: Client) -> None:
    world.run.state, world.run.error = JobState.FAILED, "The disk was full. Free some space."
    world.run.save()
    page = read(engineer, "run", world.run.pk)
    assert world.run.error in page
    assert reverse("run_resume", args=[world.run.pk]) in page


def test_an_inspection_names_what_decided(world: World, engineer: Client) -> None:
    page = read(engineer, "inspection", world.inspection.pk)
    assert "None of the 99 good parts kept for calibration looked this unusual" in page
    assert "fail &gt; 0.990" in page
    assert "false calls ≤ 1.0 %" in page


def test_neighbours_follow_the_filter_and_the_order(world: World, engineer: Client) -> None:
    found = list(world.batch.inspections.exclude(verdict="").order_by("id"))
    for score, inspection in enumerate(found):
        type(inspection).objects.filter(pk=inspection.pk).update(score=score)
    address = reverse("inspection", args=[found[1].pk])
    worst_first = engineer.get(address, {"order": "worst"}).context
    assert (worst_first["before"], worst_first["after"]) == (found[2].pk, found[0].pk)
    newest_first = engineer.get(address).context
    assert (newest_first["before"], newest_first["after"]) == (found[2].pk, found[0].pk)
    oldest_first = engineer.get(address, {"order": "old"}).context
    assert (oldest_first["before"], oldest_first["after"]) == (found[0].pk, found[2].pk)
    none_passed = engineer.get(address, {"verdict": "pass"}).context
    assert (none_passed["before"], none_passed["after"]) == (None, None)


def test_a_picture_is_left_out_with_a_reason_only(world: World, engineer: Client) -> None:
    address = reverse("picture_exclude", args=[world.item.pk])
    engineer.post(address, {"exclude": "1", "reason": " "})
    world.item.refresh_from_db()
    assert world.item.excluded_at is None
    engineer.post(address, {"exclude": "1", "reason": "scratched"})
    world.item.refresh_from_db()
    assert world.item.excluded_reason == "scratched"


def test_addresses_that_make_no_sense_are_not_found(world: World, engineer: Client) -> None:
    tiles = reverse("batch_tiles", args=[world.batch.pk])
    for address in (f"{tiles}?start=x", f"{tiles}?ids=1,2", f"{tiles}?start=99999999999"):
        assert engineer.get(address).status_code == 404
    assert (
        engineer.get(reverse("dataset_tiles", args=[world.dataset.pk]) + "?after=1").status_code
        == 404
    )
    assert (
        engineer.get(reverse("upload_receipts", args=[world.upload.pk]) + "?after=1").status_code
        == 404
    )


def test_an_error_is_never_shown_as_a_pass() -> None:
    assert words.verdict_sign(Verdict.ERROR, Disposition.NEEDS_REVIEW) is words.ERROR
    assert words.verdict_sign(Verdict.PASSED, Disposition.NEEDS_REVIEW) is words.REVIEW
    assert words.verdict_sign("", "") is words.WAITING


def test_p_values_are_said_in_words() -> None:
    assert "3 of the 99 good parts" in words.p_value_words(0.04, 99)
    assert "None of the 99" in words.p_value_words(0.01, 99)
    assert words.p_value_words(None, 99) == ""


def test_the_gauge_is_the_models_and_not_the_pictures(db: None) -> None:
    world = populate()
    point = world.version.operating_points.get()
    low, high = (Gauge.of(world.version, point, score) for score in (0.1, 50.0))
    assert (low.fail, low.review, low.low, low.high) == (
        high.fail,
        high.review,
        high.low,
        high.high,
    )
    assert not low.over
    assert high.over
    assert high.score == 100


def test_a_run_that_waits_shows_the_stages_of_its_method() -> None:
    for name, method in METHODS.items():
        shown = words.usual_stages(name)
        wanted = (method.pretrains, method.restores is not None, method.memory)
        assert tuple(stage in shown for stage in ("pretrain", "inpaint", "memory")) == wanted


def test_durations() -> None:
    said = [words.duration(seconds) for seconds in (None, 0, 59, 95, 600, 7260)]
    assert said == ["", "0 s", "59 s", "1 min 35 s", "10 min", "2 h 1 min"]


def test_a_run_without_any_progress_yet_has_a_page(world: World, engineer: Client) -> None:
    for state in JobState.values:
        world.run.state, world.run.progress = state, {}
        world.run.save()
        assert engineer.get(reverse("run", args=[world.run.pk])).status_code == 200, state
        assert engineer.get(reverse("jobs")).status_code == 200, state


def test_the_jobs_page_offers_cancel_to_those_who_may(
    world: World, engineer: Client, viewer: Client
) -> None:
    UploadArchiveFactory(upload=world.upload)
    type(world.upload).objects.filter(pk=world.upload.pk).update(state=JobState.QUEUED)
    inspector = signed_in(MembershipFactory(product=world.product, role=Role.INSPECTOR).user)
    run, batch, upload = (
        reverse(name, args=[thing.pk])
        for name, thing in (
            ("run_cancel", world.run),
            ("batch_cancel", world.batch),
            ("upload_cancel", world.upload),
        )
    )
    for client, offered in ((engineer, [run, batch, upload]), (inspector, [batch]), (viewer, [])):
        page = read(client, "jobs")
        assert [one for one in (run, batch, upload) if one in page] == offered


def test_the_jobs_page_offers_no_cancel_where_one_was_asked_for(
    world: World, engineer: Client
) -> None:
    world.run.state, world.run.cancel_requested_at = JobState.RUNNING, timezone.now()
    world.run.save()
    assert reverse("run_cancel", args=[world.run.pk]) not in read(engineer, "jobs")


def test_unpacking_goes_on_only_where_the_zip_still_waits(
    world: World, engineer: Client, viewer: Client, settings: Settings, tmp_path: Path
) -> None:
    settings.STAGING_DIR = tmp_path
    world.upload.state, world.upload.error = JobState.FAILED, "The disk was full."
    world.upload.save()
    UploadArchiveFactory(upload=world.upload, path="lot.zip")
    (tmp_path / "lot.zip").write_bytes(b"zip")
    resume = reverse("upload_resume", args=[world.upload.pk])
    assert resume in read(engineer, "upload", world.upload.pk)
    assert resume not in read(viewer, "upload", world.upload.pk)
    (tmp_path / "lot.zip").unlink()
    page = read(engineer, "upload", world.upload.pk)
    assert resume not in page
    assert "Drop it again" in page


def test_the_nearest_good_picture_comes_from_the_row(world: World, engineer: Client) -> None:
    near = world.dataset.items.last().image_id
    world.run.snapshot.items.filter(vet_rank=0).update(vet_nearest=[str(near)])
    page = engineer.get(reverse("run", args=[world.run.pk])).content.decode()
    marked = page[page.index("The good picture that it resembles most") - 200 :]
    assert reverse("thumb", args=[near]) in marked[:200]


def test_the_papers_score_stands_beside_the_one_that_decides(
    world: World, engineer: Client
) -> None:
    page = read(engineer, "inspection", world.inspection.pk)
    assert "Paper&#x27;s score" in page
    assert "how far the part&#x27;s places are" not in page, "an older model has no memory"
    type(world.result).objects.filter(pk=world.result.pk).update(
        paper_score=0.4321, scores={"decision": 1.2, "eq7": 0.4321, "memory": 7.89, "odd": 1.0}
    )
    page = read(engineer, "inspection", world.inspection.pk)
    assert "<strong>0.432</strong>" in page
    assert "<strong>7.89</strong>" in page


def test_every_method_has_its_sentence_and_the_default_is_chosen(
    world: World, engineer: Client
) -> None:
    page = read(engineer, "train", world.product.pk)
    for name, (_, sentence) in words.METHODS.items():
        assert str(sentence) in page, name
    assert 'value="fused" checked' in page


def test_the_method_is_named_where_its_verdicts_are(world: World, engineer: Client) -> None:
    type(world.run).objects.filter(pk=world.run.pk).update(method="shift-net")
    type(world.version).objects.filter(pk=world.version.pk).update(method="memory")
    assert "Shift-Net" in read(engineer, "run", world.run.pk)
    assert "Memory only" in read(engineer, "model", world.version.pk)
    assert "Memory only" in read(engineer, "inspection", world.inspection.pk)
