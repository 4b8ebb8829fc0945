"""What others trusted us with cannot be read in the database, nor with another SECRET_KEY."""

import io

import pytest
from django.core.exceptions import FieldDoesNotExist
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from pytest_django import Settings

from inspection.exchange import couriers
from inspection.models import AuditEvent, Endpoint
from inspection.sealed import CannotOpen, seal, unseal
from inspection.services import endpoints, webhook_signing
from tests.factories.exchange import EndpointFactory

OTHER = "another-key-of-this-house-" + "y" * 40


def test_what_is_sealed_comes_back_and_cannot_be_read() -> None:
    sealed = seal([{"secret": "s3cret", "until": None}])
    assert "s3cret" not in sealed
    assert sealed != seal([{"secret": "s3cret", "until": None}]), "alike secrets do not look alike"
    assert unseal(sealed) == [{"secret": "s3cret", "until": None}]


@pytest.mark.parametrize("spoil", [lambda text: text[:-6], lambda text: "x" + text[1:]])
def test_what_was_changed_is_not_opened(spoil) -> None:
    with pytest.raises(CannotOpen):
        unseal(spoil(seal("s3cret")))


def test_an_earlier_key_opens_and_the_new_one_seals(settings: Settings) -> None:
    sealed, first = seal("s3cret"), settings.SECRET_KEY
    settings.SECRET_KEY = OTHER
    with pytest.raises(CannotOpen):
        unseal(sealed)
    settings.SECRET_KEY_FALLBACKS = [first]
    assert unseal(sealed) == "s3cret"
    again = seal("s3cret")
    settings.SECRET_KEY_FALLBACKS = []
    assert unseal(again) == "s3cret"


@pytest.mark.django_db
def test_no_row_of_the_database_has_the_secret_of_an_endpoint() -> None:
    made, secret = endpoints.create(
        None, kind="webhook", name="MES", address="https://mes.example/hook"
    )
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM inspection_endpoint")
        rows = str(cursor.fetchall())
    assert "mes.example" in rows
    assert secret not in rows
    assert webhook_signing.in_force(Endpoint.objects.get(pk=made.pk).secrets) == [secret]


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["webhook", "mqtt"])
def test_under_another_key_an_endpoint_says_so_until_it_has_a_new_secret(
    settings: Settings, kind: str
) -> None:
    address = {"webhook": "https://mes.example/hook", "mqtt": "mqtts://broker.example"}[kind]
    endpoint = EndpointFactory(kind=kind, address=address, options={})
    settings.SECRET_KEY = OTHER
    with pytest.raises((CannotOpen, couriers.Away), match="SECRET_KEY_FALLBACKS"):
        couriers.make(endpoint).open()
    if kind == "webhook":
        secret = endpoints.rotate_secret(None, endpoint)
    else:
        secret = "anew"
        endpoints.edit(None, endpoint, name="MQTT", address=address, secret=secret)
    endpoint.refresh_from_db()
    assert webhook_signing.in_force(endpoint.secrets) == [secret]


@pytest.mark.django_db
def test_what_an_earlier_key_sealed_is_sealed_by_the_newest_and_that_one_may_go(
    settings: Settings,
) -> None:
    kept = [{"secret": "s3cret", "until": None}]
    first = settings.SECRET_KEY
    for name in ("a", "b"):
        EndpointFactory(name=name, secrets=kept)
    EndpointFactory(name="none", secrets=[])
    settings.SECRET_KEY = "lost-" + "z" * 60
    EndpointFactory(name="lost", secrets=kept)
    lost = Endpoint.objects.get(name="lost").sealed
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = OTHER, [first]
    EndpointFactory(name="new", secrets=kept)
    out = io.StringIO()
    with pytest.raises(CommandError, match="what 1 keep: lost"):
        call_command("reseal", stdout=out)
    assert "3 endpoints" in out.getvalue()
    settings.SECRET_KEY_FALLBACKS = []
    for name in ("a", "b", "new"):
        assert Endpoint.objects.get(name=name).secrets == kept
    assert Endpoint.objects.get(name="none").sealed == ""
    assert Endpoint.objects.get(name="lost").sealed == lost
    assert AuditEvent.objects.filter(action="endpoint.resealed").count() == 3
    Endpoint.objects.filter(name="lost").delete()
    call_command("reseal", stdout=out)


@pytest.mark.django_db(transaction=True)
def test_what_lay_open_is_sealed_by_the_migration_and_back() -> None:
    earlier, sealed = (
        ("inspection", "0019_report_schedule_since"),
        ("inspection", "0020_endpoint_sealed"),
    )
    kept = [{"secret": "s3cret", "until": None}]
    newest = MigrationExecutor(connection).loader.graph.leaf_nodes()
    try:
        EndpointFactory(name="sealed", secrets=kept)
        EndpointFactory(name="none", secrets=[])
        before = _migrate(earlier).get_model("inspection", "Endpoint")
        assert before.objects.get(name="sealed").secrets == kept
        assert before.objects.get(name="none").secrets == []
        after = _migrate(sealed).get_model("inspection", "Endpoint")
        with pytest.raises(FieldDoesNotExist):
            after._meta.get_field("secrets")
        assert unseal(after.objects.get(name="sealed").sealed) == kept
        assert after.objects.get(name="none").sealed == ""
    finally:
        MigrationExecutor(connection).migrate(newest)


def _migrate(target: tuple[str, str]):
    executor = MigrationExecutor(connection)
    executor.migrate([target])
    return MigrationExecutor(connection).loader.project_state([target]).apps
