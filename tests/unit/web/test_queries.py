"""Pages ask the database a fixed number of questions, however much there is to show."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from inspection.models import Role
from tests.factories.membership import MembershipFactory
from tests.unit.web.conftest import LISTS, World, populate, signed_in

MOST = 12 + 1  # and what the bell counts
COMPARING = {"candidate": 18, "retraining": 18}  # they hold one thing against another
MOST_FOR_A_FILE = 3 + 2  # and the session with its user


def questions(client: Client, address: str) -> int:
    with CaptureQueriesContext(connection) as asked:
        answer = client.get(address)
    assert answer.status_code in (200, 404), (address, answer.status_code)
    return len(asked)


@pytest.mark.parametrize("role", [Role.ENGINEER, Role.VIEWER])
def test_pages_of_a_product(world: World, role: Role) -> None:
    client = signed_in(MembershipFactory(product=world.product, role=role).user)
    allowed = {name: page for name, page in world.pages().items() if can_open(client, page)}
    asked = {name: questions(client, page) for name, page in allowed.items()}
    assert len(allowed) > 10
    assert {name: n for name, n in asked.items() if n > COMPARING.get(name, MOST)} == {}


def can_open(client: Client, page: str) -> bool:
    return client.get(page).status_code != 403


@pytest.mark.parametrize("name", LISTS)
def test_lists(engineer: Client, name: str) -> None:
    assert questions(engineer, reverse(name)) <= MOST


def test_more_rows_are_not_more_questions(db: None) -> None:
    few, many = populate(2), populate(7)
    clients = [
        signed_in(MembershipFactory(product=world.product, role=Role.ENGINEER).user)
        for world in (few, many)
    ]
    for name, page in few.pages().items():
        small, large = questions(clients[0], page), questions(clients[1], many.pages()[name])
        assert large <= small, f"{name}: {small} questions for few rows, {large} for many"


def test_files(world: World, engineer: Client) -> None:
    for name, address in world.files().items():
        assert questions(engineer, address) <= MOST_FOR_A_FILE, name
