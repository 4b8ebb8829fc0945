"""`manage.py make_history`: a year of a plant's inspections, to try and to measure pages with."""

import time
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection, transaction
from django.utils import timezone

from inspection.management.history.lots import History, schedule
from inspection.management.history.plant import PARTS, build
from inspection.models import Product
from inspection.services import tallies


class Command(BaseCommand):
    help = "Fill an empty database with inspections, reviews and escapes that are made up."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--inspections", type=int, default=1_000_000)
        parser.add_argument("--months", type=float, default=12)
        parser.add_argument("--products", type=int, default=len(PARTS))
        parser.add_argument("--seed", type=int, default=1)

    def handle(self, *args: Any, **given: Any) -> None:
        if Product.objects.filter(code=PARTS[0][0]).exists():
            raise CommandError("There is a made-up history in this database already.")
        started, now = time.monotonic(), timezone.now()
        begin = (now - timedelta(days=30.44 * given["months"])).replace(
            minute=0, second=0, microsecond=0
        )
        with transaction.atomic():
            plant = build(begin, given["products"])
        history = History(plant, now, given["seed"])
        for written in history.run(schedule(plant, begin, now, given["inspections"])):
            self._say(f"{written:,} inspections", started)
        tallies.recount()
        # A caller's transaction forbids it, and then the server's own autovacuum comes later.
        if connection.vendor == "postgresql" and not connection.in_atomic_block:
            with connection.cursor() as cursor:
                cursor.execute("VACUUM ANALYZE")
        self._say("Counted and analysed", started)

    def _say(self, what: str, started: float) -> None:
        self.stdout.write(f"{what} after {time.monotonic() - started:.0f} s")
        self.stdout.flush()
