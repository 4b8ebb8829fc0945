"""schemathesis over the whole committed description, in each role, against the real application
with a database that has one of everything: no 5xx, no status that the description lacks, no
answer that it does not describe. What an example writes is taken back after it."""

import copy
import json
import os
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from django.core.cache import cache
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from inspection.models import Role
from tests.factories.api_key import key_of
from tests.factories.plant import WATCHED, Plant, build
from tests.factories.user import UserFactory

ROOT = Path(__file__).resolve().parents[2]
DESCRIBED = json.loads((ROOT / "docs" / "openapi.json").read_text())
METHODS = ("get", "post", "put", "patch", "delete")
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
SEEN: Counter[int] = Counter()  # how often each status was answered
EXAMPLES, LONG = 5, 100  # of each operation in each of four roles: 20 and 400
# Which rows of the plant an address or a body may name, so that not all is 404 or 422.
OF_ADDRESS = {
    "products": ["product", "shelved"],
    "viewpoints": ["viewpoint"],
    "stations": ["station"],
    "datasets": ["dataset", "golden"],
    "images": ["image", "loose", "large"],
    "jobs": ["drop", "stuck"],
    "runs": ["run", "failed", "paused", "done"],
    "retraining_plans": ["plan"],
    "models": ["model", "candidate", "retired"],
    "gates": ["gate"],
    "batches": ["batch", "rescored"],
    "inspections": ["inspection", "fresh", "passed"],
    "reviews": ["review"],
    "reason_codes": ["reason"],
    "escapes": ["escape"],
    "reports": ["report", "made", "unsent"],
    "report_schedules": ["schedule", "ended"],
    "intakes": ["intake", "halted"],
    "drift_alerts": ["drift"],
    "endpoints": ["endpoint", "off"],
    "audit": ["event"],
    "users": ["person", "gone"],
    "memberships": ["membership"],
    "notifications": ["notice"],  # not theirs: tests/unit/api/test_api_notifications.py
    "uploads": ["image"],  # no upload of theirs: tests/unit/api/test_api_uploads.py knows those
}
OF_NAME = {
    "image": ["image"],
    "sample": ["sample"],
    "item": ["suspect"],
    "delivery": ["delivery", "queued"],
}
OF_BODY = {
    "viewpoint": ["viewpoint"],
    "dataset": ["dataset", "golden"],
    "image": ["image", "loose"],
    "inspection": ["inspection", "fresh"],
    "inspections": ["inspection", "passed"],
    "model": ["model", "candidate"],
}
SAID = {
    "lot": "L-7",
    "serial_number": "SN1",
    "panel_id": "P1",
    "product": "BOARD-A",
    "station": "AOI-1",
}
OPERATIONS = [
    (method, path)
    for path, item in DESCRIBED["paths"].items()
    for method in METHODS
    if method in item
]

schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")

pytestmark = pytest.mark.django_db


def _noun(path: str) -> str:
    return path.split("/")[3] or "index"


@pytest.fixture
def plant(settings: Any) -> Plant:
    settings.INTAKE_ROOTS = [WATCHED]
    return build()


@pytest.fixture
def keys() -> dict[str, str]:
    """A key of each role with every scope."""
    return {role: key_of(UserFactory(role=role)) for role in Role.values}


@pytest.fixture(autouse=True)
def one_connection() -> Iterator[None]:
    """The application leaves the connection open that the test's transaction is in, as it does
    for Django's own test client."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.fixture(autouse=True)
def no_limit(settings: Any) -> None:
    cache.clear()
    settings.API_RATE_PER_MINUTE = 10**9


@pytest.mark.parametrize("noun", sorted({_noun(path) for _method, path in OPERATIONS}))
def test_no_request_breaks_an_operation(plant: Plant, keys: dict[str, str], noun: str) -> None:
    for method, path in OPERATIONS:
        if _noun(path) == noun:
            operation = described(plant, method, path)
            for role in Role.values:
                fuzz(operation, keys[role], EXAMPLES)


@pytest.mark.long
def test_many_requests_break_no_operation(plant: Plant, keys: dict[str, str]) -> None:
    begun, ran = datetime.now(UTC), 0
    for method, path in OPERATIONS:
        operation = described(plant, method, path)
        for role in Role.values:
            ran += fuzz(operation, keys[role], LONG)
    result = {
        "at": begun.isoformat(timespec="seconds"),
        "seconds": round((datetime.now(UTC) - begun).total_seconds()),
        "operations": len(OPERATIONS),
        "roles": Role.values,
        "requests": ran,
        "answers": dict(sorted(SEEN.items())),
        "failures": 0,
    }
    file = ROOT / "benchmarks" / "results" / "api_fuzz.json"
    file.write_text(json.dumps(result, indent=2) + "\n")


def fuzz(operation: Any, key: str, examples: int) -> int:
    """Send `examples` requests, well-formed and not; returns how many were sent."""
    cases = operation.as_strategy()
    if operation.query or operation.body or operation.path_parameters:
        cases = cases | operation.as_strategy(GenerationMode.NEGATIVE)
    sent = 0

    @seed(int(os.environ.get("KINTSUGI_FUZZ_SEED", "17")))
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=examples == EXAMPLES,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.data())
    def one(data: Any) -> None:
        nonlocal sent
        case = data.draw(cases)
        with transaction.atomic():
            answer = case.call_and_validate(
                headers={"Authorization": f"Bearer {key}"}, checks=CHECKS
            )
            sent += 1
            SEEN[answer.status_code] += 1
            transaction.set_rollback(True)

    one()
    return sent


def described(plant: Plant, method: str, path: str) -> Any:
    """The operation, with the keys of rows that are there among what it may be asked about."""
    one = copy.deepcopy(DESCRIBED["paths"][path][method])
    for parameter in one.get("parameters", ()):
        if parameter["in"] == "path" and parameter["schema"].get("format") == "uuid":
            name = parameter["name"]
            there = OF_NAME.get(name) or OF_ADDRESS[path.split("/")[3]]
            parameter["schema"] = _among(parameter["schema"], [plant.keys[row] for row in there])
        elif parameter["name"] in SAID:
            parameter["schema"] = _among(parameter["schema"], [SAID[parameter["name"]]])
    parts = copy.deepcopy(DESCRIBED["components"])
    for name, schema in parts["schemas"].items():
        if name.endswith("Request"):
            _name_rows(plant, schema)
    raw = {**DESCRIBED, "paths": {path: {method: one}}, "components": parts}
    schema = schemathesis.openapi.from_dict(raw)
    schema.app = get_wsgi_application()
    return schema[path][method]


def _name_rows(plant: Plant, schema: dict[str, Any]) -> None:
    for field, told in schema.get("properties", {}).items():
        if field in OF_BODY:
            keys = [plant.keys[row] for row in OF_BODY[field]]
            if told.get("type") == "array":
                schema["properties"][field] = {**told, "items": _among(told["items"], keys)}
            else:
                schema["properties"][field] = _among(told, keys)
        elif field in SAID:
            schema["properties"][field] = _among(told, [SAID[field]])


def _among(schema: dict[str, Any], values: list[str]) -> dict[str, Any]:
    """Well-formed requests name what is there; others come from requests that are not."""
    return {**schema, "enum": values}
