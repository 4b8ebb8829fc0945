"""Which processes make up the product on one machine."""

import os
import shutil
import socket
import sys
import urllib.error
import urllib.request
from pathlib import Path

from .problems import CannotStart
from .processes import Spec

HOST = "127.0.0.1"
USUAL_PORT = 8000
# More than cores: in one process, who waits for the database takes turns with who renders a page,
# and a browser keeps to the process that it came to first.
WEB_PROCESSES = 4
EXCHANGE_GRACE_S = 30  # a delivery that is on its way may take its 15 s
WORKER_GRACE_S = 40  # a running job checkpoints and puts its row back to queued


def everything(var: Path, port: int) -> list[Spec]:
    """Web, scoring, training, other work, the scheduler and what leaves for other systems, as a
    plant runs them too."""
    return [web(port), *workers(), beat(var), exchange()]


def web(port: int) -> Spec:
    options = ["--host", HOST, "--port", str(port), "--timeout-graceful-shutdown", "5"]
    options += ["--workers", str(WEB_PROCESSES)]
    return Spec("web", (*_python("uvicorn"), "webapp.asgi:application", *options), grace_s=10)


def workers() -> list[Spec]:
    return [
        worker("score", "fast,score", 1),
        worker("train", "train", 1),
        worker("io", "io", 2),
        worker("default", "default", 2, "-P", "threads"),  # the reaper waits for no zip
    ]


def worker(name: str, queues: str, at_once: int, *more: str) -> Spec:
    options = ["-Q", queues, "-c", str(at_once), *more, "-n", f"{name}@%h", "-l", "INFO"]
    command = (*_celery(), "worker", *options, "--without-gossip", "--without-mingle")
    return Spec(f"worker-{name}", command, grace_s=WORKER_GRACE_S)


def beat(var: Path) -> Spec:
    schedule = str(var / "celerybeat-schedule")
    return Spec("beat", (*_celery(), "beat", "-s", schedule, "--pidfile=", "-l", "INFO"))


def exchange() -> Spec:
    manage = str(Path(__file__).resolve().parents[2] / "manage.py")
    return Spec("exchange", (sys.executable, manage, "exchange"), grace_s=EXCHANGE_GRACE_S)


def choose_port(wanted: int | None) -> int:
    """The port to serve on: the one asked for, else the usual one, else any that is free."""
    if wanted is not None:
        if not _is_free(wanted):
            raise CannotStart(f"Port {wanted} is in use; name another one: make demo PORT=<number>")
        return wanted
    return USUAL_PORT if _is_free(USUAL_PORT) else _any_free_port()


def answers(address: str) -> bool:
    """Whether a page at `address` answers well."""
    try:
        with urllib.request.urlopen(address, timeout=2) as response:  # noqa: S310  (our own)
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def environment(redis_url: str, settings_module: str, var: Path) -> dict[str, str]:
    """What every process is started with. The web processes share a folder of counts, which
    begins empty: it holds nothing that outlives them."""
    counts = var / "counts"
    shutil.rmtree(counts, ignore_errors=True)
    counts.mkdir(parents=True)
    own = {
        "REDIS_URL": redis_url,
        "DJANGO_SETTINGS_MODULE": settings_module,
        "PROMETHEUS_MULTIPROC_DIR": str(counts),
        "PYTHONUNBUFFERED": "1",
    }
    return {**os.environ, **own}


def _python(module: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module)


def _celery() -> tuple[str, ...]:
    return (*_python("celery"), "--quiet", "-A", "webapp")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _any_free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
