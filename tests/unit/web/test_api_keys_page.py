"""Settings, API keys: who sees which, and a text that is shown once."""

import pytest
from django.test import Client

from inspection.models import ApiKey
from inspection.services import api_keys
from tests.factories.user import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db
PAGE = "/settings/keys/"


def signed_in(user) -> Client:
    client = Client()
    assert client.login(username=user.username, password=PASSWORD)
    return client


def test_a_key_is_made_and_its_text_is_shown_once() -> None:
    viewer = UserFactory(role="viewer")
    client = signed_in(viewer)
    asked = {"name": "MES line 3", "days": "90", "scopes": ["inspections:read", "images:write"]}
    made = client.post(PAGE, asked)
    text = made.context["text"]
    assert text in made.content.decode()
    assert "no-store" in made["Cache-Control"]
    key = ApiKey.objects.get()
    assert (key.owner, key.scopes) == (viewer, ["images:write", "inspections:read"])
    assert api_keys.find_key(text) == key
    assert text not in client.get(PAGE).content.decode()


def test_what_is_missing_is_said_and_what_was_ticked_stays() -> None:
    client = signed_in(UserFactory(role="viewer"))
    page = client.post(PAGE, {"name": "x", "days": ""})
    assert "Tick what the key may do." in page.content.decode()
    page = client.post(PAGE, {"name": "", "scopes": ["audit:read"]})
    assert 'value="audit:read" aria-label="Audit trail: Read" checked' in page.content.decode()
    assert not ApiKey.objects.exists()


def test_one_sees_ones_own_and_an_administrator_everybodys() -> None:
    mine, other = UserFactory(role="engineer"), UserFactory(role="engineer")
    for user in (mine, other):
        api_keys.create_key(user, name=f"of {user.username}", scopes=["audit:read"])
    page = signed_in(mine).get(PAGE).content.decode()
    assert f"of {mine.username}" in page
    assert f"of {other.username}" not in page
    page = signed_in(UserFactory(role="administrator")).get(PAGE).content.decode()
    assert f"of {mine.username}" in page
    assert f"of {other.username}" in page


def test_a_key_is_rotated_and_revoked_by_its_owner_and_by_nobody_else() -> None:
    mine, other = UserFactory(role="engineer"), UserFactory(role="engineer")
    key, text = api_keys.create_key(mine, name="MES", scopes=["audit:read"])
    assert signed_in(other).post(f"{PAGE}{key.pk}/revoke/").status_code == 404
    client = signed_in(mine)
    fresh = client.post(f"{PAGE}{key.pk}/rotate/").context["text"]
    assert api_keys.find_key(text)
    assert api_keys.find_key(fresh).rotated_from == key
    assert client.post(f"{PAGE}{key.pk}/revoke/").status_code == 302
    assert api_keys.find_key(text) is None
    assert client.post(f"{PAGE}{key.pk}/explode/").status_code == 404
