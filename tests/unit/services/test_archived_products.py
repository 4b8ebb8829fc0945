"""An archived product: its history is read as before, and nothing new is learned or judged."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.http import QueryDict

from inspection.errors import UserError, WrongState
from inspection.live.topics import may_listen
from inspection.models import (
    Batch,
    Inspection,
    Intake,
    JobState,
    ModelVersion,
    Product,
    Purpose,
    Role,
    TrainingRun,
    User,
    Viewpoint,
)
from inspection.querysets import wanted_inspections
from inspection.services import (
    batch_intake,
    batches,
    dataset_pictures,
    drift,
    escapes,
    golden,
    intakes,
    products,
    recipes,
    reports,
    rescoring,
    retraining,
    retraining_plans,
    review_queue,
    tallies,
    training,
    uploads,
)
from inspection.services.products import archive_product, good_dataset, restore_product
from inspection.services.reviews import record_review
from inspection.services.visible import visible
from inspection.web import reads_today
from inspection.web.filters import Choices, Filters
from inspection.web.scope import Scope
from tests.factories.batch import BatchFactory
from tests.factories.files import picture
from tests.factories.inspection import InspectionFactory
from tests.factories.intake import drop, look, outcomes
from tests.factories.jobs import make_image
from tests.factories.membership import MembershipFactory
from tests.factories.model_version import ModelVersionFactory
from tests.factories.review import LotFactory, UnitFactory
from tests.factories.station import StationFactory
from tests.factories.submission import make_asked, make_sender, send
from tests.factories.tally import HourlyTallyFactory
from tests.factories.training_run import TrainingRunFactory
from tests.factories.user import UserFactory
from tests.factories.viewpoint import ViewpointFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def version() -> ModelVersion:
    return ModelVersionFactory()


@pytest.fixture
def product(version: ModelVersion) -> Product:
    return version.viewpoint.product


@pytest.fixture
def part(version: ModelVersion, product: Product) -> Inspection:
    """A called part of a lot that waits for a person, and its product archived since."""
    lot = LotFactory(product=product)
    unit = UnitFactory(product=product, lot=lot, serial_number="S-1")
    found = InspectionFactory(
        batch=BatchFactory(model_version=version, lot=lot), unit=unit, lot=lot, is_record=True
    )
    tallies.recount()
    archive_product(None, product)
    return Inspection.objects.select_related("viewpoint__product").get(pk=found.pk)


def test_who_could_see_its_history_still_can_and_nobody_else(part: Inspection) -> None:
    product = part.viewpoint.product
    sees = [
        UserFactory(is_superuser=True),
        UserFactory(role=Role.VIEWER),
        MembershipFactory(product=product, role=Role.VIEWER).user,
    ]
    for user in sees:
        assert part in visible(user, Inspection)
        assert product in visible(user, Product)
        assert may_listen(user, f"inspection:{part.pk}")
    other = MembershipFactory(role=Role.ADMINISTRATOR).user
    idle = MembershipFactory(product=product, role=Role.VIEWER, user__is_active=False).user
    for user in (other, idle, UserFactory()):
        assert not visible(user, Inspection).exists()
        assert product not in visible(user, Product)
        assert not may_listen(user, f"inspection:{part.pk}")


def test_who_sees_all_is_not_asked_for_viewpoints(part: Inspection) -> None:
    ViewpointFactory()
    assert Choices(UserFactory(role=Role.VIEWER)).sees_all
    assert Choices(UserFactory(is_superuser=True)).sees_all
    member = MembershipFactory(product=part.viewpoint.product).user
    assert not Choices(member).sees_all
    assert [one.product for one in Choices(member).viewpoints] == [part.viewpoint.product]


def test_figures_of_the_past_stay_and_its_model_is_no_news(version: ModelVersion) -> None:
    product, user = version.viewpoint.product, UserFactory(role=Role.VIEWER)
    HourlyTallyFactory(model_version=version, station=StationFactory(), days_ago=1, inspected=40)

    def inspected() -> tuple[int, list[ModelVersion]]:
        scope = Scope.read(user, QueryDict())
        return reads_today.trend(scope).sums.inspected, reads_today.active_models(scope, 5)

    assert inspected() == (40, [version])
    archive_product(None, product)
    assert inspected() == (40, [])


def test_people_go_on_saying_what_became_of_its_parts(part: Inspection) -> None:
    """What waits is judged on its page, what comes back is reported, and reports are made. No
    station hands it out: its queue is today's work."""
    product = part.viewpoint.product
    inspector = MembershipFactory(product=product, role=Role.INSPECTOR).user
    assert list(review_queue.waiting(inspector, review_queue.Queue())) == []
    record_review(inspector, part, state="DefectConfirmed")
    assert escapes.report_escape(inspector, serial_number="S-1", found_where="Customer")
    assert reports.request_report(inspector, product, kind="lot_csv", lot=part.lot)
    engineer = MembershipFactory(product=product, role=Role.ENGINEER).user
    assert part.lot
    again = rescoring.rescore_lot(engineer, part.lot, part.model_version, reason="it came back")
    assert again.purpose == Purpose.RESCORE


@pytest.mark.parametrize("role", [Role.VIEWER, Role.INSPECTOR])
@pytest.mark.parametrize("archived", [True, False])
def test_tile_list_and_queue_agree_on_what_waits(
    part: Inspection, role: Role, *, archived: bool
) -> None:
    if not archived:
        restore_product(None, part.viewpoint.product)
    user = UserFactory(role=role)
    tile = reads_today.waiting(user, Scope.read(user, QueryDict()))
    filters = Filters.of({"review": "queue"}, Choices(user))
    assert tile.called + tile.drawn == wanted_inspections(filters.wanted).count()
    assert tile.called + tile.drawn == (0 if archived else 1)


def run_of(viewpoint: Viewpoint, state: JobState) -> TrainingRun:
    dataset = good_dataset(viewpoint)
    return TrainingRunFactory(viewpoint=viewpoint, snapshot__dataset=dataset, state=state)


NEW: dict[str, Callable[[User, Inspection], Any]] = {
    "run": lambda user, part: training.start_run(
        user, part.viewpoint, preset="tiny", budget_minutes=1
    ),
    "resumed run": lambda user, part: training.resume_run(
        user, run_of(part.viewpoint, JobState.FAILED)
    ),
    "vetted run": lambda user, part: training.continue_after_vetting(
        user, run_of(part.viewpoint, JobState.PAUSED)
    ),
    "plan": lambda user, part: retraining_plans.set_plan(
        user,
        part.viewpoint,
        every_days=7,
        on_drift=False,
        least_new=1,
        settings=retraining.usual_settings(part.viewpoint),
    ),
    "good parts": lambda user, part: retraining.propose_good_parts(user, [part]),
    "golden part": lambda user, part: golden.take_over(user, part, label="good", must=True),
    "picture": lambda user, part: dataset_pictures.add_image(
        user, good_dataset(part.viewpoint), make_image()
    ),
    "upload": lambda user, part: uploads.open_upload(user, dataset=good_dataset(part.viewpoint)),
    "upload into a batch": lambda user, part: uploads.open_upload(user, batch=part.batch),
    "picture into a batch": lambda user, part: batch_intake.submit_image(
        user, Batch.objects.select_related("viewpoint__product").get(pk=part.batch_id), make_image()
    ),
    "batch": lambda user, part: batches.open_batch(
        user, part.viewpoint, name="B", purpose=Purpose.PRODUCTION
    ),
    "trial": lambda user, part: batches.open_batch(
        user, part.viewpoint, name="B", purpose=Purpose.TRIAL
    ),
    "folder": lambda user, part: intakes.create_intake(
        user, name="F", viewpoint=part.viewpoint, location="/srv/f", pattern="{serial}.png"
    ),
    "viewpoint": lambda user, part: products.create_viewpoint(
        user, part.viewpoint.product, code="top", name="Top"
    ),
    "recipe": lambda user, part: recipes.viewpoint_named(part.viewpoint.product.code),
}


@pytest.mark.parametrize("what", NEW)
def test_nothing_new_begins_for_it(part: Inspection, what: str) -> None:
    user = MembershipFactory(product=part.viewpoint.product, role=Role.ENGINEER).user
    with pytest.raises(WrongState, match="is archived, so nothing new") as refused:
        NEW[what](user, part)
    assert refused.value.code == "product_archived"


def test_a_submission_is_refused_with_a_sentence_until_it_is_restored(
    version: ModelVersion, product: Product
) -> None:
    sender, asked = make_sender(version), make_asked(version)
    known = send(sender, make_asked(version), "k")
    archive_product(None, product)
    with pytest.raises(WrongState, match=f"{product.code} is archived") as refused:
        send(sender, asked)
    assert refused.value.code == "product_archived"
    assert Inspection.objects.get() == known.inspection
    stranger = MembershipFactory(role=Role.ADMINISTRATOR).user
    with pytest.raises(UserError) as hidden:
        send(stranger, asked)
    assert hidden.value.code == "unknown_recipe", "who may not see it learns nothing"
    restore_product(None, product)
    assert send(sender, asked).created


def test_a_watched_folder_waits_until_it_is_restored(intake: Intake, folder: Path) -> None:
    product = intake.viewpoint.product
    archive_product(None, product)
    drop(folder, "L7_SN1_3.png", picture(1))
    look(intake)
    assert not Inspection.objects.exists()
    assert "is archived" in intake.last_error
    assert intake.paused_at is None
    restore_product(None, product)
    look(intake)
    assert outcomes(intake) == {"L7_SN1_3.png": "accepted"}
    assert intake.last_error == ""


def test_a_paused_folder_stays_so_while_its_product_is_archived(intake: Intake) -> None:
    user = intake.created_by
    intakes.pause_intake(user, intake)
    archive_product(None, intake.viewpoint.product)
    intake.viewpoint.product.refresh_from_db()
    with pytest.raises(WrongState, match="is archived"):
        intakes.resume_intake(user, intake)
    with pytest.raises(WrongState, match="is archived"):
        intakes.edit_intake(user, intake, quiet_minutes=3)


def test_its_scores_are_not_watched_for_drift(version: ModelVersion) -> None:
    station = StationFactory()
    for ago in range(60, -1, -1):
        mean = 0.36 if ago < 8 else 0.30 + 0.01 * (ago % 2)
        HourlyTallyFactory(
            model_version=version, station=station, days_ago=ago, mean=mean, inspected=400
        )
    assert drift.watch() == 1
    archive_product(None, version.viewpoint.product)
    assert drift.watch() == 0


def test_a_member_of_archived_products_alone_sends_no_loose_pictures(part: Inspection) -> None:
    user = MembershipFactory(product=part.viewpoint.product, role=Role.INSPECTOR).user
    with pytest.raises(UserError, match="Inspector for some product"):
        dataset_pictures.receive_image(user, "a.png", io.BytesIO(picture(1)))


def test_a_run_that_is_under_way_ends_as_any_other(version: ModelVersion) -> None:
    run = run_of(version.viewpoint, JobState.RUNNING)
    archive_product(None, version.viewpoint.product)
    training.cancel_run(None, run)
    assert TrainingRun.objects.get(pk=run.pk).cancel_requested_at
