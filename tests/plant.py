"""A plant for the tests of brokers: many inspected units, the process that delivers, and what
came out at the other end."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from django.utils import timezone

from inspection.exchange.couriers import Away, Courier
from inspection.models import Delivery, Endpoint, Inspection, Role, Unit
from inspection.services import outbox, reviews
from tests.factories.inspection import InspectionFactory
from tests.factories.membership import MembershipFactory
from tests.factories.station import StationFactory
from tests.holds import Hold
from tests.processes import ROOT, shared_database_url, wait_for


class Exchange:
    """`manage.py exchange` as a process of its own, on the database of the test."""

    def __init__(
        self, folder: Path, name: str = "exchange", lease_s: int = 6, hold: Hold | None = None
    ) -> None:
        self.log = folder / f"{name}.log"
        variables = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "webapp.settings.test",
            "TEST_DATABASE_URL": shared_database_url(),
            "KINTSUGI_EXCHANGE_LEASE_S": str(lease_s),
            "KINTSUGI_WEBHOOK_CIDRS": "127.0.0.1/32",
            **(hold.environment if hold else {}),
        }
        command = ["-m", "tests.holds"] if hold else ["manage.py"]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *command, "exchange"],
                cwd=ROOT,
                env=variables,
                stdout=output,
                stderr=output,
            )

    def kill(self) -> None:
        """As a power cut does."""
        self.process.kill()
        self.process.wait()

    def terminate(self, timeout: float) -> int:
        """SIGTERM; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=timeout)

    def said(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]

    def stop(self) -> None:
        """SIGTERM, as a service manager does."""
        if self.process.poll() is None:
            try:
                self.terminate(timeout=30)
            except subprocess.TimeoutExpired:
                self.kill()


class Line:
    """A line that inspects units of one product at one station."""

    def __init__(self) -> None:
        self.first = InspectionFactory(batch__number=900)
        self.product = self.first.viewpoint.product
        self.station = StationFactory(code="AOI-1", line="SMT 1")
        self.reviewer = MembershipFactory(product=self.product, role=Role.INSPECTOR).user
        self.inspected: list[Inspection] = []

    def inspect(self, count: int) -> list[Inspection]:
        """`count` units, each with its event in the outbox; two in three fail."""
        begin = len(self.inspected)
        units = Unit.objects.bulk_create(
            Unit(product=self.product, serial_number=f"SN{begin + n:06}") for n in range(count)
        )
        made = Inspection.objects.bulk_create(
            self._inspection(unit, begin + n) for n, unit in enumerate(units)
        )
        self.inspected += made
        outbox.inspections_completed([one.pk for one in made])
        return made

    def review(self, inspections: Sequence[Inspection]) -> None:
        """A second event of each unit: somebody judges it."""
        for one in inspections:
            row = Inspection.objects.get(pk=one.pk)
            reviews.record_review(self.reviewer, row, state="DefectConfirmed")

    def _inspection(self, unit: Unit, number: int) -> Inspection:
        like, now = self.first, timezone.now()
        return Inspection(
            batch=like.batch,
            viewpoint=like.viewpoint,
            purpose=like.purpose,
            model_version=like.model_version,
            operating_point=like.operating_point,
            unit=unit,
            station=self.station,
            verdict="Failed" if number % 3 else "Passed",
            disposition="auto",
            score=1.2 if number % 3 else 0.2,
            p_value=0.01,
            completed_at=now,
        )


def thirds(count: int) -> list[int]:
    """`count` in three shares, as even as they can be."""
    return [count * (part + 1) // 3 - count * part // 3 for part in range(3)]


def delivered(endpoint: Endpoint) -> int:
    return Delivery.objects.filter(endpoint=endpoint, state=Delivery.State.DELIVERED).count()


def wait_until_delivered(
    endpoint: Endpoint, count: int, seconds: float, exchange: Exchange
) -> None:
    """Until at least `count` deliveries are done."""

    def look() -> bool:
        if exchange.process.poll() is not None:
            raise AssertionError(f"manage.py exchange ended:\n{exchange.said()}")
        return delivered(endpoint) >= count

    try:
        wait_for(look, seconds, f"{count} deliveries")
    except AssertionError as error:
        endpoint.refresh_from_db()
        raise AssertionError(
            f"{error}; {delivered(endpoint)} are done; last error {endpoint.last_error!r}\n"
            f"{exchange.said()}"
        ) from error


def wait_until_away(endpoint: Endpoint, seconds: float) -> None:
    """Until its holder has noticed that the broker is gone."""

    def look() -> bool:
        endpoint.refresh_from_db()
        return bool(endpoint.last_error)

    wait_for(look, seconds, "the outage is noticed")


def wait_until_connected(endpoint: Endpoint, seconds: float, exchange: Exchange) -> None:
    def look() -> bool:
        endpoint.refresh_from_db()
        return endpoint.connected_at is not None

    wait_for(look, seconds, f"the endpoint is connected: {exchange.said()}")


def check_tls(courier: Courier, let_in: bool) -> None:
    """A courier over TLS is let in, or says that it was not."""
    try:
        if let_in:
            courier.open()
            courier.idle()
        else:
            with pytest.raises(Away):
                courier.open()
    finally:
        courier.close()
