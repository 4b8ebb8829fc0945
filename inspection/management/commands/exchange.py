"""`manage.py exchange`: deliver to other systems until it is told to stop."""

import signal
from pathlib import Path
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from inspection.exchange.house import House


class Command(BaseCommand):
    help = "Deliver events to webhooks, IPC-CFX and MQTT endpoints; a process that stays up."

    def handle(self, *args: Any, **_: Any) -> None:
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)
        House(alive=Path(settings.VAR_DIR) / "exchange-alive").run(lambda: self.asked)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
