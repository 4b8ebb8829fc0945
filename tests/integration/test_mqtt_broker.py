"""MQTT over a real Mosquitto that is killed and started again, and forgets.

Mosquitto acknowledges a message before it is on disk and before a subscriber has it, so a kill
loses what waited for a subscriber that was away. Nothing of it is lost here: every event is in
the database, and a receiver asks for what changed since it last heard.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.utils import timezone

from inspection.models import Delivery, Endpoint, User
from tests.brokers import Mosquitto, library
from tests.factories.api_key import Program, key_of
from tests.integration.results import write_result
from tests.plant import (
    Exchange,
    Line,
    check_tls,
    delivered,
    thirds,
    wait_until_away,
    wait_until_connected,
    wait_until_delivered,
)
from tests.processes import wait_for

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(600),
    pytest.mark.django_db(transaction=True),
]
paho = library("paho.mqtt.client", "mqtt")
BACK_S = 90.0
OVERLAP = timedelta(seconds=5)  # clocks and transactions overlap: ask again from before


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path / "mosquitto")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def endpoint(transactional_db: None, mosquitto: Mosquitto) -> Endpoint:
    return Endpoint.objects.create(
        kind=Endpoint.Kind.MQTT,
        name="mqtt",
        address=f"mqtt://127.0.0.1:{mosquitto.port}",
        event_types=["inspection.completed"],
        options={"prefix": "plant1/kintsugi", "keepalive_s": 5},
    )


@pytest.fixture
def exchange(tmp_path: Path, endpoint: Endpoint) -> Iterator[Callable[[], Exchange]]:
    started: list[Exchange] = []

    def start() -> Exchange:
        started.append(Exchange(tmp_path))
        return started[-1]

    yield start
    for one in started:
        one.stop()


class Subscriber:
    """Another system: hears every topic at QoS 1, in a session that the broker keeps for it."""

    def __init__(self, broker: Mosquitto) -> None:
        self.heard: list[tuple[str, dict[str, Any], bool]] = []
        self.subscribed = threading.Event()
        self._broker = broker
        self.client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id="mes", clean_session=False
        )
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = lambda client, *_: client.subscribe("plant1/#", qos=1)
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_message = self._hear

    def _hear(self, _client: Any, _data: Any, message: Any) -> None:
        self.heard.append((message.topic, json.loads(message.payload), message.retain))

    def arrive(self) -> None:
        self.subscribed.clear()
        self.client.connect("127.0.0.1", self._broker.port, keepalive=5)
        self.client.loop_start()
        assert self.subscribed.wait(60), "not subscribed within 60 s"

    def leave(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def inspections(self) -> set[str]:
        return {said["data"]["id"] for _, said, _ in self.heard if "data" in said}

    def states(self) -> list[str]:
        return [said["status"] for _, said, _ in self.heard if "status" in said]


def recovered(since: datetime) -> set[str]:
    """What a receiver gets that asks for everything that changed since a moment."""
    mes = Program(key_of(User.objects.filter(memberships__role="inspector")[0]))
    address = f"inspections?updated_since={quote((since - OVERLAP).isoformat())}&limit=100"
    found: set[str] = set()
    while address:
        page = mes.json("GET", address)
        assert page.status_code == 200, page.content
        found |= {row["id"] for row in page.json()["results"]}
        address = (page.json()["next"] or "").partition("/api/v1/")[2]
    return found


def run_with_two_kills(
    count: int, broker: Mosquitto, endpoint: Endpoint, start: Callable[[], Exchange]
) -> dict[str, Any]:
    """`count` units while the broker is killed and started twice, the first time with messages
    that wait in it for a subscriber that is away."""
    began, since = time.monotonic(), timezone.now()
    mes, line, shares, waiting_at_kill = Subscriber(broker), Line(), thirds(count), []
    mes.arrive()
    mes.leave()  # the broker keeps for it what comes now
    line.inspect(shares[0])
    running = start()
    for last, following in pairwise(shares):
        wait_until_delivered(endpoint, delivered(endpoint) + last // 4 + 1, BACK_S, running)
        broker.kill()
        wait_until_away(endpoint, 60)
        waiting_at_kill.append(len(line.inspected) - delivered(endpoint))
        line.inspect(following)  # verdicts that come while nobody is there
        broker.start()
        if len(waiting_at_kill) == 1:  # later it comes back by itself
            mes.arrive()
    wait_until_delivered(endpoint, count, 4 * BACK_S, running)
    seconds = time.monotonic() - began
    settle(mes)
    return {
        "units": len(line.inspected),
        "waiting_at_each_kill": waiting_at_kill,
        "seconds": round(seconds, 1),
        **check_what_came(line, mes, since),
    }


def settle(mes: Subscriber) -> None:
    """Until nothing comes any more."""
    counts = [-1]

    def quiet() -> bool:
        counts.append(len(mes.heard))
        time.sleep(1.0)
        return counts[-1] == len(mes.heard) == counts[-2]

    wait_for(quiet, 60, "the subscriber hears no more")
    mes.leave()


def check_what_came(line: Line, mes: Subscriber, since: datetime) -> dict[str, int]:
    everything = {str(one.pk) for one in line.inspected}
    heard = mes.inspections()
    forgotten = everything - heard
    events = [said["id"] for _, said, _ in mes.heard if "data" in said]
    assert heard <= everything
    assert forgotten <= recovered(since)
    return {
        "acknowledged": len(everything),
        "heard": len(heard),
        "heard_twice": len(events) - len(set(events)),
        "forgotten_by_the_broker": len(forgotten),
        "recovered_by_updated_since": len(forgotten & recovered(since)),
        "missing": len(everything - heard - recovered(since)),
    }


def test_every_unit_is_acknowledged_and_what_the_broker_forgot_is_recovered(
    mosquitto: Mosquitto, endpoint: Endpoint, exchange: Callable[[], Exchange]
) -> None:
    told = run_with_two_kills(50, mosquitto, endpoint, exchange)

    assert told["units"] == 50
    assert not Delivery.objects.exclude(state=Delivery.State.DELIVERED).exists()
    assert told["forgotten_by_the_broker"] > 0  # or the test would not show anything
    assert told["recovered_by_updated_since"] == told["forgotten_by_the_broker"]
    assert told["missing"] == 0


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_thousand_units_are_acknowledged(
    mosquitto: Mosquitto, endpoint: Endpoint, exchange: Callable[[], Exchange]
) -> None:
    told = run_with_two_kills(1000, mosquitto, endpoint, exchange)

    assert told["missing"] == 0
    assert not Delivery.objects.exclude(state=Delivery.State.DELIVERED).exists()
    write_result("brokers", "mqtt_mosquitto", told)


def test_who_listens_sees_whether_it_is_there(
    mosquitto: Mosquitto, endpoint: Endpoint, exchange: Callable[[], Exchange]
) -> None:
    running = exchange()
    wait_until_connected(endpoint, 60, running)
    mes = Subscriber(mosquitto)
    mes.arrive()
    wait_for(mes.states, 60, "the retained status")
    assert mes.states() == ["online"]
    assert mes.heard[0][0] == "plant1/kintsugi/status"
    assert mes.heard[0][2], "retained: who comes later sees it too"

    running.process.kill()  # no goodbye: the broker says it, as the last will
    wait_for(lambda: mes.states()[-1] == "offline", 60, "the last will")

    again = exchange()
    wait_for(lambda: mes.states()[-1] == "online", 60, "it is back")
    again.stop()
    wait_for(lambda: mes.states()[-1] == "offline", 60, "its goodbye")
    mes.leave()


def test_a_verdict_is_published_where_its_station_stands(
    mosquitto: Mosquitto, endpoint: Endpoint, exchange: Callable[[], Exchange]
) -> None:
    mes = Subscriber(mosquitto)
    mes.arrive()
    line = Line()
    (inspected,) = line.inspect(1)
    wait_until_delivered(endpoint, 1, 60, exchange())
    wait_for(mes.inspections, 60, "the verdict")
    topic, said, kept = next(one for one in mes.heard if "data" in one[1])

    assert topic == "plant1/kintsugi/SMT 1/AOI-1/inspection"
    assert not kept
    assert set(said) == {"id", "type", "timestamp", "data"}
    assert said["data"]["id"] == str(inspected.pk)
    assert said["id"] == str(Delivery.objects.get().event_id)
    mes.leave()


@pytest.mark.parametrize(
    ("host", "own_ca", "let_in"),
    [("localhost", True, True), ("localhost", False, False), ("127.0.0.1", True, False)],
)
def test_tls_needs_a_certificate_that_is_trusted_and_of_that_name(
    mosquitto: Mosquitto, endpoint: Endpoint, host: str, own_ca: bool, let_in: bool
) -> None:
    from inspection.exchange.mqtt.courier import MqttCourier

    endpoint.address = f"mqtts://{host}:{mosquitto.tls_port}"
    endpoint.options["ca_file"] = str(mosquitto.folder / "ca.pem") if own_ca else ""
    check_tls(MqttCourier(endpoint), let_in)
