"""`manage.py reseal`: seal what endpoints keep by the newest SECRET_KEY, before an earlier one
leaves SECRET_KEY_FALLBACKS."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from inspection.services.resealing import reseal


class Command(BaseCommand):
    help = "Seal passwords of brokers and secrets of webhooks by the newest SECRET_KEY."

    def handle(self, *args: Any, **_: Any) -> None:
        told = reseal()
        self.stdout.write(f"{len(told.done)} endpoints are sealed by the newest SECRET_KEY.")
        if told.closed:
            raise CommandError(
                f"No key here opens what {len(told.closed)} keep: {', '.join(told.closed)}. Name "
                "the key that sealed them in SECRET_KEY_FALLBACKS, or give them new secrets."
            )
