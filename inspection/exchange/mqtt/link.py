"""A connection to an MQTT broker: QoS 1, and a last will. Needs the extra `mqtt`."""

import ssl
import threading
import time
from contextlib import suppress
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from .options import MqttOptions
from .topics import status, status_topic

PATIENCE = 10.0  # seconds
LOOK_S = 0.2  # how often it is asked whether the broker is still there


class Lost(Exception):
    """The broker cannot be reached, or went away; the message says why."""


class Link:
    """One connection. A clean one: what was not acknowledged is sent again from the outbox, by
    whoever holds the endpoint then, so the broker keeps nothing for us."""

    def __init__(self, options: MqttOptions) -> None:
        self._options = options
        self._answered = threading.Event()
        self._refusal = ""
        self._gone = threading.Event()
        self._client = self._new_client()

    def open(self) -> None:
        """Connect. Whoever looks at the status topic sees `offline` when we are gone."""
        server = self._options.server
        try:
            self._client.connect(server.host, server.port, self._options.keepalive_s)
        except (OSError, ValueError) as error:
            raise Lost(f"{server.host}:{server.port}: {error}") from error
        self._client.loop_start()
        if not self._answered.wait(PATIENCE):
            raise Lost(f"{server.host}:{server.port} did not answer within {PATIENCE:g} s")
        if self._refusal:
            raise Lost(f"{server.host}:{server.port} refused: {self._refusal}")

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Returns when the broker has acknowledged it (PUBACK). One that hangs up instead is not
        waited for."""
        self.check()
        sent = self._client.publish(topic, payload, qos=1, retain=retain)
        until = time.monotonic() + PATIENCE
        try:
            while not sent.is_published() and time.monotonic() < until:
                self.check()
                sent.wait_for_publish(LOOK_S)
        except (RuntimeError, ValueError) as error:
            raise Lost(f"not sent: {error}") from error
        if not sent.is_published():
            raise Lost(f"not acknowledged within {PATIENCE:g} s")

    def check(self) -> None:
        if self._gone.is_set():
            raise Lost("the broker closed the connection")

    def close(self) -> None:
        with suppress(Exception):  # what is gone need not be told goodbye
            self._client.disconnect()
        with suppress(Exception):
            self._client.loop_stop()

    def _new_client(self) -> paho.Client:
        options = self._options
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=options.client_id,
            clean_session=True,
            protocol=paho.MQTTv311,
            reconnect_on_failure=False,  # the endpoint's holder opens a new one
        )
        client.connect_timeout = PATIENCE
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.will_set(status_topic(options.prefix), status("offline"), qos=1, retain=True)
        if options.user:
            client.username_pw_set(options.user, options.password)
        if options.server.tls:
            client.tls_set(options.ca_file or None, cert_reqs=ssl.CERT_REQUIRED)
        return client

    def _on_connect(
        self, _client: Any, _data: Any, _flags: Any, reason: ReasonCode, _more: Any
    ) -> None:
        self._refusal = str(reason) if reason.is_failure else ""
        self._answered.set()

    def _on_disconnect(self, *_what: Any) -> None:
        self._gone.set()
