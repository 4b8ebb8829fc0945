"""The queue. Workers start with `celery -A webapp worker -Q <queues>`."""

import os

from celery import Celery
from celery.signals import setup_logging, worker_shutting_down

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings.dev")

from django.conf import settings

app = Celery("kintsugi")
app.config_from_object(settings.CELERY)
app.autodiscover_tasks(["inspection"])


@setup_logging.connect
def _keep_our_logging(**_: object) -> None:
    """Django has set logging up (JSON, with ids); Celery would put its own beside it."""


@worker_shutting_down.connect
def _tell_running_tasks(**_: object) -> None:
    """A running job puts itself back in the queue instead of being waited for."""
    from inspection.jobs import shutdown

    shutdown.request()
