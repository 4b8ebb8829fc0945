"""What a scoring process looks after beside scoring, every few seconds: models that are to be
warm, and single units whose message was never sent."""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

from django.db import connection

from inspection.jobs import reaper

from . import warm_models

log = logging.getLogger(__name__)

EVERY_S = 5.0


def start() -> None:
    """Begin, each in a thread of its own: a model may take long to load, a unit must not wait
    for that."""
    given_up: set[str] = set()
    for name, step in (
        ("warm-models", partial(warm_models.warm, given_up)),
        ("publish-units", reaper.publish_units),
    ):
        threading.Thread(target=_again_and_again, args=(step,), name=name, daemon=True).start()


def _again_and_again(step: Callable[[], object]) -> None:
    while True:
        once(step)
        time.sleep(EVERY_S)


def once(step: Callable[[], object]) -> None:
    """One look; whatever fails (the database is away, say) is left to a later one."""
    try:
        step()
    except Exception:
        log.warning("%s failed", threading.current_thread().name, exc_info=True)
    finally:
        connection.close()
