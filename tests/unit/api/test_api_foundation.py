"""Keys, scopes, problem documents, tags, limits and pages of the API."""

import json
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from inspection.errors import UserError
from inspection.models import ApiKey, AuditEvent, Endpoint, Product
from inspection.services import api_keys, endpoints
from tests.factories.api_key import Program, key_of
from tests.factories.exchange import DeliveryFactory, EndpointFactory
from tests.factories.membership import MembershipFactory
from tests.factories.product import ProductFactory
from tests.factories.user import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db
PRODUCTS = "/api/v1/products"


@pytest.fixture
def engineer():
    return UserFactory(role="engineer")


@pytest.fixture
def mes(engineer) -> Program:
    return Program(key_of(engineer))


def test_a_key_is_kept_as_a_hash_and_found_by_its_text(engineer) -> None:
    key, text = api_keys.create_key(engineer, name="MES", scopes=["products:read"])
    assert text.startswith(key.prefix)
    assert text not in (key.key_hash, key.prefix)
    assert api_keys.find_key(text) == key
    assert api_keys.find_key(text[:-1] + ("a" if text[-1] != "a" else "b")) is None
    assert AuditEvent.objects.filter(action="api_key.created", object_id=key.pk).exists()
    assert text not in str(list(AuditEvent.objects.values_list("after", "before")))


@pytest.mark.parametrize("end", ["expired", "revoked", "owner"])
def test_a_key_that_ended_opens_nothing(engineer, end: str) -> None:
    key, text = api_keys.create_key(engineer, name="MES", scopes=["products:read"])
    assert Program(text).get(PRODUCTS).status_code == 200
    if end == "expired":
        ApiKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    elif end == "revoked":
        api_keys.revoke_key(engineer, key)
    else:
        engineer.is_active = False
        engineer.save()
    answer = Program(text).get(PRODUCTS)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Bearer")
    assert answer["Content-Type"] == "application/problem+json"


def test_a_rotated_key_works_until_the_overlap_is_over(engineer) -> None:
    old, old_text = api_keys.create_key(engineer, name="MES", scopes=["products:read"], days=30)
    fresh, text = api_keys.rotate_key(engineer, old, overlap_hours=2)
    assert Program(old_text).get(PRODUCTS).status_code == 200
    assert Program(text).get(PRODUCTS).status_code == 200
    old.refresh_from_db()
    assert old.expires_at - timezone.now() <= timedelta(hours=2)
    assert fresh.expires_at - timezone.now() > timedelta(days=29)
    assert fresh.rotated_from == old
    assert fresh.scopes == old.scopes


def test_nobody_revokes_the_key_of_another(engineer) -> None:
    key, _ = api_keys.create_key(engineer, name="MES", scopes=["products:read"])
    with pytest.raises(UserError, match="somebody else's"):
        api_keys.revoke_key(UserFactory(role="engineer"), key)
    api_keys.revoke_key(UserFactory(role="administrator"), key)
    assert not ApiKey.objects.get().usable


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"name": " ", "scopes": ["products:read"]}, "name"),
        ({"name": "x", "scopes": []}, "scopes"),
        ({"name": "x", "scopes": ["everything"]}, "scopes"),
        ({"name": "x", "scopes": ["products:read"], "days": 0}, "days"),
    ],
)
def test_a_key_is_asked_for_sensibly(engineer, asked: dict, field: str) -> None:
    with pytest.raises(UserError) as refused:
        api_keys.create_key(engineer, **asked)
    assert refused.value.field == field


def test_when_a_key_was_used_is_known(engineer, mes: Program) -> None:
    mes.get(PRODUCTS)
    assert timezone.now() - ApiKey.objects.get().last_used_at < timedelta(seconds=30)


def test_without_a_key_nothing_is_told(client: Client) -> None:
    answer = client.get(PRODUCTS)
    assert answer.status_code == 401
    assert answer.json()["code"] == "not_authenticated"


@pytest.mark.parametrize("header", ["Basic abc", "Bearer nonsense", "Bearer ", "kin_x"])
def test_a_wrong_header_is_refused_even_beside_a_session(engineer, header: str) -> None:
    client = Client(headers={"Authorization": header})
    client.login(username=engineer.username, password=PASSWORD)
    assert client.get(PRODUCTS).status_code == 401


def test_a_session_reads_and_needs_a_csrf_token_to_write(engineer) -> None:
    client = Client(enforce_csrf_checks=True)
    client.login(username=engineer.username, password=PASSWORD)
    assert client.get(PRODUCTS).status_code == 200
    answer = client.post(PRODUCTS, {"code": "A", "name": "A"}, content_type="application/json")
    assert answer.status_code == 403
    assert "CSRF" in answer.json()["detail"]


def test_a_scope_opens_what_it_says_and_no_more(engineer) -> None:
    reader = Program(key_of(engineer, ["products:read"]))
    assert reader.get(PRODUCTS).status_code == 200
    refused = reader.json("POST", "products", {"code": "A", "name": "A"})
    assert refused.status_code == 403
    assert "products:write" in refused.json()["detail"]
    other = Program(key_of(engineer, ["audit:read", "models:write"]))
    assert other.get(PRODUCTS).status_code == 403


def test_a_key_never_exceeds_its_owner() -> None:
    viewer = UserFactory()
    mine, hidden = ProductFactory(code="MINE"), ProductFactory(code="HIDDEN")
    MembershipFactory(user=viewer, product=mine, role="viewer")
    program = Program(key_of(viewer))
    assert [row["code"] for row in program.get(PRODUCTS).json()["results"]] == ["MINE"]
    assert program.get(f"{PRODUCTS}/{hidden.pk}").status_code == 404
    assert program.json("PATCH", f"products/{mine.pk}", {"name": "x"}).status_code == 403
    assert program.json("PATCH", f"products/{hidden.pk}", {"name": "x"}).status_code == 404
    assert program.json("POST", "products", {"code": "N", "name": "N"}).status_code == 403


def test_a_product_is_made_changed_and_archived(mes: Program) -> None:
    made = mes.json("POST", "products", {"code": "B-1", "name": "Board", "cost_escape": "12.50"})
    assert made.status_code == 201, made.content
    body = made.json()
    assert body["viewpoints"][0]["recipe_name"] == "B-1"
    at = f"products/{body['id']}"
    top = mes.json("POST", f"{at}/viewpoints", {"code": "top", "name": "Top", "side": "top"})
    assert top.json()["recipe_name"] == "B-1/top"
    changed = mes.json("PATCH", at, {"ipc_class": 3})
    assert changed.json()["ipc_class"] == 3
    assert changed.json()["cost_escape"] == "12.50"
    assert mes.json("DELETE", at).status_code == 204
    assert mes.json("GET", at).json()["archived_at"], "it can still be read"
    assert Product.objects.get().archived_at
    assert mes.json("GET", "products").json()["results"] == []
    listed = mes.json("GET", "products?archived=true").json()["results"]
    assert [one["code"] for one in listed] == ["B-1"]
    tag = mes.json("GET", at)["ETag"]
    stale = mes.json("POST", f"{at}/restore", **{"If-Match": '"other"'})
    assert stale.status_code == 412
    restored = mes.json("POST", f"{at}/restore", **{"If-Match": tag})
    assert (restored.status_code, restored.json()["archived_at"]) == (200, None)
    assert mes.json("POST", f"{at}/restore").status_code == 409
    assert len(mes.json("GET", "products").json()["results"]) == 1


def test_what_was_changed_meanwhile_is_not_overwritten(mes: Program) -> None:
    product = ProductFactory()
    at = f"products/{product.pk}"
    tag = mes.json("GET", at)["ETag"]
    assert mes.json("GET", at, **{"If-None-Match": tag}).status_code == 304
    assert mes.json("PATCH", at, {"name": "first"}, **{"If-Match": tag}).status_code == 200
    late = mes.json("PATCH", at, {"name": "second"}, **{"If-Match": tag})
    assert late.status_code == 412
    assert late.json()["code"] == "changed_meanwhile"
    product.refresh_from_db()
    assert product.name == "first"
    fresh = mes.json("GET", at)["ETag"]
    assert mes.json("PATCH", at, {"name": "second"}, **{"If-Match": fresh}).status_code == 200


def test_an_endpoint_that_was_changed_meanwhile_is_not_removed(mes: Program) -> None:
    at = f"endpoints/{EndpointFactory(product=ProductFactory()).pk}"
    tag = mes.json("GET", at)["ETag"]
    assert mes.json("PATCH", at, {"name": "another"}).status_code == 200
    assert mes.json("DELETE", at, **{"If-Match": tag}).status_code == 412
    fresh = mes.json("GET", at)["ETag"]
    assert mes.json("DELETE", at, **{"If-Match": fresh}).status_code == 204


def test_tries_that_fail_meanwhile_are_no_change_of_an_endpoint(mes: Program) -> None:
    board = ProductFactory()
    body = {"kind": "webhook", "name": "MES", "address": "https://mes.example/hook"}
    body["product"] = board.code
    made = mes.json("POST", "endpoints", body)
    at = f"endpoints/{made.json()['id']}"
    read = mes.json("GET", at)
    assert (made["ETag"], "secret" in made.json()) == (read["ETag"], True)
    now = timezone.now()
    Endpoint.objects.update(connected_at=now, last_error="503", last_error_at=now)
    later = mes.json("GET", at, **{"If-None-Match": made["ETag"]})
    assert (later.status_code, later.json()["last_error"]) == (200, "503"), (
        "it is told all the same"
    )
    tag = {"If-Match": made["ETag"]}
    assert mes.json("PATCH", at, {"name": "another"}, **tag).status_code == 200
    assert mes.json("PATCH", at, {"name": "third"}, **tag).status_code == 412
    assert mes.json("DELETE", at, **tag).status_code == 412
    fresh = mes.json("GET", at)["ETag"]
    Endpoint.objects.update(last_error="504")
    assert mes.json("DELETE", at, **{"If-Match": fresh}).status_code == 204


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": "no code"}, "/code"),
        ({"code": "A", "name": "A", "ipc_class": 9}, "/ipc_class"),
        ({"code": "A", "name": "A", "colour": "red"}, "/colour"),
        ({"code": "A", "name": "A", "cost_escape": "much"}, "/cost_escape"),
    ],
)
def test_a_wrong_field_is_pointed_at(mes: Program, body: dict, pointer: str) -> None:
    answer = mes.json("POST", "products", body)
    assert answer.status_code == 422
    problem = answer.json()
    assert [error["pointer"] for error in problem["errors"]] == [pointer]
    assert problem["type"] == "urn:kintsugi:problem:invalid"
    assert problem["instance"] == PRODUCTS


def test_a_refusal_of_a_service_is_a_problem_too(mes: Program) -> None:
    ProductFactory(code="TAKEN")
    problem = mes.json("POST", "products", {"code": "taken", "name": "again"}).json()
    assert (problem["status"], problem["code"]) == (422, "code_taken")
    assert problem["errors"][0]["pointer"] == "/code"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "nowhere", 404),
        ("GET", "products/not-a-key", 404),
        ("PUT", "products", 405),
        ("GET", "products?cursor=nonsense", 422),
    ],
)
def test_every_mistake_is_a_problem_document(
    mes: Program, method: str, path: str, status: int
) -> None:
    answer = mes.json(method, path)
    assert answer.status_code == status
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == status


def test_broken_json_and_other_media_types(mes: Program) -> None:
    broken = mes.post(PRODUCTS, "{", content_type="application/json")
    assert broken.status_code == 400
    assert broken.json()["code"] == "parse_error"
    assert mes.post(PRODUCTS, "<a/>", content_type="text/xml").status_code == 415


def test_pages_follow_each_other_and_lose_nothing(mes: Program) -> None:
    made = {str(ProductFactory().pk) for _ in range(7)}
    seen, address = [], f"{PRODUCTS}?limit=3"
    while address:
        page = mes.get(address).json()
        seen += [row["id"] for row in page["results"]]
        address = page["next"]
        ProductFactory()  # new rows come before what was read already
    assert made <= set(seen)
    assert len(seen) == len(set(seen)) == 7
    assert mes.get(f"{PRODUCTS}?limit=0").status_code == 200
    assert len(mes.get(f"{PRODUCTS}?limit=100000").json()["results"]) == 10


def test_the_limit_is_told_and_kept(mes: Program, settings) -> None:
    settings.API_RATE_PER_MINUTE = 3
    answers = [mes.get(PRODUCTS) for _ in range(5)]
    if len({answer["RateLimit"].split("t=")[1] for answer in answers}) > 1:
        pytest.skip("the minute ended in between")
    assert answers[0]["RateLimit-Policy"] == '"default";q=3;w=60'
    assert answers[0]["RateLimit"].startswith('"default";r=2;t=')
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[-1]["Content-Type"] == "application/problem+json"
    assert 1 <= int(answers[-1]["Retry-After"]) <= 60


def test_the_description_is_served_and_its_page_needs_a_sign_in(engineer, client: Client) -> None:
    assert client.get("/api/v1/docs/").status_code == 302
    client.login(username=engineer.username, password=PASSWORD)
    assert client.get("/api/v1/docs/").status_code == 200
    described = json.loads(client.get("/api/v1/openapi.json").content)
    assert described["openapi"] == "3.1.0"
    answers = described["paths"]["/api/v1/products"]["post"]["responses"]
    assert {"201", "401", "403", "422", "429"} <= set(answers)


@pytest.mark.django_db(transaction=True)
def test_an_endpoint_is_off_for_all_to_see_before_its_log_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In one transaction a verdict that is written meanwhile would fail, or let this fail."""
    delivery = DeliveryFactory()
    forget = endpoints._forget_deliveries
    seen: list[tuple[bool, bool]] = []

    def watched(endpoint: Endpoint) -> None:
        on = Endpoint.objects.get(pk=endpoint.pk).enabled
        seen.append((on, connection.in_atomic_block))
        forget(endpoint)

    monkeypatch.setattr(endpoints, "_forget_deliveries", watched)
    program = Program(key_of(UserFactory(role="administrator")))
    at = f"endpoints/{delivery.endpoint_id}"
    assert program.json("DELETE", at).status_code == 204
    assert seen == [(False, False)]
    assert not Endpoint.objects.exists()
