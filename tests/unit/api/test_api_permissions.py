"""One check per address × role. A route that the table does not know fails the first test."""

from dataclasses import dataclass
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction

from inspection.models import RANK, Role
from inspection.policies import ADMINISTER, MANAGE, REVIEW, VIEW
from tests.factories.api_key import Program, key_of
from tests.factories.files import picture
from tests.factories.membership import MembershipFactory
from tests.factories.plant import WATCHED, Plant, build
from tests.factories.user import UserFactory
from tests.unit.api.routes import routes

pytestmark = pytest.mark.django_db


@dataclass(frozen=True)
class Row:
    """`least`: the lowest role that may; it and those above get `ok`, those below 403."""

    method: str
    path: str
    ok: int
    least: Role = VIEW
    body: Any = None
    below: int = 403
    overall: bool = False  # only who has the role for all products; others are told so

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


KPIS = "kpis?since=2026-01-01T00:00:00Z&until=2026-02-01T00:00:00Z"
AGREEMENT = KPIS.replace("kpis", "agreement")
WHAT_IF = "models/{model}/operating_points/what_if?alpha_fail=0.05&alpha_review=0.1"
DAY = {"found_where": "Line 2", "serial_number": "SN1"}
HOOK = {
    "kind": "webhook",
    "name": "Another",
    "address": "https://mes.plant.example/hook",
    "product": "BOARD-A",
}
NIGHT = {"state": "given_up", "since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z"}
MEMBER = {"username": "owner", "product": "BOARD-A", "role": "inspector"}
DAILY = {
    "product": "BOARD-A",
    "kind": "lot_csv",
    "every": "day",
    "hour": 6,
    "recipients": ["quality@plant.example"],
}
FOLDER = {
    "name": "Another",
    "viewpoint": "{viewpoint}",
    "location": f"{WATCHED}/aoi9",
    "pattern": "{{serial}}.png",
}
PREVIEW = "intakes/preview?pattern=%7Bserial%7D.png&names=SN1.png"
TABLE = [
    Row("GET", "", 200),
    Row("GET", "me", 200),
    Row("GET", KPIS, 200),
    Row("GET", KPIS.replace("kpis", "kpis/trend"), 200),
    Row("GET", KPIS.replace("kpis", "kpis/reasons"), 200),
    Row("GET", KPIS.replace("kpis", "kpis/places"), 200),
    Row("GET", KPIS.replace("kpis", "kpis/drift"), 200),
    Row("GET", AGREEMENT, 200),
    Row("GET", "products", 200),
    Row("POST", "products", 201, MANAGE, {"code": "N", "name": "N"}),
    Row("GET", "products/{product}", 200),
    Row("PATCH", "products/{product}", 200, MANAGE, {"name": "Other"}),
    Row("DELETE", "products/{product}", 204, MANAGE),
    Row("POST", "products/{shelved}/restore", 200, MANAGE),
    Row("POST", "products/{product}/viewpoints", 201, MANAGE, {"code": "top", "name": "Top"}),
    Row("GET", "viewpoints", 200),
    Row("GET", "viewpoints/{viewpoint}", 200),
    Row("PATCH", "viewpoints/{viewpoint}", 200, MANAGE, {"symmetries": ["shift"]}),
    Row("GET", "viewpoints/{viewpoint}/changes", 200),
    Row("GET", "viewpoints/{viewpoint}/changes/added", 200),
    Row("GET", "viewpoints/{viewpoint}/changes/left_out", 200),
    Row("GET", "viewpoints/{viewpoint}/changes/gone", 200),
    Row("POST", "inspections/{fresh}/golden", 201, MANAGE, {"label": "good", "must": True}),
    Row(
        "POST",
        "datasets/{golden}/images/{image}/describe",
        200,
        MANAGE,
        {"label": "bridge", "must": True},
    ),
    Row("GET", "stations", 200),
    Row("GET", "stations/{station}", 200),
    Row("GET", "datasets", 200),
    Row("GET", "datasets/{dataset}", 200),
    Row("GET", "datasets/{dataset}/images", 200),
    Row("POST", "datasets/{dataset}/images", 200, MANAGE, {"image": "{image}"}),
    Row("DELETE", "datasets/{dataset}/images/{image}", 204, MANAGE),
    Row("POST", "datasets/{dataset}/images/{image}/exclude", 200, MANAGE, {"reason": "blurred"}),
    Row("POST", "datasets/{dataset}/images/{image}/include", 200, MANAGE),
    Row("GET", "datasets/{dataset}/snapshots", 200),
    Row("POST", "datasets/{dataset}/snapshots", 201, MANAGE),
    Row("GET", "images", 200),
    Row("POST", "images", 201, REVIEW, "picture"),
    Row("GET", "images/{image}", 200),
    Row("GET", "images/{image}/content", 200),
    Row("GET", "images/{image}/thumbnail", 200),
    Row("GET", "images/{image}/tiles", 200),
    Row("GET", "images/{large}/tiles/0/4/0", 200),
    Row("GET", "jobs", 200),
    Row("POST", "jobs/uploads/{drop}/cancel", 200, MANAGE),
    Row("POST", "jobs/uploads/{stuck}/resume", 409, MANAGE),  # no zip waits any more
    Row("POST", "uploads", 201, REVIEW, "announcement"),
    Row("GET", "runs", 200),
    Row(
        "POST",
        "runs",
        422,  # too few pictures, which is said only to who might start it
        MANAGE,
        {"viewpoint": "{viewpoint}", "preset": "tiny", "budget_minutes": 1},
    ),
    Row("GET", "runs/{run}", 200),
    Row("GET", "runs/{run}/metrics", 200),
    Row("GET", "runs/{run}/log", 200),
    Row("GET", "runs/{run}/samples", 200),
    Row("GET", "runs/{run}/samples/{sample}/content", 200),
    Row("GET", "runs/{paused}/vetting", 200),
    Row("POST", "runs/{paused}/vetting/{suspect}", 200, MANAGE, {"keep": True}),
    Row("POST", "runs/{paused}/vetting/suggested", 200, MANAGE),
    Row("POST", "runs/{paused}/vetting/continue", 422, MANAGE),  # too few are left
    Row("POST", "runs/{run}/cancel", 200, MANAGE),
    Row("POST", "runs/{failed}/resume", 200, MANAGE),
    Row("GET", "retraining_plans", 200),
    Row("GET", "retraining_plans/{plan}", 200),
    Row("POST", "retraining_plans", 200, MANAGE, {"viewpoint": "{viewpoint}", "every_days": 7}),
    Row("PATCH", "retraining_plans/{plan}", 200, MANAGE, {"every_days": None}),
    Row("GET", "models", 200),
    Row("GET", "models/{model}", 200),
    Row("POST", "models/{candidate}/promote", 200, MANAGE, {"reason": "a", "override": "b"}),
    Row("POST", "models/{model}/rollback", 200, MANAGE, {}),
    Row("POST", "models/{candidate}/rescore", 201, MANAGE, {"lot": "L-7", "reason": "bridge"}),
    Row("GET", "models/{candidate}/standing", 200),
    Row("GET", "models/{candidate}/gates", 200),
    Row("POST", "models/{candidate}/gates", 201, MANAGE),
    Row("GET", "gates", 200),
    Row("GET", "gates/{gate}", 200),
    Row("GET", "models/{model}/operating_points", 200),
    Row(
        "POST",
        "models/{model}/operating_points",
        201,
        MANAGE,
        {"alpha_fail": 0.02, "alpha_review": 0.06, "reason": "false calls"},
    ),
    Row("GET", WHAT_IF, 200),
    Row("GET", "batches", 200),
    Row("POST", "batches", 201, REVIEW, {"viewpoint": "{viewpoint}", "name": "B"}),
    Row("GET", "batches/{batch}", 200),
    Row("POST", "batches/{batch}/images", 201, REVIEW, {"image": "{image}"}),
    Row("POST", "batches/{batch}/seal", 200, REVIEW),
    Row("POST", "batches/{batch}/keep_open", 200, REVIEW, {"keep": True}),
    Row("POST", "batches/{batch}/cancel", 200, REVIEW),
    Row("GET", "batches/{rescored}/flips", 200),
    Row("GET", "inspections", 200),
    Row("GET", "inspections.csv", 200),
    Row("POST", "inspections", 202, REVIEW, "unit"),
    Row("GET", "inspections/{inspection}", 200),
    Row("GET", "inspections/{inspection}/pictures", 200),
    Row("GET", "inspections/{inspection}/pictures/0/view", 200),
    Row("POST", "inspections/learn", 201, MANAGE, {"inspections": ["{passed}"]}),
    Row("GET", "reviews", 200),
    Row("GET", "reviews/{review}", 200),
    Row("POST", "reviews", 201, REVIEW, {"inspection": "{fresh}", "state": "DefectConfirmed"}),
    Row(
        "POST",
        "reviews/bulk",
        201,
        REVIEW,
        {"inspections": ["{fresh}"], "state": "DefectConfirmed"},
    ),
    Row("POST", "reviews/{review}/undo", 201, MANAGE),
    Row("GET", "reason_codes", 200),
    Row("GET", "reason_codes/{reason}", 200),
    Row("POST", "reason_codes", 201, MANAGE, {"product": "BOARD-A", "code": "X", "text": "X"}),
    Row("DELETE", "reason_codes/{reason}", 204, MANAGE),
    Row("GET", "escapes", 200),
    Row("GET", "escapes/{escape}", 200),
    Row("POST", "escapes", 201, REVIEW, DAY),
    Row("POST", "escapes/{escape}/withdraw", 200, MANAGE, {"reason": "wrong serial number"}),
    Row("GET", "reports", 200),
    Row("GET", "reports/{made}", 200),
    Row("GET", "reports/{made}/file", 200),
    Row("POST", "reports", 201, VIEW, {"product": "BOARD-A", "kind": "lot_csv", "lot": "L-7"}),
    Row("POST", "reports/{report}/cancel", 200, MANAGE),
    Row("DELETE", "reports/{made}", 204, MANAGE),
    Row("GET", "reports/{made}/mail", 200),
    Row("POST", "reports/{unsent}/mail", 200, MANAGE),
    Row("GET", "report_schedules", 200),
    Row("GET", "report_schedules/{schedule}", 200),
    Row("POST", "report_schedules", 201, MANAGE, DAILY),
    Row("PATCH", "report_schedules/{schedule}", 200, MANAGE, {"hour": 7}),
    Row("DELETE", "report_schedules/{schedule}", 204, MANAGE),
    Row("POST", "report_schedules/{ended}/enable", 200, MANAGE),
    Row("POST", "report_schedules/{schedule}/disable", 200, MANAGE),
    Row("GET", "intakes", 200),
    Row("POST", "intakes", 201, MANAGE, FOLDER),
    Row("GET", "intakes/{intake}", 200),
    Row("PATCH", "intakes/{intake}", 200, MANAGE, {"quiet_minutes": 20}),
    Row("POST", "intakes/{intake}/pause", 200, MANAGE),
    Row("POST", "intakes/{halted}/resume", 200, MANAGE),
    Row("GET", "intakes/standing", 200),
    Row("GET", "intakes/{intake}/standing", 200),
    Row("GET", "intakes/{intake}/files", 200),
    Row("GET", PREVIEW, 200),
    Row("GET", "drift_alerts", 200),
    Row("GET", "drift_alerts/{drift}", 200),
    Row("GET", "endpoints", 200),
    Row("POST", "endpoints", 201, MANAGE, HOOK),
    Row("GET", "endpoints/{endpoint}", 200, MANAGE, below=404),  # seen by who may change it
    Row("PATCH", "endpoints/{endpoint}", 200, MANAGE, {"name": "Other"}, below=404),
    Row("DELETE", "endpoints/{endpoint}", 204, MANAGE, below=404),
    Row("POST", "endpoints/{off}/enable", 200, MANAGE, below=404),
    Row("POST", "endpoints/{endpoint}/disable", 200, MANAGE, {}, below=404),
    Row("POST", "endpoints/{endpoint}/rotate_secret", 200, MANAGE, {}, below=404),
    Row("POST", "endpoints/{endpoint}/test", 201, MANAGE, below=404),
    Row("GET", "endpoints/{endpoint}/deliveries", 200, MANAGE, below=404),
    Row(
        "POST",
        "endpoints/{endpoint}/deliveries/{delivery}/replay",
        200,
        MANAGE,
        below=404,
    ),
    Row("GET", "endpoints/{endpoint}/deliveries/{delivery}", 200, MANAGE, below=404),
    Row("POST", "endpoints/{off}/deliveries/{queued}/now", 200, MANAGE, below=404),
    Row("GET", "endpoints/{endpoint}/standing", 200, MANAGE, below=404),
    Row("POST", "endpoints/{endpoint}/deliveries/replay", 200, MANAGE, NIGHT, below=404),
    Row("GET", "audit", 200, MANAGE),
    Row("GET", "audit/{event}", 200, MANAGE),
    Row("GET", "users", 200, ADMINISTER, overall=True),
    Row("GET", "users/{person}", 200, ADMINISTER, overall=True),
    Row("POST", "users", 201, ADMINISTER, {"username": "new"}, overall=True),
    Row("POST", "users/{person}/disable", 200, ADMINISTER, overall=True),
    Row("POST", "users/{gone}/enable", 200, ADMINISTER, overall=True),
    Row("GET", "memberships", 200, ADMINISTER),
    Row("GET", "memberships/{membership}", 200, ADMINISTER),
    Row("POST", "memberships", 201, ADMINISTER, MEMBER),
    Row("PATCH", "memberships/{membership}", 200, ADMINISTER, {"role": "engineer"}),
    Row("DELETE", "memberships/{membership}", 204, ADMINISTER),
    Row("GET", "notifications", 200),
    Row("POST", "notifications/read", 200, VIEW, {}),
]
OWN = {"images", "uploads", "notifications/read"}  # what everybody may do with what is theirs
OPEN_TO_ALL = {"stations/{station}"}  # they belong to no product


@pytest.fixture
def plant(settings: Any) -> Plant:
    settings.INTAKE_ROOTS = [WATCHED]
    return build()


def test_the_table_knows_every_route() -> None:
    asked = {(row.method, _shape(row.path.partition("?")[0])) for row in TABLE}
    known = {(method, _shape(path)) for method, path in routes()}
    assert known - asked == set(), "routes that the table lacks"
    assert asked - known == set(), "rows without a route"


def _shape(path: str) -> str:
    parts = path.split("/")
    if "pictures" in parts and len(parts) == 5:
        parts[3:] = ["{}", "{}"]
    if "tiles" in parts and len(parts) == 6:
        parts[3:] = ["{}", "{}", "{}"]
    return "/".join("{}" if part.startswith("{") else part for part in parts)


@pytest.mark.parametrize("role", Role.values)
def test_each_role_may_what_the_table_says(plant: Plant, role: str) -> None:
    program = Program(key_of(UserFactory(role=role)))
    wrong = []
    for row in TABLE:
        wanted = row.ok if RANK[Role(role)] >= RANK[row.least] else row.below
        with undone():
            answer = ask(program, row, plant)
            if answer.status_code != wanted:
                said = getattr(answer, "content", b"")[:200]
                wrong.append((str(row), answer.status_code, wanted, said))
    assert wrong == []


def test_who_administers_another_product_finds_nothing(plant: Plant) -> None:
    """What one may not see does not exist: 404 by address, 422 or 403 where a body names it."""
    stranger = UserFactory()
    MembershipFactory(user=stranger, role=ADMINISTER)
    program = Program(key_of(stranger))
    wrong = []
    for row in TABLE:
        if row.path in OPEN_TO_ALL:
            continue
        with undone():
            answer = ask(program, row, plant)
        status = answer.status_code
        if row.overall:
            fine = status == 403
        elif "{" in row.path:
            fine = status == 404
        elif row.method == "GET":
            fine = status == 200 and not _tells(_told(answer), plant)
        else:
            fine = status in (403, 422) or row.path in OWN
        if not fine:
            wrong.append((str(row), status, answer.content[:200]))
    assert wrong == []


def _told(answer: Any) -> Any:
    return b"".join(answer).decode() if answer.streaming else answer.json()


def _tells(told: Any, plant: Plant) -> bool:
    hidden = {key for name, key in plant.keys.items() if name != "station"}
    return any(key in str(told) for key in hidden)


def test_a_key_with_a_scope_for_reading_writes_nothing(plant: Plant) -> None:
    from inspection.models import SCOPES

    user = UserFactory(role="administrator")
    reader = Program(key_of(user, [scope for scope in SCOPES if scope.endswith(":read")]))
    for row in TABLE:
        with undone():
            status = ask(reader, row, plant).status_code
        assert status == (row.ok if row.method == "GET" else 403), str(row)


def test_nobody_is_told_anything_without_a_key(plant: Plant) -> None:
    from django.test import Client

    for row in TABLE:
        path = row.path.format(**plant.keys)
        assert Client().generic(row.method, f"/api/v1/{path}").status_code == 401, str(row)


def ask(program: Program, row: Row, plant: Plant) -> Any:
    path = row.path.format(**plant.keys)
    if row.body == "picture":
        file = SimpleUploadedFile("new.png", picture(7))
        return program.post(f"/api/v1/{path}", {"file": file})
    if row.body == "announcement":
        headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "9"}
        return program.generic("POST", f"/api/v1/{path}", headers=headers)
    if row.body == "unit":
        return program.json(row.method, path, unit(plant), **{"Idempotency-Key": "a-key"})
    body = row.body
    if isinstance(body, dict):
        body = {k: _filled(v, plant) for k, v in body.items()}
    return program.json(row.method, path, body)


def unit(plant: Plant) -> dict[str, Any]:
    """What an MES asks about a new unit."""
    return {
        "external_id": "E-1",
        "station_id": "AOI-1",
        "recipe": {"name": "BOARD-A"},
        "images": [plant.keys["image"]],
    }


def _filled(value: Any, plant: Plant) -> Any:
    if isinstance(value, list):
        return [_filled(one, plant) for one in value]
    return value.format(**plant.keys) if isinstance(value, str) and "{" in value else value


class undone:  # noqa: N801  (reads as a word)
    """What is written inside is taken back."""

    def __enter__(self) -> None:
        self._block = transaction.atomic()
        self._block.__enter__()

    def __exit__(self, *error: Any) -> None:
        transaction.set_rollback(True)
        self._block.__exit__(*error)
