import base64
import secrets
from uuid import uuid4

import factory
from factory.django import DjangoModelFactory

from inspection.models import Delivery, Endpoint, EventType, OutboxEvent


def new_secret(size: int = 32) -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(size)).decode()


class EndpointFactory(DjangoModelFactory):
    """An enabled webhook for everything of all products, with one secret."""

    class Meta:
        model = Endpoint

    kind = Endpoint.Kind.WEBHOOK
    name = factory.Sequence(lambda n: f"Receiver {n}")
    address = "https://mes.plant.example/kintsugi"
    secrets = factory.LazyFunction(lambda: [{"secret": new_secret(), "until": None}])


class OutboxEventFactory(DjangoModelFactory):
    class Meta:
        model = OutboxEvent

    type = EventType.INSPECTION_COMPLETED
    sequence_key = factory.LazyFunction(lambda: f"unit:{uuid4()}")
    payload = factory.LazyFunction(lambda: {"serial_number": "S1", "result": "Failed"})


class DeliveryFactory(DjangoModelFactory):
    """A delivery that waits and is due. `key="unit:1"` puts its event in that order."""

    class Meta:
        model = Delivery

    class Params:
        key = factory.LazyFunction(lambda: f"unit:{uuid4()}")

    endpoint = factory.SubFactory(EndpointFactory)
    event = factory.SubFactory(OutboxEventFactory, sequence_key=factory.SelfAttribute("..key"))
    sequence_key = factory.SelfAttribute("event.sequence_key")
