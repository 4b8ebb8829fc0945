"""One endpoint in the hands of this process: its thread, its courier, what is due."""

import logging
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import (
    DatabaseError,
    DataError,
    InterfaceError,
    close_old_connections,
    connection,
)

from inspection.models import Delivery, Endpoint
from inspection.sealed import CannotOpen
from inspection.services import deliveries, endpoint_lease, endpoints

from . import couriers
from .couriers import POLL_S, Away, Courier, NoCourier, Outcome

log = logging.getLogger(__name__)

LONGEST_WAIT_S = 30.0  # before an endpoint that is away is tried again
MOST_LOSSES = 5  # of the connection at one and the same delivery, before that counts against it

Key = tuple[str, str]
Group = list[Delivery]


class Ended(Exception):
    """The endpoint is not ours any more, was disabled, or we are asked to stop."""


class Changed(Exception):
    """Somebody edited the endpoint: begin anew."""


class Holder(threading.Thread):
    """Delivers to one endpoint while its lease holds. `stop` asks it to end."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(name=f"endpoint {endpoint.name}", daemon=True)
        self.key, self.token = endpoint.pk, endpoint_lease.token_of(endpoint)
        self.endpoint = endpoint
        self.stop = threading.Event()
        self._seconds = float(settings.EXCHANGE_LEASE_S)
        self._valid_until = time.monotonic() + self._seconds
        self._in_flight: dict[Future[None], tuple[Key, Group]] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._away: list[str] = []
        self._failures = 0
        self._lost_at: UUID | None = None  # the delivery at which the connection was lost last,
        self._losses = 0  # and how often in a row
        self._round_over = threading.Event()  # what was handed over goes no further
        self._looked_at = 0.0

    # --- the lease, kept by the main thread ----------------------------------------------

    def renew(self) -> None:
        """Push the lease out; without it, stop delivering."""
        asked_at = time.monotonic()
        if endpoint_lease.renew(self.key, self.token):
            self._valid_until = asked_at + self._seconds
        elif self.is_alive():
            log.error("endpoint %s is held by another process: stopping", self.endpoint)
            self.stop.set()

    def check_lease(self) -> None:
        """Stop when the lease ran out while the database did not answer."""
        if time.monotonic() > self._valid_until:
            self.stop.set()

    def let_go(self) -> None:
        """Give the row free, once the thread has ended."""
        endpoint_lease.let_go(self.key, self.token)

    # --- the thread ----------------------------------------------------------------------

    def run(self) -> None:
        """Connect and deliver, again and again, until it ends."""
        again = True
        try:
            while not self.stop.wait(0 if again else self._back_off()):
                again = self._work()
        except Ended:
            pass
        finally:
            connection.close()

    def _back_off(self) -> float:
        """1, 2, 4 … 30 seconds since it last took something or was well while idle: one that
        lets us connect and then hangs up is not there."""
        self._failures += 1
        return min(LONGEST_WAIT_S, 2.0 ** (self._failures - 1))

    def _work(self) -> bool:
        """One life of a courier. Returns True when another begins at once."""
        courier = None
        try:
            close_old_connections()
            self.endpoint = self._fresh()
            courier = couriers.make(self.endpoint)
            self._open(courier)
            endpoint_lease.connected(self.key, self.token)
            self._deliver_with(courier)
        except Changed:
            return True
        except (Away, NoCourier, CannotOpen) as error:
            self._tell_away(str(error))
        except (DatabaseError, InterfaceError) as error:
            log.warning("endpoint %s: the database does not answer: %s", self.endpoint, error)
            connection.close()
        except Ended:
            raise
        except Exception as error:
            log.exception("endpoint %s failed", self.endpoint)
            self._tell_away(f"{type(error).__name__}: {error}")
        finally:
            self._round_over.set()
            self._close(courier)
        return False

    def _open(self, courier: Courier) -> None:
        self._round_over.clear()
        try:
            courier.open()
        except Away:
            self._lost_at = None  # it was down: no delivery is to blame
            raise

    def _close(self, courier: Courier | None) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True)
            self._pool = None
        self._in_flight.clear()
        self._away.clear()
        if courier is None:
            return
        try:
            courier.close()
        except Exception:
            log.exception("endpoint %s was not closed well", self.endpoint)

    def _tell_away(self, why: str) -> None:
        log.warning("endpoint %s is away: %s", self.endpoint, why)
        try:
            endpoint_lease.away(self.key, self.token, why)
        except (DatabaseError, InterfaceError):
            connection.close()

    def _fresh(self) -> Endpoint:
        """The row as it is now. Raises Ended when it is not ours to deliver to."""
        self._go_on()
        found = endpoint_lease.as_it_is(self.key, self.token)
        if found is None:
            raise Ended
        return found

    def _go_on(self) -> None:
        self.check_lease()
        if self.stop.is_set():
            raise Ended

    # --- rounds --------------------------------------------------------------------------

    def _deliver_with(self, courier: Courier) -> None:
        pool = ThreadPoolExecutor(courier.parallel, self.name) if courier.parallel > 1 else None
        self._pool = pool
        while True:
            self._look()
            busy = self._together(courier, pool) if pool else self._in_turn(courier)
            courier.idle()
            self._failures = 0
            if not busy:
                self.stop.wait(POLL_S)

    def _in_turn(self, courier: Courier) -> bool:
        """Deliver what is due, one after the other. Returns whether there was anything."""
        due = deliveries.due(self.endpoint)
        for _, group in _by_key(due):
            self._deliver_group(courier, group)
        return bool(due)

    def _look(self) -> None:
        """Raises Changed after an edit, Ended when nothing more may go out."""
        self._looked_at = time.monotonic()
        if _looks_of(self._fresh()) != _looks_of(self.endpoint):
            raise Changed

    def _look_between(self) -> None:
        """Before each delivery: many of them may have been found due at once, and take minutes.
        In the pool the thread of the endpoint looks, and says so by `_round_over`."""
        self._go_on()
        if self._round_over.is_set():
            raise Ended
        if self._pool is None and time.monotonic() - self._looked_at >= POLL_S:
            self._look()

    def _together(self, courier: Courier, pool: ThreadPoolExecutor) -> bool:
        """Hand groups of different keys to the pool, as many as it has threads, and wait until
        one is through. Returns whether to look again at once."""
        if free := courier.parallel - len(self._in_flight):
            for key, group in self._not_in_flight()[:free]:
                future = pool.submit(self._deliver_in_pool, courier, group)
                self._in_flight[future] = (key, group)
        done, _ = wait(self._in_flight, timeout=POLL_S, return_when=FIRST_COMPLETED)
        for future in done:
            del self._in_flight[future]
            future.result()
        if self._away:
            raise Away(self._away[0])
        return bool(done)

    def _not_in_flight(self) -> list[tuple[Key, Group]]:
        """What is due, but for keys that are being delivered."""
        keys = [key for key, _ in self._in_flight.values()]
        pks = [one.pk for _, group in self._in_flight.values() for one in group]
        due = deliveries.due(self.endpoint, busy=pks, busy_keys=[k for k in keys if k[1]])
        return _by_key(due)

    def _deliver_in_pool(self, courier: Courier, group: Group) -> None:
        try:
            self._deliver_group(courier, group)
        except Away as error:
            self._away.append(str(error))
        except Ended:
            pass
        finally:
            connection.close()

    def _deliver_group(self, courier: Courier, group: Group) -> None:
        """Deliver events of one unit in their order, until one fails."""
        for delivery in group:
            self._look_between()
            if not self._deliver_one(courier, delivery):
                break

    def _deliver_one(self, courier: Courier, delivery: Delivery) -> bool:
        """One try, and what it came to. What the database refuses to keep is a failed one: left
        uncounted, the same event would be sent again for ever."""
        began = time.monotonic()

        def took_ms() -> int:
            return round((time.monotonic() - began) * 1000)

        try:
            outcome = courier.deliver(delivery)
            written = self._write(courier, delivery, outcome, took_ms())
        except DataError as error:
            log.exception("delivery %s cannot be written down", delivery.pk)
            outcome = Outcome.failed(f"The database does not take it: {error}")
            written = self._write(courier, delivery, outcome, took_ms())
        except (DatabaseError, InterfaceError):
            raise
        except Exception as error:  # Away, or what nobody thought of
            if self._ends_again_at(delivery):
                said = f"The connection ended {MOST_LOSSES} times at this event: {error}"
                self._write(courier, delivery, Outcome.failed(said), took_ms())
            raise
        if outcome.delivered:
            self._failures = 0
        return written and outcome.delivered

    def _ends_again_at(self, delivery: Delivery) -> bool:
        """Whether it is this delivery that ends the connection, and not chance: then it counts as
        tried, and what waits behind it goes on."""
        self._losses = self._losses + 1 if self._lost_at == delivery.pk else 1
        self._lost_at = delivery.pk
        if self._losses < MOST_LOSSES:
            return False
        self._failures, self._lost_at = 0, None
        return True

    def _write(self, courier: Courier, delivery: Delivery, outcome: Outcome, took_ms: int) -> bool:
        written = deliveries.settle(
            delivery, outcome, token=self.token, took_ms=took_ms, delays=courier.delays
        )
        if not written:
            log.warning("delivery %s was moved by somebody else", delivery.pk)
        elif outcome.gone:
            endpoints.gone(self.endpoint)
        elif outcome.delivered:
            endpoint_lease.answers(self.key, self.token)
        else:
            endpoint_lease.trouble(self.key, self.token, outcome.error)
        return written


def _by_key(due: list[Delivery]) -> list[tuple[Key, Group]]:
    """Deliveries of one address and unit together; those without a key each alone."""
    groups: dict[Any, tuple[Key, Group]] = {}
    for one in due:
        key = (one.address, one.sequence_key)
        found = groups.setdefault(key if one.sequence_key else one.pk, (key, []))
        found[1].append(one)
    return list(groups.values())


def _looks_of(endpoint: Endpoint) -> tuple[Any, ...]:
    """What a courier is made from."""
    return endpoint.kind, endpoint.address, endpoint.options, endpoint.sealed
