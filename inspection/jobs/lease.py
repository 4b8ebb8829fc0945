"""A lease that is renewed by a thread while the work goes on in the main one."""

import logging
import threading
import time
from types import TracebackType
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from .claim import Claim

log = logging.getLogger(__name__)

RENEWALS = 4  # in the time of one lease


class Lease:
    """`with Lease(claim) as lease: …` — look at `lease.lost` between steps.

    `lost` is set when the row is no longer ours, and also when the database could not be
    reached until the lease ran out: a worker that cannot renew must not work on.
    """

    def __init__(self, claim: Claim[Any]) -> None:
        self.claim = claim
        self.lost = threading.Event()
        self._stop = threading.Event()
        self._seconds = float(settings.JOB_LEASE_S)
        self._valid_until = time.monotonic() + self._seconds
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def __enter__(self) -> "Lease":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _keep(self) -> None:
        try:
            while not self._stop.wait(self._seconds / RENEWALS) and not self.lost.is_set():
                self._renew()
        finally:
            connection.close()  # this thread's own

    def _renew(self) -> None:
        asked_at = time.monotonic()
        try:
            held = self.claim.renew()
        except (DatabaseError, InterfaceError) as error:
            connection.close()
            log.warning("lease of %s not renewed: %s", self.claim.id, error)
            held = time.monotonic() < self._valid_until
        else:
            self._valid_until = asked_at + self._seconds
        if not held and not self.claim.let_go.is_set():
            log.error("lease of %s lost: stopping", self.claim.id)
            self.lost.set()
