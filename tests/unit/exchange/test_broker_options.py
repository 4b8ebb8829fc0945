"""What an endpoint of a broker may be told, and what a courier makes of it."""

from typing import Any

import pytest

from inspection.errors import UserError
from inspection.exchange import couriers
from inspection.exchange.cfx.options import CfxOptions
from inspection.exchange.mqtt.options import MqttOptions
from inspection.models import Endpoint

CFX = {"handle": "Kintsugi.Inspection.LINE1", "address": "/exchange/cfx/k"}


def cfx(address: str = "amqps://broker.plant.example", **options: Any) -> CfxOptions:
    given = {**CFX, **options}
    return CfxOptions.of(Endpoint(kind="cfx", name="c", address=address, options=given))


def mqtt(address: str = "mqtts://broker.plant.example", **options: Any) -> MqttOptions:
    return MqttOptions.of(Endpoint(kind="mqtt", name="m", address=address, options=options))


def test_ports_and_tls_come_from_the_scheme() -> None:
    assert (cfx().server.port, cfx().server.tls) == (5671, True)
    assert (cfx("amqp://127.0.0.1").server.port, cfx("amqp://b").server.tls) == (5672, False)
    assert (mqtt().server.port, mqtt("mqtt://b").server.port) == (8883, 1883)
    assert mqtt("mqtt://b:99").server.port == 99


def test_an_endpoint_from_before_an_option_has_its_default() -> None:
    assert (cfx().heartbeat_s, cfx().may_activate) == (60, False)
    assert mqtt().prefix == "kintsugi"
    assert mqtt().client_id.startswith("kintsugi-")


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("handle", {"handle": ""}),
        ("handle", {"handle": "one.two"}),
        ("address", {"address": ""}),
        ("heartbeat_s", {"heartbeat_s": 301}),
        ("heartbeat_s", {"heartbeat_s": "x"}),
        ("ca_file", {"ca_file": "ca.pem"}),
    ],
)
def test_cfx_refusals_name_the_field(field: str, options: dict[str, Any]) -> None:
    with pytest.raises(UserError) as refused:
        cfx(**options)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("prefix", {"prefix": "a/#"}),
        ("prefix", {"prefix": "/a"}),
        ("client_id", {"client_id": "a b"}),
        ("keepalive_s", {"keepalive_s": 1}),
    ],
)
def test_mqtt_refusals_name_the_field(field: str, options: dict[str, Any]) -> None:
    with pytest.raises(UserError) as refused:
        mqtt(**options)
    assert refused.value.field == field


def test_the_address_carries_no_password() -> None:
    with pytest.raises(UserError) as refused:
        cfx("amqps://user:secret@broker")
    assert refused.value.field == "address"


def test_where_answers_go() -> None:
    assert cfx().reply_to("Plant.Mes.1", "Plant.Mes.1") == "/amq/queue/Plant.Mes.1"
    assert cfx().reply_to("Plant.Mes.1", "/amq/queue/own") == "/amq/queue/own"


@pytest.mark.parametrize(
    ("kind", "library", "extra"), [("cfx", "proton", "cfx"), ("mqtt", "paho", "mqtt")]
)
def test_a_missing_library_is_named_with_what_installs_it(
    monkeypatch: pytest.MonkeyPatch, kind: str, library: str, extra: str
) -> None:
    import sys

    for name in [one for one in sys.modules if one.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    for part in ("courier", "link"):
        monkeypatch.delitem(sys.modules, f"inspection.exchange.{kind}.{part}", raising=False)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(couriers.NoCourier, match=rf"pip install 'kintsugi\[{extra}\]'"):
        couriers.make(Endpoint(kind=kind, name="x"))
