"""How work is queued. The reasons are in docs/adr/0003-jobs.md."""

from datetime import timedelta
from typing import Any

VISIBILITY_TIMEOUT_S = int(timedelta(days=30).total_seconds())


def celery_settings(redis_url: str, *, reap_every_s: int, look_every_s: float) -> dict[str, Any]:
    """Celery's configuration for a broker at `redis_url`."""
    return {
        "broker_url": redis_url,
        "result_backend": None,
        "task_ignore_result": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        # A message may be lost or come twice; the row decides. So acknowledge early and
        # never hold messages that nobody works on.
        "task_acks_late": False,
        "worker_disable_prefetch": True,
        "worker_prefetch_multiplier": 1,
        "broker_transport_options": {
            "visibility_timeout": VISIBILITY_TIMEOUT_S,
            "socket_timeout": 10,
            "socket_connect_timeout": 5,
            "max_retries": 1,  # of a publisher; a worker tries for ever (below)
            "interval_start": 0,
            "interval_step": 0.2,
            "connect_retries_timeout": 2,
            "queue_order_strategy": "priority",  # `fast` is always looked at before `score`
        },
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # A page must not hang on a broker that is gone: fail at once, the reaper publishes.
        "task_publish_retry": False,
        "task_default_queue": "default",
        "task_create_missing_queues": True,
        # What is not named here goes to `default`, beside the reaper: nothing that may take hours.
        "task_routes": {
            "inspection.tasks.train": {"queue": "train"},
            "inspection.tasks.score_chunk": {"queue": "score"},
            "inspection.tasks.unpack_upload": {"queue": "io"},
            "inspection.tasks.make_report": {"queue": "io"},
            "inspection.tasks.send_reports": {"queue": "io"},
        },
        "worker_hijack_root_logger": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_soft_shutdown_timeout": 60,
        "worker_send_task_events": False,
        "timezone": "UTC",
        "beat_schedule": {
            "reap": {"task": "inspection.tasks.reap", "schedule": float(reap_every_s)},
            "send_reports": {"task": "inspection.tasks.send_reports", "schedule": 60.0},
            # Whether anything is due is said by the rows, not by this clock.
            "models": {"task": "inspection.tasks.look_after_models", "schedule": 60.0},
            "look_into_folders": {
                "task": "inspection.tasks.look_into_folders",
                "schedule": look_every_s,
                "options": {"expires": look_every_s},  # the next look sees the same files
            },
            "tidy": {"task": "inspection.tasks.tidy", "schedule": 3600.0},
            "watch_drift": {"task": "inspection.tasks.watch_drift", "schedule": 3600.0},
        },
    }
