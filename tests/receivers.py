"""HTTP receivers on the loopback that behave as a test wants: well, badly, slowly, not at all."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Got:
    """A request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes


Answer = int | Callable[["Handler"], None]


@dataclass
class Receiver:
    """`answer` may be changed while it runs: a status, or a function that answers by hand."""

    answer: Answer = 200
    got: list[Got] = field(default_factory=list)
    port: int = 0
    scheme: str = "http"
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/hook?line=7"

    @property
    def ids(self) -> list[str]:
        return [one.headers["webhook-id"] for one in self.got]


class Handler(BaseHTTPRequestHandler):
    receiver: Receiver

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.receiver.got.append(Got(self.path, headers, body))
        answer = self.receiver.answer
        if callable(answer):
            answer(self)
            return
        self.send_response(answer)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def receiver(answer: Answer = 200, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver on a port of its own."""
    one = Receiver(answer)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"receiver": one}))
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        one.scheme = "https"
    one.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield one
    finally:
        one.ended.set()
        server.shutdown()
        server.server_close()


def file_of(content: bytes, announced: int | None = None) -> Callable[[Handler], None]:
    """Give a file, of which more may be announced than comes."""

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("content-length", str(announced or len(content)))
        handler.end_headers()
        handler.wfile.write(content)
        handler.close_connection = True

    return answer


def hang(handler: Handler) -> None:
    """Take the request and never answer."""
    handler.receiver.ended.wait(60)


def drip_body(handler: Handler) -> None:
    """Answer well, but a byte at a time and for ever."""
    handler.send_response(200)
    handler.end_headers()
    _drip(handler, b"x")


def drip_headers(handler: Handler) -> None:
    """Never come to the end of the headers."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    _drip(handler, b"y")


def _drip(handler: Handler, piece: bytes) -> None:
    while not handler.receiver.ended.wait(0.05):
        try:
            handler.wfile.write(piece)
            handler.wfile.flush()
        except OSError:
            return


def flood(handler: Handler) -> None:
    """Answer with far more than anybody asked for."""
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b"z" * 65536)
    except OSError:
        return


def redirect_to(url: str) -> Callable[[Handler], None]:
    def answer(handler: Handler) -> None:
        handler.send_response(307)
        handler.send_header("location", url)
        handler.send_header("content-length", "0")
        handler.end_headers()

    return answer


def silent_port() -> tuple[socket.socket, int]:
    """A port that takes connections and says nothing, not even in a TLS handshake."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener, int(listener.getsockname()[1])
