"""A submission is taken once, under the rules of the API, whoever sends it how often."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.utils import timezone
from redis.exceptions import RedisError

from inspection.errors import NotAllowed, UserError, WrongState
from inspection.jobs.publish import waiting_messages
from inspection.models import (
    AuditEvent,
    Endpoint,
    Inspection,
    JobState,
    Lane,
    Lot,
    ModelVersion,
    Product,
    Role,
    ScoringChunk,
    Station,
    Submission,
    Unit,
    User,
    Viewpoint,
)
from inspection.services import submissions, tidying
from inspection.services.submission_fields import MOST_IMAGES
from inspection.services.submissions import Duplicate, StillReceiving, read_key, receiving
from tests.factories.jobs import make_image, make_version
from tests.factories.submission import PATH, make_asked, make_sender, send
from tests.threads import at_once

pytestmark = pytest.mark.django_db


@pytest.fixture
def version() -> ModelVersion:
    made = make_version()
    made.promoted_at = timezone.now()
    made.save()
    return made


@pytest.fixture
def sender(version: ModelVersion) -> User:
    return make_sender(version)


def refused(code: str, field: str, version: ModelVersion, **fields: Any) -> None:
    before = Submission.objects.count()
    with pytest.raises(UserError) as caught:
        send(make_sender(version), make_asked(version, **fields))
    assert (caught.value.code, caught.value.field) == (code, field)
    assert Submission.objects.count() == before


def test_a_submission_is_an_inspection_with_its_pictures_in_the_fast_lane(
    version: ModelVersion, sender: User
) -> None:
    images = [make_image("top.png"), make_image("bottom.png")]
    asked = make_asked(
        version,
        images=images,
        work_order="WO1",
        lot_id="L1",
        panel_id="P1",
        position_number=3,
        side="top",
        part_number=version.viewpoint.product.code.lower(),
        captured_at="2026-11-26T12:00:00+08:00",
    )
    audited = AuditEvent.objects.count()
    got = send(sender, asked)
    assert got.created
    one = Inspection.objects.get()
    assert one == got.inspection
    assert [item.image for item in one.pictures.order_by("index")] == images
    assert (one.batch, one.verdict, one.purpose) == (None, "", "production")
    assert (one.model_version, one.operating_point) == (version, version.operating_points.get())
    assert one.captured_at
    assert one.captured_at.hour == 4
    assert (one.lot, one.work_order) == (Lot.objects.get(code="L1", work_order="WO1"), "WO1")
    unit = Unit.objects.get()
    assert one.unit == unit
    assert (unit.panel_id, unit.position_number, unit.lot) == ("P1", 3, one.lot)
    assert one.submission.panel_side == "top"
    assert one.chunk is not None
    assert (one.chunk.lane, one.chunk.batch, one.chunk.state) == (Lane.FAST, None, JobState.QUEUED)
    assert AuditEvent.objects.count() == audited, "the row says who and when"


@pytest.mark.django_db(transaction=True)
def test_its_message_goes_to_the_queue_that_is_looked_at_first(empty_queues: None) -> None:
    version = make_version()
    send(make_sender(version), make_asked(version))
    assert waiting_messages("fast") == 1
    assert waiting_messages("score") == 0
    assert ScoringChunk.objects.get().published_at is not None


# --- the same again ----------------------------------------------------------------------


def test_the_same_key_and_payload_give_the_same_inspection(
    version: ModelVersion, sender: User
) -> None:
    asked = make_asked(version)
    first, second = send(sender, asked, "k"), send(sender, asked, "k")
    assert second == submissions.Submitted(first.inspection, False)
    assert Inspection.objects.count() == ScoringChunk.objects.count() == 1


@pytest.mark.parametrize(
    "change",
    [
        {"serial_number": "other"},
        {"position_number": 1},
        {"failed_board": "2"},
        {"captured_at": timezone.now()},
        {"callback_url": "https://mes.example/x"},
    ],
)
def test_the_same_key_with_another_payload_is_refused(
    version: ModelVersion, sender: User, change: dict[str, Any]
) -> None:
    asked = make_asked(version)
    send(sender, asked, "k")
    with pytest.raises(UserError) as caught:
        send(sender, replace(asked, **change), "k")
    assert caught.value.code == "idempotency_key_reused"
    assert not isinstance(caught.value, WrongState), "422, not 409"


def test_other_pictures_are_another_payload_and_so_is_their_order(
    version: ModelVersion, sender: User
) -> None:
    one, two = make_image(), make_image()
    asked = make_asked(version, images=[one, two])
    send(sender, asked, "k")
    for images in ((two, one), (one,)):
        with pytest.raises(UserError, match="other fields or pictures"):
            send(sender, replace(asked, images=images), "k")


def test_method_and_path_belong_to_the_payload(version: ModelVersion, sender: User) -> None:
    asked = make_asked(version)
    send(sender, asked, "k")
    with pytest.raises(UserError, match="Use a new key"):
        submissions.submit(sender, asked, idempotency_key="k", method_path="POST /api/v2/x")


def test_keys_belong_to_their_owner(version: ModelVersion, sender: User) -> None:
    send(sender, make_asked(version), "k")
    assert send(make_sender(version), make_asked(version), "k").created


def test_an_external_id_under_another_key_names_the_first(
    version: ModelVersion, sender: User
) -> None:
    first = send(sender, make_asked(version, external_id="E"))
    with pytest.raises(Duplicate) as caught:
        send(sender, make_asked(version, external_id="E"))
    assert caught.value.code == "duplicate_external_id"
    assert caught.value.inspection_id == first.inspection.pk
    assert str(first.inspection.pk) in caught.value.message


def test_an_external_id_of_a_product_one_may_not_see_is_not_named(
    version: ModelVersion, sender: User
) -> None:
    first = send(sender, make_asked(version, external_id="E"))
    other = make_version()
    with pytest.raises(Duplicate) as caught:
        send(make_sender(other), make_asked(other, external_id="E"))
    assert caught.value.inspection_id is None
    assert str(first.inspection.pk) not in caught.value.message


def test_another_station_may_use_the_same_external_id(version: ModelVersion, sender: User) -> None:
    Station.objects.create(code="AOI-2", name="AOI")
    send(sender, make_asked(version, external_id="E"))
    assert send(sender, make_asked(version, external_id="E", station_id="AOI-2")).created


def test_after_thirty_days_a_key_is_free_and_an_external_id_is_not(
    version: ModelVersion, sender: User
) -> None:
    asked = make_asked(version)
    send(sender, asked, "k")
    left = Submission.objects.get().expires_at - timezone.now()
    assert timedelta(days=29.9) < left <= timedelta(days=30)
    Submission.objects.update(expires_at=timezone.now())
    with pytest.raises(Duplicate):
        send(sender, asked, "k")
    assert send(sender, make_asked(version), "k").created


def test_tidying_frees_only_keys_that_are_over(version: ModelVersion, sender: User) -> None:
    send(sender, make_asked(version), "old")
    Submission.objects.update(expires_at=timezone.now())
    send(sender, make_asked(version), "new")
    assert tidying.tidy()["keys"] == 1
    assert tidying.tidy()["keys"] == 0
    keys = set(Submission.objects.values_list("idempotency_key", flat=True))
    assert "new" in keys
    assert "old" not in keys
    with pytest.raises(UserError):
        read_key(next(iter(keys - {"new"})))


def test_rights_are_asked_at_every_repeat(version: ModelVersion, sender: User) -> None:
    asked = make_asked(version)
    send(sender, asked, "k")
    sender.memberships.update(role=Role.VIEWER)
    with pytest.raises(NotAllowed):
        send(sender, asked, "k")


@pytest.mark.parametrize(
    ("header", "key"),
    [('"a-b"', "a-b"), ("a-b", "a-b"), (' "a\\"b" ', 'a"b'), ("x" * 255, "x" * 255)],
)
def test_quoted_and_bare_keys_are_accepted(header: str, key: str) -> None:
    assert read_key(header) == key


@pytest.mark.parametrize("header", ["", "  ", '""', "x" * 256, "schlüssel", "a\tb"])
def test_what_is_no_key_is_refused(header: str) -> None:
    with pytest.raises(UserError) as caught:
        read_key(header)
    assert caught.value.field == "Idempotency-Key"


# --- while the first is still on its way in -----------------------------------------------


def test_a_second_request_waits_while_the_first_is_received(
    version: ModelVersion, sender: User
) -> None:
    with receiving(sender, "k"):
        with pytest.raises(StillReceiving) as caught, receiving(sender, "k"):
            pass
        assert caught.value.retry_after == 1
        with receiving(sender, "other"), receiving(make_sender(version), "k"):
            pass
        send(sender, make_asked(version), "k")
        with receiving(sender, "k"):
            pass  # stored: answered from the row
    with receiving(sender, "fresh"):
        pass


def test_the_marker_goes_when_the_first_breaks_off(sender: User) -> None:
    with pytest.raises(ZeroDivisionError), receiving(sender, "k"):
        raise ZeroDivisionError
    with receiving(sender, "k"):
        pass


def test_a_cache_that_is_down_means_no_marker(sender: User, settings: Any) -> None:
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:1/0",
        }
    }
    with pytest.raises(RedisError):
        cache.get("anything")  # it is down indeed
    with receiving(sender, "k"), receiving(sender, "k"):
        pass


# --- what the names mean -------------------------------------------------------------------


def test_who_only_looks_may_not_send(version: ModelVersion) -> None:
    with pytest.raises(NotAllowed):
        send(make_sender(version, Role.VIEWER), make_asked(version))


def test_a_product_of_others_is_an_unknown_recipe(version: ModelVersion) -> None:
    with pytest.raises(UserError) as caught:
        send(make_sender(make_version()), make_asked(version))
    assert caught.value.code == "unknown_recipe"


def test_recipes_are_found_by_part_number_and_viewpoint(version: ModelVersion) -> None:
    product = version.viewpoint.product
    back = make_version(viewpoint=_viewpoint(product, "back"))
    sender = make_sender(version)

    def judged_by(name: str) -> ModelVersion:
        return send(sender, make_asked(version, recipe={"name": name})).inspection.model_version

    assert judged_by(product.code) == judged_by(f"{product.code}/main") == version
    assert judged_by(f"{product.code.lower()}/BACK") == back
    refused("unknown_recipe", "recipe.name", version, recipe={"name": f"{product.code}/left"})
    refused("unknown_recipe", "recipe.name", version, recipe={"name": "nothing"})


def test_slashes_in_part_numbers_and_viewpoints_are_read_as_they_are_written(
    version: ModelVersion,
) -> None:
    product = version.viewpoint.product
    back = make_version(viewpoint=_viewpoint(product, "back"))
    other = make_version()
    Product.objects.filter(pk=product.pk).update(code="PN/7")
    Product.objects.filter(pk=other.viewpoint.product_id).update(code="PN")
    sender = make_sender(version)
    sender.memberships.create(product=other.viewpoint.product, role=Role.INSPECTOR)

    def judged_by(name: str) -> ModelVersion:
        return send(sender, make_asked(version, recipe={"name": name})).inspection.model_version

    assert judged_by("PN/7") == judged_by("pn/7/main") == version
    assert judged_by("PN/7/back") == back
    twin = make_version(viewpoint=_viewpoint(other.viewpoint.product, "7"))
    with pytest.raises(UserError) as caught:
        judged_by("PN/7")
    assert caught.value.code == "ambiguous_recipe"
    named = Product.objects.filter(pk=twin.viewpoint.product_id)
    named.update(archived_at=timezone.now())
    assert judged_by("PN/7") == version, "an archived product lets the other have the name"
    named.update(archived_at=None)
    Viewpoint.objects.filter(pk=twin.viewpoint_id).update(code="7/back")
    assert judged_by("PN/7") == version
    Viewpoint.objects.filter(pk=twin.viewpoint_id).update(code="7/left")
    assert judged_by("PN/7/left") == twin


def _viewpoint(product: Any, code: str) -> Viewpoint:
    made = Viewpoint.objects.create(product=product, code=code)
    made.datasets.create(name="Good parts")
    return made


def test_an_only_viewpoint_needs_no_name(version: ModelVersion, sender: User) -> None:
    Viewpoint.objects.update(code="top")
    name = version.viewpoint.product.code
    assert send(sender, make_asked(version, recipe={"name": name})).created


def test_a_revision_is_a_model_that_was_promoted_once(version: ModelVersion, sender: User) -> None:
    viewpoint = version.viewpoint
    candidate = make_version(viewpoint, state="candidate")
    ModelVersion.objects.filter(pk=version.pk).update(state="retired")
    active = make_version(viewpoint, promoted_at=timezone.now())
    name = viewpoint.recipe_name

    def judged_by(revision: str) -> ModelVersion:
        asked = make_asked(version, recipe={"name": name, "revision": revision})
        return send(sender, asked).inspection.model_version

    assert judged_by("") == judged_by(active.revision) == active
    assert judged_by(version.revision) == version
    for revision, code in (
        (candidate.revision, "not_promoted"),
        ("model-99999", "not_promoted"),
        ("17", "invalid"),
    ):
        recipe = {"name": name, "revision": revision}
        refused(code, "recipe.revision", version, recipe=recipe)
    ModelVersion.objects.filter(pk=active.pk).update(state="retired")
    refused("no_model", "recipe.name", version)


def test_the_part_number_must_fit_and_names_the_recipe_where_none_is_sent(
    version: ModelVersion, sender: User
) -> None:
    refused("other_part_number", "part_number", version, part_number="other")
    code = version.viewpoint.product.code
    assert send(sender, make_asked(version, recipe={}, part_number=code)).created


def test_an_unknown_station_is_made_by_an_engineer_only(version: ModelVersion) -> None:
    refused("unknown_station", "station_id", version, station_id="AOI-9")
    engineer = make_sender(version, Role.ENGINEER)
    got = send(engineer, make_asked(version, station_id="AOI-9"))
    assert got.inspection.station == Station.objects.get(code="AOI-9")


def test_a_lot_keeps_its_work_order(version: ModelVersion, sender: User) -> None:
    send(sender, make_asked(version, lot_id="L", work_order="WO1"))
    refused("other_work_order", "work_order", version, lot_id="L", work_order="WO2")
    assert send(sender, make_asked(version, lot_id="L")).inspection.work_order == "WO1"
    alone = send(sender, make_asked(version, work_order="WO3")).inspection
    assert (alone.lot, alone.work_order) == (None, "WO3")


def test_a_retest_is_the_same_unit(version: ModelVersion, sender: User) -> None:
    one = send(sender, make_asked(version, serial_number="S")).inspection
    two = send(sender, make_asked(version, serial_number="S")).inspection
    assert one.unit == two.unit
    assert send(sender, make_asked(version, serial_number="")).inspection.unit is None


# --- the fields ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("external_id", "x" * 121),
        ("external_id", "a\x00b"),
        ("external_id", 7),
        ("external_id", "half \ud800 a pair"),
        ("serial_number", ["a"]),
        ("position_number", -1),
        ("position_number", 2**31),
        ("position_number", "two"),
        ("position_number", True),
        ("captured_at", "yesterday"),
        ("captured_at", "2026-11-26T12:00:00"),
        ("captured_at", "2026-13-26T12:00:00Z"),
        ("FailedBoard", 3),
        ("recipe", "board"),
    ],
)
def test_a_field_of_the_wrong_kind_is_named(version: ModelVersion, field: str, value: Any) -> None:
    refused("invalid", field, version, **{field: value})


def test_a_callback_needs_a_webhook_of_the_product_at_its_address(
    version: ModelVersion, sender: User
) -> None:
    url = "https://mes.example/hook/7"
    refused("callback_not_allowed", "callback_url", version, callback_url=url)
    Endpoint.objects.create(kind="webhook", name="MES", address="https://mes.example/hook")
    got = send(sender, make_asked(version, callback_url=url))
    assert got.inspection.submission.callback_url == url


@pytest.mark.parametrize("field", ["external_id", "station_id"])
def test_a_missing_field_is_named(version: ModelVersion, field: str) -> None:
    refused("field_missing", field, version, **{field: " "})


def test_one_to_sixteen_pictures(version: ModelVersion, sender: User) -> None:
    many = [make_image() for _ in range(MOST_IMAGES)]
    assert send(sender, make_asked(version, images=many)).inspection.pictures.count() == 16
    refused("invalid", "images", version, images=[*many, make_image()])


def test_the_names_of_hermes_are_understood(version: ModelVersion, sender: User) -> None:
    asked = make_asked(
        version,
        external_id=None,
        serial_number=None,
        recipe=None,
        BoardId="7c1e",
        FailedBoard=1,
        ProductTypeId=version.viewpoint.product.code,
        TopBarcode="TOP",
        BottomBarcode="BOTTOM",
        WorkOrderId="WO1",
        BatchId="L1",
    )
    assert (asked.external_id, asked.serial_number) == ("7c1e", "TOP")
    assert (asked.work_order, asked.lot_id, asked.failed_board) == ("WO1", "L1", "1")
    assert send(sender, asked).created
    only = make_asked(version, serial_number="", BottomBarcode="BOTTOM")
    assert only.serial_number == "BOTTOM"
    refused("said_twice", "BoardId", version, BoardId="another")


# --- at once -----------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_many_that_send_the_same_at_once_make_one_of_each() -> None:
    version = make_version()
    sender = make_sender(version)
    asked = [make_asked(version, lot_id="L", work_order="WO") for _ in range(12)]
    ids: list[tuple[int, Any]] = []

    def call(n: int) -> None:
        ids.append((n, send(sender, asked[n], f"k{n}").inspection.pk))

    at_once([lambda n=n: call(n) for n in list(range(12)) * 4])
    assert len(ids) == 48
    assert len(set(ids)) == 12
    assert Inspection.objects.count() == Submission.objects.count() == 12
    assert ScoringChunk.objects.count() == 12
    assert Lot.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_one_external_id_under_eight_keys_at_once_is_taken_once() -> None:
    version = make_version()
    sender, asked = make_sender(version), make_asked(version)
    outcomes: list[Any] = []

    def call(n: int) -> None:
        try:
            outcomes.append(send(sender, asked, f"k{n}").inspection.pk)
        except Duplicate as refusal:
            outcomes.append(refusal.inspection_id)

    at_once([lambda n=n: call(n) for n in range(8)])
    assert set(outcomes) == {Inspection.objects.get().pk}
    assert len(outcomes) == 8


def test_the_fingerprint_is_of_what_was_said(version: ModelVersion, sender: User) -> None:
    asked = make_asked(version, captured_at="2026-11-26T12:00:00Z")
    later = timezone.now()
    same = replace(asked, captured_at=asked.captured_at)
    assert asked.fingerprint(sender.pk, PATH) == same.fingerprint(sender.pk, PATH)
    assert asked.fingerprint(sender.pk, PATH) != replace(asked, captured_at=later).fingerprint(
        sender.pk, PATH
    )
