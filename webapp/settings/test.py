"""Tests: an in-file SQLite or TEST_DATABASE_URL, folders of their own, no manifest needed."""

import os
import tempfile
from pathlib import Path

_var = os.environ.get("KINTSUGI_TEST_VAR") or tempfile.mkdtemp(prefix="kintsugi-test-")
os.environ["KINTSUGI_TEST_VAR"] = os.environ["KINTSUGI_VAR"] = _var
os.environ["DATABASE_URL"] = os.environ.get(
    "TEST_DATABASE_URL", f"sqlite:///{Path(_var) / 'kintsugi.sqlite3'}"
)
if "TEST_REDIS_URL" in os.environ:
    os.environ["REDIS_URL"] = os.environ["TEST_REDIS_URL"]
elif "KINTSUGI_TEST_REDIS" in os.environ:  # the embedded one, started by tests/conftest.py
    os.environ["REDIS_URL"] = os.environ["KINTSUGI_TEST_REDIS"]
else:
    os.environ.pop("REDIS_URL", None)

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
MIN_FREE_GB = 0.1
WHITENOISE_AUTOREFRESH = True
