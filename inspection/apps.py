from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class InspectionConfig(AppConfig):
    name = "inspection"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        post_migrate.connect(_count_what_is_there, sender=self)


def _count_what_is_there(**_: Any) -> None:
    """Give a database from before there were sums its sums, and one whose plant changed its
    zone those of that zone; a step of an upgrade.

    Not a migration: the rules of counting are those of today's code, which may know columns
    that a migration in the middle of the chain does not have yet.
    """
    from .services import tallies

    tallies.count_if_needed()
