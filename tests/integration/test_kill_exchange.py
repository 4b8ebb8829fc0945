"""An exchange process that is killed or stopped: another takes over, nothing is lost, and the
order per unit holds."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inspection.models import Delivery, Endpoint
from tests.factories.exchange import DeliveryFactory, EndpointFactory
from tests.plant import Exchange
from tests.processes import wait_for
from tests.receivers import Receiver, receiver

pytestmark = [pytest.mark.integration, pytest.mark.django_db(transaction=True)]
LEASE_S = 10  # a process that a busy machine does not let run keeps what it holds
SHORT_LEASE_S = 5  # of one that is killed: the next one waits for its end
UNITS, OF_EACH = 5, 8


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[Callable[..., Exchange]]:
    started: list[Exchange] = []

    def start(lease_s: int = LEASE_S) -> Exchange:
        started.append(Exchange(tmp_path, f"exchange-{len(started)}", lease_s))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.kill()


@pytest.fixture
def there() -> Iterator[Receiver]:
    with receiver() as one:
        yield one


def events(endpoint: Endpoint, units: int, of_each: int) -> None:
    for _ in range(of_each):
        for unit in range(units):
            DeliveryFactory(endpoint=endpoint, key=f"unit:{endpoint.name}/{unit}")


def waiting() -> int:
    return Delivery.objects.filter(state=Delivery.State.WAITING).count()


def assert_in_order_per_unit(there: Receiver) -> None:
    keys = {str(d.event_id): d.sequence_key for d in Delivery.objects.all()}
    first_seen = list(dict.fromkeys(there.ids))
    assert set(first_seen) == set(keys), "none is missing"
    for unit in set(keys.values()):
        told = [one for one in first_seen if keys[one] == unit]
        assert told == sorted(told), "keys are ordered by time"


def test_another_process_takes_over_after_a_kill(
    exchange: Callable[..., Exchange], there: Receiver
) -> None:
    endpoint = EndpointFactory(address=there.url)
    events(endpoint, UNITS, OF_EACH)
    first = exchange(SHORT_LEASE_S)
    wait_for(lambda: len(there.got) >= 3, 60, "the first delivers")
    first.kill()
    assert Endpoint.objects.get().token is not None, "the dead one still holds it"
    before = len(there.got)
    events(endpoint, UNITS, OF_EACH)
    exchange()
    wait_for(lambda: waiting() == 0, 60 + SHORT_LEASE_S, "the second delivers the rest")
    assert len(there.got) > before
    assert_in_order_per_unit(there)
    again = len(there.got) - len(set(there.ids))
    assert again <= 8, "only what was on its way may come twice"


def test_two_processes_share_endpoints_and_never_one_of_them(
    exchange: Callable[..., Exchange], there: Receiver
) -> None:
    endpoints = [EndpointFactory(address=there.url) for _ in range(3)]
    exchange()
    exchange()
    for endpoint in endpoints:
        events(endpoint, UNITS, 4)
    wait_for(lambda: waiting() == 0, 90, "everything is delivered")
    assert len(there.ids) == len(set(there.ids)) == 3 * UNITS * 4
    assert_in_order_per_unit(there)


def test_on_sigterm_it_ends_well_and_lets_go(
    exchange: Callable[..., Exchange], there: Receiver
) -> None:
    EndpointFactory(address=there.url)
    one = exchange()
    wait_for(lambda: Endpoint.objects.get().connected_at, 60, "it holds the endpoint")
    assert one.terminate(timeout=40) == 0, one.log.read_text()
    assert Endpoint.objects.get().token is None
