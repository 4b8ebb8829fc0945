"""A host with several addresses: one that swallows everything leaves time for the next."""

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from inspection.services import one_request
from tests.receivers import Handler, receiver

DEAD, LIVES = "127.0.0.2", "127.0.0.1"


@contextlib.contextmanager
def swallowing(port: int) -> Iterator[None]:
    """An address that answers no connection, as behind a firewall: its queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((DEAD, port))
        listener.listen(0)
        for _ in range(3):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex((DEAD, port))
        yield


def ask(port: int, addresses: list[str], seconds: float) -> int:
    with one_request.exchanged(
        "GET",
        urlsplit(f"http://mes.example:{port}/"),
        addresses,
        until=time.monotonic() + seconds,
        tls=ssl.create_default_context(),
    ) as answer:
        return answer.status


def test_a_dead_first_address_leaves_time_for_the_second() -> None:
    with receiver() as there, swallowing(there.port):
        began = time.monotonic()
        assert ask(there.port, [DEAD, LIVES], 6) == 200
        assert time.monotonic() - began > 2.9


def test_whoever_answers_has_all_the_time_that_is_left() -> None:
    def think(handler: Handler) -> None:
        time.sleep(3.2)
        handler.send_response(204)
        handler.end_headers()

    with receiver(think) as there:
        assert ask(there.port, [LIVES, DEAD], 6) == 204, "not only its share"


def test_all_dead_ends_in_time() -> None:
    with receiver() as there, swallowing(there.port):
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            ask(there.port, [DEAD, DEAD], 1)
        assert time.monotonic() - began < 20


def test_an_address_of_a_kind_that_this_machine_does_not_speak(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = socket.socket

    def without_six(
        family: int = socket.AF_INET, *more: int, fileno: int | None = None
    ) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError("Address family not supported by protocol")
        return real(family, *more, fileno=fileno)

    with receiver() as there:
        monkeypatch.setattr(socket, "socket", without_six)
        assert ask(there.port, ["::1", LIVES], 20) == 200
