"""`manage.py recount [--since DATE]`: make the sums of the Today page anew."""

from argparse import ArgumentParser
from datetime import date, datetime, time
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from inspection.services import tallies


class Command(BaseCommand):
    help = "Count all decisions of record again; the sums are kept exact without it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--since", type=date.fromisoformat, metavar="YYYY-MM-DD", help="only from this day on"
        )

    def handle(self, *args: Any, since: date | None, **_: Any) -> None:
        begin = timezone.make_aware(datetime.combine(since, time.min)) if since else None
        written = tallies.recount(begin)
        self.stdout.write(f"{written['hours']} hours and {written['places']} places counted.")
