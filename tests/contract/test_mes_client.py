"""docs/examples/mes_client.py where the network or the server is away for a moment, and where
asking again is of no use."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest

from tests.contract.test_mes_guide import example
from tests.receivers import Answer, Handler, Receiver, file_of, receiver

PART = {"id": "0199f0a2-7c1e-7b60-9d0a-3f6a1c2b4d5e", "result": "Passed"}


def lost(handler: Handler) -> None:
    """The connection ends without an answer."""
    handler.close_connection = True


def half(handler: Handler) -> None:
    """The connection ends in the middle of an answer."""
    file_of(b'{"id": "0199', announced=2000)(handler)


def told(status: int, said: dict[str, Any]) -> Callable[[Handler], None]:
    def answer(handler: Handler) -> None:
        content = json.dumps(said).encode()
        handler.send_response(status)
        handler.send_header("content-length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def problem(status: int, code: str = "away") -> Callable[[Handler], None]:
    return told(status, {"code": code, "detail": "Not now."})


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    found = example("mes_client")
    monkeypatch.setattr(found, "PAUSE_S", 0.01)
    return found


@contextmanager
def answering(*answers: Answer) -> Iterator[Receiver]:
    """A server that gives one answer after the other, the last one for ever."""
    left = list(answers)

    def next_one(handler: Handler) -> None:
        one = left.pop(0) if len(left) > 1 else left[0]
        assert callable(one)
        one(handler)

    with receiver(next_one) as server:
        yield server


def client_of(module: ModuleType, server: Receiver) -> Any:
    return module.Client(f"http://127.0.0.1:{server.port}", "kin_x", timeout_s=5)


@pytest.mark.parametrize(
    "trouble",
    [
        lost,
        half,
        problem(409, "still_receiving"),
        *(problem(status) for status in (429, 500, 502, 503, 504)),
    ],
)
def test_a_submission_outlasts_what_passes_with_one_key(module: ModuleType, trouble: Any) -> None:
    with answering(trouble, trouble, told(201, PART)) as server:
        assert client_of(module, server).submit({"external_id": "MES-1"}) == PART
    keys = [one.headers["idempotency-key"] for one in server.got]
    assert (len(keys), len(set(keys))) == (3, 1)


@pytest.mark.parametrize(
    ("status", "code"),
    [(409, "duplicate_external_id"), (422, "idempotency_key_reused"), (401, "not_signed_in")],
)
def test_what_is_for_good_is_asked_once(module: ModuleType, status: int, code: str) -> None:
    with answering(problem(status, code)) as server:
        with pytest.raises(module.Refused) as refused:
            client_of(module, server).submit({"external_id": "MES-1"})
        assert refused.value.problem["code"] == code
        with pytest.raises(module.Refused):
            client_of(module, server).wait(PART["id"], most_s=5)
    assert len(server.got) == 2


def test_a_submission_ends_where_nobody_comes_back(module: ModuleType) -> None:
    with answering(half) as server, pytest.raises(module.BROKEN):
        client_of(module, server).submit({"external_id": "MES-1"})
    assert len(server.got) == module.TRIES


def test_waiting_outlasts_what_passes(module: ModuleType) -> None:
    queued = told(200, {**PART, "result": None})
    trouble = [problem(429), lost, queued, problem(503), half, problem(504)]
    with answering(*trouble, told(200, PART)) as server:
        assert client_of(module, server).wait(PART["id"], most_s=30) == PART
    assert len(server.got) == len(trouble) + 1


@pytest.mark.parametrize("trouble", [problem(503), lost, half])
def test_waiting_ends_after_its_time(module: ModuleType, trouble: Any) -> None:
    with answering(trouble) as server, pytest.raises((module.Refused, *module.BROKEN)):
        client_of(module, server).wait(PART["id"], most_s=0.1)
    assert len(server.got) > 1
