"""docs/openapi.json says what the API is: others build on it, so a change of it is seen."""

import json
from pathlib import Path

from drf_spectacular.generators import SchemaGenerator

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"
AGAIN = (
    "make it anew: .venv/bin/python manage.py spectacular "
    "--format openapi-json --file docs/openapi.json"
)


def test_the_committed_description_is_what_the_code_says() -> None:
    described = SchemaGenerator().get_schema(request=None, public=True)
    assert json.loads(json.dumps(described)) == json.loads(COMMITTED.read_text()), AGAIN


def test_every_operation_says_its_scope_and_has_a_name_of_its_own() -> None:
    described = json.loads(COMMITTED.read_text())
    assert described["openapi"].startswith("3.1")
    operations = [
        operation
        for path in described["paths"].values()
        for method, operation in path.items()
        if method != "parameters"
    ]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))
    for operation in operations:
        assert "Scope: " in operation["description"], operation["operationId"]
        assert operation["tags"], operation["operationId"]
        assert {"401", "422", "429", "500"} <= set(operation["responses"])
