"""Tests: an in-file SQLite or TEST_DATABASE_URL, folders of their own, no manifest needed."""

import os
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

# Tests that run side by side (pytest -n) share nothing: folders, databases and live topics are
# each process's own. What a test starts inherits the folder, which then names the process.
_side = os.environ.get("PYTEST_XDIST_WORKER", "")
_var = os.environ.get("KINTSUGI_TEST_VAR") or tempfile.mkdtemp(prefix="kintsugi-test-")
if _side and Path(_var).name != _side:
    _var = str(Path(_var) / _side)
    Path(_var).mkdir(exist_ok=True)
os.environ["KINTSUGI_TEST_VAR"] = os.environ["KINTSUGI_VAR"] = _var
os.environ["DATABASE_URL"] = os.environ.get(
    "TEST_DATABASE_URL", f"sqlite:///{Path(_var) / 'kintsugi.sqlite3'}"
)
if "TEST_REDIS_URL" in os.environ:
    _redis = urlsplit(os.environ["TEST_REDIS_URL"])
    _number = int(_redis.path.strip("/") or 0)
    if _side:  # the named database and those below it
        _number = (_number - int(_side.removeprefix("gw"))) % 16
    os.environ["REDIS_URL"] = _redis._replace(path=f"/{_number}").geturl()
elif "KINTSUGI_TEST_REDIS" in os.environ:  # the embedded one, started by tests/conftest.py
    os.environ["REDIS_URL"] = os.environ["KINTSUGI_TEST_REDIS"]
else:
    os.environ.pop("REDIS_URL", None)

from webapp.redis_urls import client_url  # noqa: E402

from .base import *  # noqa: E402, F403
from .base import STORAGES  # noqa: E402

SECRET_KEY = "only-for-tests-" + "x" * 50
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    **STORAGES,
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):  # noqa: F405
    DATABASES["default"]["TEST"] = {"NAME": str(Path(_var) / "test.sqlite3")}  # noqa: F405
CHANNEL_LAYERS = {  # pub/sub knows no databases: the prefix keeps processes apart
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [client_url(REDIS_URL)], "prefix": f"kintsugi{_side}"},  # noqa: F405
    }
}
MIN_FREE_GB = 0.1
WHITENOISE_AUTOREFRESH = True
