"""Which request or job a log line belongs to."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="")
job_id: ContextVar[str] = ContextVar("job_id", default="")


@contextmanager
def working_on(job: object) -> Iterator[None]:
    """Every log line inside belongs to the job with this id."""
    token = job_id.set(str(job))
    try:
        yield
    finally:
        job_id.reset(token)


class AddIds(logging.Filter):
    """Put the running request's and job's ids on every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id.get()
        record.job_id = job_id.get()
        record.__dict__.pop("color_message", None)  # uvicorn's own, for terminals
        return True
