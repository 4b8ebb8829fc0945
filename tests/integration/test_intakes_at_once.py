"""Several people who set up the same watched folder at the same moment: one of them gets it."""

import threading
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from inspection.errors import UserError
from inspection.models import Intake, Role
from inspection.services import intakes
from tests.factories.membership import MembershipFactory
from tests.factories.viewpoint import ViewpointFactory

pytestmark = [pytest.mark.integration, pytest.mark.django_db(transaction=True)]
ASKING = 4


def test_one_of_those_who_ask_at_once_gets_the_folder(tmp_path: Path, settings: Any) -> None:
    settings.INTAKE_ROOTS = [str(tmp_path)]
    viewpoint = ViewpointFactory()
    user = MembershipFactory(product=viewpoint.product, role=Role.ENGINEER).user
    together, said = threading.Barrier(ASKING), []

    def ask(number: int) -> None:
        together.wait()
        try:
            intakes.create_intake(
                user,
                name=f"AOI {number}",
                viewpoint=viewpoint,
                location=f"{tmp_path}{'/.' * number}/aoi",
                pattern="{serial}.png",
            )
            said.append("")
        except UserError as refusal:
            said.append(refusal.code)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(ASKING)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == ["", *["watched_already"] * (ASKING - 1)]
    assert Intake.objects.count() == 1
