"""IPC-CFX over a real RabbitMQ that is killed and started again."""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from inspection.exchange.couriers import Away
from inspection.models import Delivery, Endpoint
from inspection.services import endpoints
from tests.brokers import PASSWORD, USER, RabbitMq, library
from tests.factories.model_version import ModelVersionFactory
from tests.factories.training_run import TrainingRunFactory
from tests.holds import Hold
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
library("proton", "cfx")
HANDLE, MES = "Kintsugi.Inspection.LINE1", "Plant.Mes.1"
REQUESTS, REPLIES = "kintsugi.requests", MES
INSPECTED = "CFX.Production.TestAndInspection.UnitsInspected"
DELIVER = "inspection.exchange.cfx.courier.CfxCourier.deliver"
NOT_YET = 5  # the last events before a kill are held back, so that something always waits
BACK_S = 120.0  # the broker starts in 15 s, the endpoint tries again every 30 s at the latest


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMq]:
    folder = tmp_path_factory.mktemp("rabbit")
    broker = RabbitMq(folder, [REQUESTS, REPLIES], {"cfx": "everything"})
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def endpoint(transactional_db: None, rabbit: RabbitMq) -> Endpoint:
    return Endpoint.objects.create(
        kind=Endpoint.Kind.CFX,
        name="line 1",
        address=f"amqp://127.0.0.1:{rabbit.port}",
        event_types=["inspection.completed", "review.recorded"],
        options={
            "handle": HANDLE,
            "address": "/exchange/cfx/kintsugi",
            "request_address": f"/amq/queue/{REQUESTS}",
            "heartbeat_s": 2,
            "may_activate": True,
            "user": USER,
        },
        secrets=[{"secret": PASSWORD, "until": None}],
    )


@pytest.fixture
def exchange(tmp_path: Path, endpoint: Endpoint) -> Iterator[Callable[..., Exchange]]:
    started: list[Exchange] = []

    def start(hold: Hold | None = None) -> Exchange:
        started.append(Exchange(tmp_path, hold=hold))
        return started[-1]

    yield start
    for one in started:
        one.stop()


class Peer:
    """Another system at the broker, by its own client: reads a queue, sends requests."""

    def __init__(self, rabbit: RabbitMq, queue: str) -> None:
        from proton.utils import BlockingConnection

        self.connection = BlockingConnection(
            f"amqp://127.0.0.1:{rabbit.port}",
            timeout=20,
            user=USER,
            password=PASSWORD,
            allowed_mechs="PLAIN",
        )
        self.receiver = self.connection.create_receiver(f"/amq/queue/{queue}", credit=500)
        self.sender = self.connection.create_sender(f"/amq/queue/{REQUESTS}")

    def next(self, seconds: float) -> Any | None:
        """The next message, as AMQP carried it; None when nothing comes."""
        from proton import Timeout

        try:
            message = self.receiver.receive(timeout=seconds)
        except Timeout:
            return None
        self.receiver.accept()
        return message

    def everything(self) -> list[dict[str, Any]]:
        """What is in the queue, in its order, taken off it."""
        found = []
        while (message := self.next(3.0)) is not None:
            found.append(json.loads(bytes(message.body)))
        return found

    def ask(self, name: str, **body: Any) -> str:
        """Send a request; returns its RequestID."""
        from proton import Message

        request = str(uuid4())
        said = {
            "MessageName": name,
            "Version": "2.1",
            "TimeStamp": datetime.now(UTC).isoformat(),
            "UniqueID": str(uuid4()),
            "Source": MES,
            "Target": HANDLE,
            "RequestID": request,
            "MessageBody": {"$type": f"{name}, CFX", **body},
        }
        message = Message(body=json.dumps(said).encode(), inferred=True, reply_to=MES)
        self.sender.send(message)
        return request

    def answer_to(self, request: str) -> tuple[Any, dict[str, Any]]:
        """The AMQP message and the envelope that answer a request."""
        message = self.next(20.0)
        assert message is not None, "no answer within 20 s"
        said = json.loads(bytes(message.body))
        assert said["RequestID"] == message.correlation_id == request
        return message, said

    def close(self) -> None:
        self.connection.close()


def run_with_two_kills(
    count: int, rabbit: RabbitMq, endpoint: Endpoint, start: Callable[..., Exchange]
) -> dict[str, Any]:
    """`count` units with two events each, while the broker is killed and started twice."""
    began = time.monotonic()
    line, shares, waiting_at_kill = Line(), thirds(count), []
    line.review(line.inspect(shares[0]))
    hold = Hold(rabbit.folder, DELIVER, 2 * shares[0] - NOT_YET)
    running = start(hold)
    for last, following in pairwise(shares):
        wait_until_delivered(endpoint, delivered(endpoint) + last // 2 + 1, BACK_S, running)
        rabbit.kill()
        hold.let_go()
        wait_until_away(endpoint, 60)
        waiting_at_kill.append(2 * len(line.inspected) - delivered(endpoint))
        line.review(line.inspect(following))  # verdicts that come while nobody is there
        hold.allow(2 * len(line.inspected) - NOT_YET)
        rabbit.start()
    hold.let_go()
    wait_until_delivered(endpoint, 2 * count, 4 * BACK_S, running)
    seconds = time.monotonic() - began
    again = Delivery.objects.filter(event__type="review.recorded").order_by("event_id")[0]
    endpoints.replay(None, again)
    wait_until_delivered(endpoint, 2 * count, BACK_S, running)
    running.stop()  # else its heartbeats never let the queue run dry

    peer = Peer(rabbit, "everything")
    received = peer.everything()
    peer.close()
    return {
        "units": len(line.inspected),
        "waiting_at_each_kill": waiting_at_kill,
        "seconds": round(seconds, 1),
        **check_what_came(line, received),
    }


def check_what_came(line: Line, received: list[dict[str, Any]]) -> dict[str, int]:
    """Each unit at least once, in its order, and twice only under the same identity."""
    by_unit: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for message in received:
        body = message["MessageBody"]
        transaction = body.get("TransactionID") or body.get("TransactionId")
        if transaction:
            by_unit[transaction].append(message)
    missing = [one for one in line.inspected if str(one.pk) not in by_unit]
    assert missing == []
    assert len(by_unit) == len(line.inspected)
    again = 0
    for messages in by_unit.values():
        firsts: dict[str, str] = {}
        for message in messages:
            firsts.setdefault(message["UniqueID"], _what(message))
            assert firsts[message["UniqueID"]] == _what(message)  # the same again, not another
        assert list(firsts.values()) == ["WorkStarted", "UnitsInspected", "WorkCompleted", "review"]
        # A repetition of the verdict never comes after the review that followed it.
        kinds = [_what(message) for message in messages]
        assert set(kinds[kinds.index("review") :]) == {"review"}
        again += len(messages) - len(firsts)
    return {"messages": len(received), "duplicates": again, "missing": 0, "out_of_order": 0}


def _what(message: dict[str, Any]) -> str:
    if message["MessageName"] != INSPECTED:
        return str(message["MessageName"].rpartition(".")[2])
    unit = message["MessageBody"]["InspectedUnits"][0]
    return "UnitsInspected" if unit["Verification"] == "NotVerifiedYet" else "review"


def test_units_reach_a_durable_queue_though_the_broker_is_killed_twice(
    rabbit: RabbitMq, endpoint: Endpoint, exchange: Callable[..., Exchange]
) -> None:
    told = run_with_two_kills(50, rabbit, endpoint, exchange)

    assert told["units"] == 50
    assert min(told["waiting_at_each_kill"]) > 0
    assert told["duplicates"] >= 1  # the replay, and what a kill left half told
    assert not Delivery.objects.exclude(state=Delivery.State.DELIVERED).exists()


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_thousand_units_reach_a_durable_queue(
    rabbit: RabbitMq, endpoint: Endpoint, exchange: Callable[..., Exchange]
) -> None:
    told = run_with_two_kills(1000, rabbit, endpoint, exchange)
    write_result("brokers", "cfx_rabbitmq", told)


def test_requests_are_answered_over_the_broker(
    rabbit: RabbitMq, endpoint: Endpoint, exchange: Callable[..., Exchange]
) -> None:
    old = ModelVersionFactory(number=1, state="retired", promoted_at=datetime.now(UTC))
    run = TrainingRunFactory(
        viewpoint=old.viewpoint, snapshot__dataset=old.training_run.snapshot.dataset, state="done"
    )
    ModelVersionFactory(training_run=run, number=2, promoted_at=datetime.now(UTC))
    running = exchange()
    wait_until_connected(endpoint, 60, running)
    peer = Peer(rabbit, REPLIES)

    message, there = peer.answer_to(peer.ask("CFX.AreYouThereRequest", CFXHandle=HANDLE))
    assert there["MessageName"] == "CFX.AreYouThereResponse"
    assert there["MessageBody"]["CFXHandle"] == HANDLE
    assert (message.id, message.address, message.reply_to) == (there["UniqueID"], MES, HANDLE)
    assert str(message.content_type) == 'application/json; charset="utf-8"'
    assert message.subject == f"{HANDLE}.CFX.AreYouThereResponse"
    assert message.properties["cfx-message"] == "CFX.AreYouThereResponse"
    assert message.properties["cfx-target"] == MES

    _, who = peer.answer_to(peer.ask("CFX.WhoIsThereRequest", SupportedTopics=[]))
    assert who["MessageBody"]["RequestTargetAddress"] == f"/amq/queue/{REQUESTS}"

    _, about = peer.answer_to(peer.ask("CFX.GetEndpointInformationRequest", CFXHandle=HANDLE))
    assert about["MessageBody"]["EndpointInformation"]["FriendlyName"] == "line 1"

    _, refused = peer.answer_to(peer.ask("CFX.Production.LockStationRequest"))
    assert refused["MessageName"] == "CFX.NotSupportedResponse"

    recipe = {"RecipeName": old.viewpoint.recipe_name, "Revision": "model-1"}
    _, chosen = peer.answer_to(peer.ask("CFX.Production.ActivateRecipeRequest", **recipe))
    assert chosen["MessageBody"]["Result"]["Result"] == "Success"
    old.refresh_from_db()
    assert old.state == "active"
    peer.close()


def test_the_endpoint_says_hello_beats_and_survives_nonsense(
    rabbit: RabbitMq, endpoint: Endpoint, exchange: Callable[..., Exchange]
) -> None:
    from proton import Message

    peer = Peer(rabbit, "everything")
    peer.everything()  # of the tests before
    for body in (b"no json", b"{}", "text", b"\xff\xfe"):
        peer.sender.send(Message(body=body, inferred=True))
    running = exchange()
    wait_until_connected(endpoint, 60, running)
    names: list[str] = []

    def look() -> bool:
        if (message := peer.next(1.0)) is not None:
            names.append(json.loads(bytes(message.body))["MessageName"])
        return names.count("CFX.Heartbeat") >= 3

    wait_for(look, 30, "three heartbeats")
    assert names[:2] == ["CFX.EndpointConnected", "CFX.Heartbeat"]
    endpoint.refresh_from_db()
    assert endpoint.last_error == ""
    peer.close()


@pytest.mark.parametrize(
    ("host", "own_ca", "let_in"),
    [("localhost", True, True), ("localhost", False, False), ("127.0.0.1", True, False)],
)
def test_tls_needs_a_certificate_that_is_trusted_and_of_that_name(
    rabbit: RabbitMq, endpoint: Endpoint, host: str, own_ca: bool, let_in: bool
) -> None:
    from inspection.exchange.cfx.courier import CfxCourier

    endpoint.address = f"amqps://{host}:{rabbit.tls_port}"
    endpoint.options["ca_file"] = str(rabbit.folder / "ca.pem") if own_ca else ""
    check_tls(CfxCourier(endpoint), let_in)


def test_a_wrong_password_is_said_and_not_shown(rabbit: RabbitMq, endpoint: Endpoint) -> None:
    from inspection.exchange.cfx.courier import CfxCourier

    endpoint.secrets = [{"secret": "wrong-password", "until": None}]
    courier = CfxCourier(endpoint)
    with pytest.raises(Away, match="Authentication failed") as refused:
        courier.open()
    assert "wrong-password" not in str(refused.value)
    courier.close()
