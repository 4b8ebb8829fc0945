"""`manage.py exchange`: holds every enabled endpoint that nobody else holds, a thread for each.

Any number of these processes may run. The main thread takes endpoints and renews leases, and
does nothing that could hang on a receiver; so a lease is lost only with its process, or with the
database.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

from django.db import DatabaseError, InterfaceError, close_old_connections, connection

from inspection.services import endpoint_lease

from .holder import Holder

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
STOP_WITHIN_S = 25.0  # longer than one call of a courier


class House:
    """`House().run(asked_to_stop)`: a plain look, so that a signal's handler takes no lock."""

    def __init__(self, alive: Path | None = None) -> None:
        self.alive = alive  # touched while we live, for a health check
        self.holders: dict[UUID, Holder] = {}

    def run(self, asked_to_stop: Callable[[], bool]) -> None:
        """Hold endpoints until asked to stop; then finish what is being delivered, and let go."""
        next_look = 0.0
        while not asked_to_stop():
            if time.monotonic() >= next_look:
                next_look = time.monotonic() + LOOK_EVERY_S
                self._safely(self.look)
                if self.alive is not None:
                    self.alive.touch()
            time.sleep(0.1)
        self.close()

    def look(self) -> None:
        """Renew what is held, forget what ended, and take what is free."""
        for key, holder in list(self.holders.items()):
            holder.renew()
            if not holder.is_alive():
                holder.let_go()
                del self.holders[key]
        for endpoint in endpoint_lease.hold_free():
            if endpoint.pk in self.holders:  # its thread still ends; it is taken by us or another
                endpoint_lease.let_go(endpoint.pk, endpoint_lease.token_of(endpoint))
                continue
            holder = self.holders[endpoint.pk] = Holder(endpoint)
            holder.start()

    def close(self) -> None:
        """Ask every thread to end and wait for them; leases are kept meanwhile."""
        until = time.monotonic() + STOP_WITHIN_S
        for holder in self.holders.values():
            holder.stop.set()
        while working := [one for one in self.holders.values() if one.is_alive()]:
            if time.monotonic() > until:
                log.error("an endpoint did not end in time; its lease runs out by itself")
                break
            self._safely(self._renew_all)
            working[0].join(LOOK_EVERY_S)
        for holder in self.holders.values():
            if not holder.is_alive():
                self._safely(holder.let_go)
        self.holders.clear()
        connection.close()

    def _renew_all(self) -> None:
        for holder in self.holders.values():
            holder.renew()

    def _safely(self, work: Callable[[], None]) -> None:
        """A database that is away is waited for; the leases tell themselves when they are lost."""
        try:
            close_old_connections()
            work()
        except (DatabaseError, InterfaceError) as error:
            log.warning("the database does not answer: %s", error)
            connection.close()
            for holder in self.holders.values():
                holder.check_lease()
