"""Finding inspections: each filter finds what it says and nothing else, in pages by key."""

import re
from datetime import datetime, timedelta
from html import escape
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from inspection.ids import first_id_of, new_id
from inspection.models import Disposition, Inspection, ReasonCode, ReviewState, Role, Verdict
from inspection.querysets import BY_TEXT, VERDICTS, wanted_inspections
from inspection.web import reads_defects, words
from inspection.web.filters import Choices, Filters
from tests.factories.batch import BatchFactory
from tests.factories.inspection import ImageResultFactory, InspectionFactory
from tests.factories.membership import MembershipFactory
from tests.factories.model_version import ModelVersionFactory
from tests.factories.station import StationFactory
from tests.factories.unit import LotFactory, UnitFactory
from tests.factories.user import UserFactory
from tests.factories.viewpoint import ViewpointFactory
from tests.unit.web.conftest import World, populate, signed_in

MOST_QUESTIONS = 12


@pytest.fixture
def client(db: None) -> Client:
    return signed_in(UserFactory(role="viewer"))


@pytest.fixture
def batch(db: None) -> Any:
    return BatchFactory()


def found(client: Client, **filters: Any) -> set[Any]:
    answer = client.get(reverse("defects"), filters)
    assert answer.status_code == 200
    assert not answer.context["filters"].problems, answer.context["filters"].problems
    return {row.inspection.pk for row in answer.context["page"].rows}


def at(moment: datetime, **fields: Any) -> Inspection:
    """An inspection that was made and judged at that moment."""
    later = first_id_of(moment).int + (new_id().int & (1 << 62) - 1)
    return InspectionFactory(id=type(new_id())(int=later), completed_at=moment, **fields)


def pairs(batch: Any) -> dict[str, tuple[dict[str, Any], Inspection, Inspection]]:
    """Per filter: what is asked, one that fits, one that does not."""
    product = batch.viewpoint.product
    lot, other_lot = LotFactory.create_batch(2, product=product)
    one, other = StationFactory(line="SMT 1"), StationFactory(line="SMT 2")
    reasons = [ReasonCode.objects.create(product=product, code=c, text=c) for c in ("A", "B")]
    alike = UnitFactory(product=product, serial_number="AX-100", position_number=3)
    unlike = UnitFactory(product=product, serial_number="BX-AX-100", position_number=4)
    day = timezone.make_aware(datetime(2026, 3, 5, 12))
    panel = {"product": product, "serial_number": "", "position_number": 5}
    on_it, on_another = (UnitFactory(panel_id=name, **panel) for name in ("P-7", "P-77"))
    back = ModelVersionFactory(
        training_run__viewpoint=ViewpointFactory(product=product, code="back")
    )
    other_side = BatchFactory(model_version=back)

    def two(name: str, fits: Any, fits_not: Any) -> tuple[Inspection, Inspection]:
        return (
            InspectionFactory(batch=batch, **{name: fits}),
            InspectionFactory(batch=batch, **{name: fits_not}),
        )

    return {
        "product": (
            {"product": str(product.pk)},
            InspectionFactory(batch=batch),
            InspectionFactory(),
        ),
        "product by its code": (
            {"product": product.code},
            InspectionFactory(batch=batch),
            InspectionFactory(),
        ),
        "line": ({"line": "SMT 1"}, *two("station", one, other)),
        "station": ({"station": str(one.pk)}, *two("station", one, other)),
        "station by its code": ({"station": one.code}, *two("station", one, other)),
        "lot": ({"lot": lot.code}, *two("lot", lot, other_lot)),
        "work order": ({"work_order": "W1"}, *two("work_order", "W1", "W11")),
        "serial": ({"serial": "AX-1"}, *two("unit", alike, unlike)),
        "panel": ({"panel": "P-7"}, *two("unit", on_it, on_another)),
        "viewpoint": (
            {"viewpoint": str(back.viewpoint_id)},
            InspectionFactory(batch=other_side),
            InspectionFactory(batch=batch),
        ),
        "viewpoint by its code": (
            {"viewpoint": "back", "product": product.code},
            InspectionFactory(batch=other_side),
            InspectionFactory(batch=batch),
        ),
        "model": (
            {"model": str(back.pk)},
            InspectionFactory(batch=other_side),
            InspectionFactory(batch=batch),
        ),
        "no station": ({"station": "none"}, *two("station", None, one)),
        "no reason": ({"reason": "none"}, *two("review_reason", None, reasons[0])),
        "any defect": (
            {"review": "defect"},
            *two("review_state", ReviewState.REPAIRED, ReviewState.REJECTED),
        ),
        "good in the end": (
            {"review": "good"},
            *two("review_state", ReviewState.ACCEPTED, ReviewState.NOT_VERIFIED),
        ),
        "waits at the station": ({"review": "queue"}, *two("purpose", "production", "trial")),
        "drawn for audit": (
            {"verdict": "audit"},
            InspectionFactory(batch=batch, verdict=Verdict.PASSED, audit_rate=0.1),
            InspectionFactory(batch=batch, verdict=Verdict.PASSED),
        ),
        "not failed": ({"verdict": "not_failed"}, *two("verdict", "Passed", "Failed")),
        "position": ({"position": "3"}, *two("unit", alike, unlike)),
        "review": (
            {"review": "DefectRejected"},
            *two("review_state", ReviewState.REJECTED, ReviewState.CONFIRMED),
        ),
        "lowest score": ({"score_min": "2,5"}, *two("score", 2.5, 2.4)),
        "highest score": ({"score_max": "0.25"}, *two("score", 0.25, 0.26)),
        "reason": ({"reason": str(reasons[0].pk)}, *two("review_reason", *reasons)),
        "reason by its code": ({"reason": "A"}, *two("review_reason", *reasons)),
        "cell": ({"cell": "0"}, *two("cell", 0, 63)),
        "record": ({"record": "1"}, *two("is_record", True, False)),
        "since": (
            {"since": "2026-03-05", "until": "2026-03-06"},
            at(day, batch=batch),
            at(day - timedelta(days=1), batch=batch),
        ),
        "until a day's end": (
            {"until": "2026-03-05"},
            at(day + timedelta(hours=11), batch=batch),
            at(day + timedelta(hours=13), batch=batch),
        ),
        "until an hour": (
            {"until": "2026-03-05T12:30", "since": "2026-03-05T11:30"},
            at(day, batch=batch),
            at(day + timedelta(minutes=30), batch=batch),
        ),
    }


def test_each_filter_finds_what_it_says(client: Client, batch: Any) -> None:
    for name, (asked, fits, fits_not) in pairs(batch).items():
        keys = found(client, **asked)
        assert fits.pk in keys, name
        assert fits_not.pk not in keys, name


def test_a_verdict_is_what_its_word_says(client: Client, batch: Any) -> None:
    every = [
        InspectionFactory(batch=batch, verdict=verdict, disposition=disposition)
        for verdict in Verdict.values
        for disposition in Disposition.values
    ]
    signs = {one.pk: words.verdict_sign(one.verdict, one.disposition).key for one in every}
    assert found(client, verdict="called") == {
        pk for pk, sign in signs.items() if sign in ("fail", "review")
    }
    for key in VERDICTS:
        also = {"skipped"} if key == "error" else set()
        assert found(client, verdict=key) == {
            pk for pk, sign in signs.items() if sign in {key} | also
        }


@pytest.mark.parametrize("asked", [{"review": "queue"}, {"review": "defect", "reason": "none"}])
def test_what_is_rarer_than_it_looks_is_sorted_and_not_walked_to(
    client: Client, batch: Any, monkeypatch: pytest.MonkeyPatch, asked: dict[str, str]
) -> None:
    monkeypatch.setattr(reads_defects, "PER_PAGE", 2)
    state = ReviewState.CONFIRMED if "reason" in asked else ReviewState.NOT_VERIFIED
    made = InspectionFactory.create_batch(5, batch=batch, review_state=state)
    newest = sorted((one.pk for one in made), reverse=True)
    query = urlencode(asked)
    assert walk(client, reverse("defects"), query) == [newest[0:2], newest[2:4], newest[4:5]]
    back = client.get(f"{reverse('defects')}?{query}&before={newest[4]}").context
    assert [row.inspection.pk for row in back["page"].rows] == newest[2:4]
    assert wanted_inspections(back["filters"].wanted).query.order_by == (BY_TEXT,)


def test_what_waits_for_a_person(client: Client, batch: Any) -> None:
    waits = InspectionFactory(batch=batch)
    doubt = InspectionFactory(
        batch=batch, verdict=Verdict.PASSED, disposition=Disposition.NEEDS_REVIEW
    )
    InspectionFactory(batch=batch, verdict=Verdict.PASSED)
    InspectionFactory(batch=batch, review_state=ReviewState.CONFIRMED)
    InspectionFactory(batch=batch, waiting=True)
    assert found(client, review="waiting") == {waits.pk, doubt.pk}


def test_reasons_of_every_product_are_found_and_those_of_the_chosen_one_offered(
    client: Client, batch: Any
) -> None:
    """However many there are of products that come first in the alphabet."""
    early = BatchFactory().viewpoint.product
    early.code, batch.viewpoint.product.code = "AA-1", "ZZ-9"
    early.save()
    batch.viewpoint.product.save()
    ReasonCode.objects.bulk_create(
        ReasonCode(product=early, code=f"A{n:03}", text=f"Early {n}") for n in range(350)
    )
    late = ReasonCode.objects.create(
        product=batch.viewpoint.product, code="LATE", text="Late one", retired_at=timezone.now()
    )
    fits = InspectionFactory(batch=batch, review_reason=late)
    InspectionFactory(batch=batch)
    assert found(client, reason="LATE") == found(client, reason="late") == {fits.pk}
    assert found(client, reason="LATE", product="ZZ-9") == {fits.pk}

    def offered(**asked: str) -> list[str]:
        pairs = client.get(reverse("defects"), asked).context["offered"]["reason"]["pairs"]
        return [str(said) for _value, said in pairs]

    assert offered(product="ZZ-9") == ["No reason given", "Late one"]
    assert len(offered(product="AA-1")) == 351
    assert offered() == ["No reason given"]
    assert offered(reason="late") == ["No reason given", "Late one"], "what is on can be kept"
    asked = {"product": "AA-1", "reason": "LATE"}
    assert "There is no such reason" in client.get(reverse("defects"), asked).content.decode()


def test_reasons_of_what_one_may_not_see_are_not_found(batch: Any) -> None:
    ReasonCode.objects.create(product=batch.viewpoint.product, code="SECRET", text="Secret")
    model = str(batch.model_version.pk)
    stranger = signed_in(MembershipFactory(product=BatchFactory().viewpoint.product).user)
    for asked in ({"reason": "SECRET"}, {"model": model}, {"viewpoint": str(batch.viewpoint_id)}):
        answer = stranger.get(reverse("defects"), asked)
        assert answer.context["filters"].problems, asked
        assert "Secret" not in answer.content.decode()


def test_each_filter_that_is_on_is_shown_taken_away_and_kept_by_the_form(
    client: Client, batch: Any
) -> None:
    product = batch.viewpoint.product
    ReasonCode.objects.create(product=product, code="A", text="Bridge")
    asked = {
        "product": product.code,
        "viewpoint": "main",
        "panel": "P-7",
        "verdict": "audit",
        "review": "defect",
        "reason": "A",
        "model": str(batch.model_version.pk),
        "station": "none",
    }
    StationFactory()
    said = {
        "viewpoint": "Main view",
        "panel": "P-7",
        "verdict": "Drawn for audit",
        "review": "Any defect",
        "reason": "Bridge",
        "model": str(batch.model_version.number),
        "station": "no station",
    }
    answer = client.get(reverse("defects"), asked)
    chips = {chip["name"]: chip for chip in answer.context["filters"].chips}
    assert {name: chips[name]["text"] for name in said} == said
    page = answer.content.decode()
    for name in asked:
        assert f'?{escape(chips[name]["without"])}" title="Take this filter away"' in page, name
        field = rf'name="{name}"(?: [^>]*value="[^"]+"|[^>]*>.*?<option value="[^"]+" selected)'
        assert re.search(field, page), f"the form keeps {name}"
    chosen = client.get(reverse("defects"), {"verdict": "called"}).content.decode()
    assert re.search('aria-current="true">.{0,120}Called</a>', chosen), "one of those to choose"


def test_without_a_product_a_code_stays_a_code(client: Client, batch: Any) -> None:
    BatchFactory()
    for name in ("viewpoint", "reason"):
        for product in (batch.viewpoint.product, BatchFactory().viewpoint.product):
            ReasonCode.objects.get_or_create(product=product, code="main", text="Main")
        offered = client.get(reverse("defects"), {name: "main"}).context["offered"][name]
        assert offered["chosen"] == "main", "and not the key of one of them"
        assert offered["pairs"][-1][0] == "main"


def test_filters_together_are_an_and(client: Client, batch: Any) -> None:
    both = InspectionFactory(batch=batch, cell=5, score=3.0)
    InspectionFactory(batch=batch, cell=5, score=1.0)
    InspectionFactory(batch=batch, cell=6, score=3.0)
    assert found(client, cell="5", score_min="2") == {both.pk}


def test_a_line_and_a_station_of_another_line_find_nothing(client: Client, batch: Any) -> None:
    one, other = StationFactory(line="SMT 1"), StationFactory(line="SMT 2")
    InspectionFactory(batch=batch, station=one)
    InspectionFactory(batch=batch, station=other)
    asked = {"line": "SMT 1", "station": other.code}
    context = client.get(reverse("defects"), asked).context
    assert context["page"].rows == []
    assert context["filters"].problems == {"station": "The station is none of that line."}


def test_one_sees_only_ones_own_products(batch: Any) -> None:
    mine = InspectionFactory(batch=batch)
    InspectionFactory()
    member = signed_in(MembershipFactory(product=batch.viewpoint.product, role=Role.VIEWER).user)
    assert found(member) == {mine.pk}
    other = Inspection.objects.exclude(pk=mine.pk).get().viewpoint.product
    answer = member.get(reverse("defects"), {"product": str(other.pk)})
    assert answer.context["page"].rows == []
    assert "you may not see it" in answer.content.decode()
    assert found(signed_in(UserFactory())) == set()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("score_min", "high", "A score is a number"),
        ("score_min", "nan", "A score is a number"),
        ("cell", "64", "whole number from 0 to 63"),
        ("position", "-1", "whole number"),
        ("since", "yesterday", "A time is written like"),
        ("until", "2026-02-31", "A time is written like"),
        ("verdict", "good", "A verdict is one of pass, fail"),
        ("viewpoint", "0", "no such viewpoint"),
        ("model", "0", "no such model"),
        ("review", "Fine", "no such review state"),
        ("reason", "0", "no such reason"),
        ("station", "0", "no such station"),
        ("product", "0", "no such product"),
    ],
)
def test_a_filter_that_means_nothing_says_so_and_finds_nothing(
    client: Client, batch: Any, name: str, text: str, said: str
) -> None:
    InspectionFactory(batch=batch)
    answer = client.get(reverse("defects"), {name: text})
    assert said in answer.content.decode()
    assert answer.context["page"].rows == []
    assert client.get(reverse("defects"), {"after": text}).status_code == 404


def test_the_address_keeps_every_filter(client: Client, batch: Any) -> None:
    InspectionFactory.create_batch(3, batch=batch, cell=9, score=2.0)
    asked = {
        "cell": "9",
        "score_min": "1",
        "verdict": "fail",
        "product": batch.viewpoint.product.code,
    }
    answer = client.get(reverse("defects"), {**asked, "view": "table", "utm": "x"})
    filters = answer.context["filters"]
    assert filters.values == asked
    assert dict(part.split("=") for part in filters.query().split("&")) == asked
    assert "cell" not in filters.query(cell=None)
    assert {chip["name"] for chip in filters.chips} == set(asked)
    assert 'value="9" checked' in answer.content.decode()


def test_links_of_other_pages_are_read_back(client: Client, batch: Any) -> None:
    hour = timezone.make_aware(datetime(2026, 3, 5, 12))
    inside = at(hour + timedelta(minutes=5), batch=batch)
    at(hour - timedelta(minutes=5), batch=batch)
    link = Filters.link(since=hour, until=hour + timedelta(hours=1), record=None, verdict="fail")
    answer = client.get(link)
    assert [row.inspection.pk for row in answer.context["page"].rows] == [inside.pk]


def walk(client: Client, address: str, query: str) -> list[list[Any]]:
    """Every page in one direction, as lists of keys."""
    pages, key = [], ""
    while True:
        page = client.get(f"{address}?{query}{key}").context["page"]
        pages.append([row.inspection.pk for row in page.rows])
        if not page.older:
            return pages
        key = f"&after={page.older}"


def test_pages_follow_each_other_without_gap_or_double(
    client: Client, batch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads_defects, "PER_PAGE", 3)
    every = sorted((one.pk for one in InspectionFactory.create_batch(8, batch=batch)), reverse=True)
    address = reverse("defects")
    pages = walk(client, address, "verdict=fail")
    assert pages == [every[0:3], every[3:6], every[6:8]]
    back = client.get(f"{address}?before={every[6]}").context["page"]
    assert [row.inspection.pk for row in back.rows] == every[3:6]
    assert (back.newer, back.older) == (str(every[3]), str(every[5]))
    top = client.get(f"{address}?before={every[3]}").context["page"]
    assert [row.inspection.pk for row in top.rows] == every[0:3]
    assert top.newer == ""


def test_a_newer_inspection_does_not_shift_the_pages(
    client: Client, batch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads_defects, "PER_PAGE", 2)
    every = [one.pk for one in InspectionFactory.create_batch(4, batch=batch)]
    first = client.get(reverse("defects")).context["page"]
    InspectionFactory(batch=batch)
    second = client.get(reverse("defects"), {"after": first.older}).context["page"]
    assert [row.inspection.pk for row in second.rows] == [every[1], every[0]]


def test_counts_are_bounded(client: Client, batch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads_defects, "PER_PAGE", 2)
    monkeypatch.setattr(reads_defects, "MOST_COUNTED", 3)
    InspectionFactory.create_batch(3, batch=batch)
    assert "3 inspections" in client.get(reverse("defects")).content.decode()
    InspectionFactory(batch=batch)
    with CaptureQueriesContext(connection) as asked:
        page = client.get(reverse("defects")).content.decode()
    assert "More than 3 inspections" in page
    counting = [
        q["sql"] for q in asked if 'COUNT(*) FROM (SELECT "inspection_inspection' in q["sql"]
    ]
    assert len(counting) == 1
    assert "LIMIT 4" in counting[0]
    assert not [q["sql"] for q in asked if "OFFSET" in q["sql"]]


def test_a_full_page_asks_no_more_than_an_empty_one(client: Client) -> None:
    world = populate(3)
    lot = LotFactory(product=world.product)
    for view in ("tiles", "table"):
        counts = []
        for more in (0, 20):
            for _ in range(more):
                unit = UnitFactory(product=world.product, lot=lot)
                ImageResultFactory(
                    picture__inspection__batch=world.batch,
                    picture__inspection__unit=unit,
                    picture__inspection__lot=lot,
                    picture__inspection__station=StationFactory(),
                )
            with CaptureQueriesContext(connection) as asked:
                answer = client.get(reverse("defects"), {"view": view})
            assert answer.status_code == 200
            counts.append(len(asked))
        assert counts[1] <= counts[0] + 1, "but for the count, which few rows do not need"
        assert max(counts) <= MOST_QUESTIONS


def test_nothing_yet_and_nothing_found_teach_different_things(client: Client, batch: Any) -> None:
    assert "Nothing has been inspected yet" in client.get(reverse("defects")).content.decode()
    LotFactory(product=batch.viewpoint.product, code="L-2041")
    page = client.get(reverse("defects"), {"lot": "L-20"}).content.decode()
    assert "No inspection fits" in page
    assert "lot=L-2041" in page


def test_a_tile_shows_verdict_outline_and_what_people_said(client: Client) -> None:
    world: World = populate(1)
    Inspection.objects.filter(pk=world.inspection.pk).update(review_state=ReviewState.REJECTED)
    page = client.get(reverse("defects"), {"verdict": "fail"}).content.decode()
    assert reverse("thumb", args=[world.result.picture.image_id]) in page
    assert 'd="M16.0 24.0L' in page, "the box, in pixels of a picture of 64 × 48"
    assert "False call" in page
    assert "no such" not in page


def test_what_others_named_is_text_and_never_markup(client: Client, batch: Any) -> None:
    hostile = "\"><script>alert(1)</script>'&"
    product = batch.viewpoint.product
    unit = UnitFactory(product=product, serial_number=hostile)
    lot = LotFactory(product=product, code=f"L{hostile}")
    StationFactory(line=hostile, name=hostile)
    ReasonCode.objects.create(product=product, code="H", text=hostile)
    InspectionFactory(batch=batch, unit=unit, lot=lot)
    nameless = ImageResultFactory(
        picture__inspection__batch=batch,
        picture__inspection__unit=None,
        picture__file_name=f"{hostile}.png",
    )
    inspector = signed_in(UserFactory(role="inspector"))
    for view in ("tiles", "table"):
        page = inspector.get(reverse("defects"), {"view": view, "line": hostile}).content.decode()
        assert "<script>alert" not in page, "in the filters"
        page = inspector.get(reverse("defects"), {"view": view}).content.decode()
        assert "<script>alert" not in page
        assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 6
        assert str(nameless.picture.inspection_id) in page
        assert f"Pick {escape(hostile)}" in page, "what a screen reader says"


def test_the_worst_picture_is_shown(client: Client, batch: Any) -> None:
    inspection = InspectionFactory(batch=batch)
    shown = [
        ImageResultFactory(
            picture__inspection=inspection, picture__index=index, score=score
        ).picture.image_id
        for index, score in enumerate((0.2, 0.9, 0.4))
    ]
    (row,) = client.get(reverse("defects")).context["page"].rows
    assert row.thumb == reverse("thumb", args=[shown[1]])


def test_choices_know_whether_one_sees_everything(batch: Any) -> None:
    InspectionFactory()
    assert Choices(UserFactory(role="viewer")).sees_all
    member = MembershipFactory(product=batch.viewpoint.product).user
    assert not Choices(member).sees_all
