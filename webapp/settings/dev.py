"""One machine, nothing installed but Python: what `make demo` and developers run."""

import secrets

from .base import *  # noqa: F403
from .base import VAR_DIR, env


def _own_secret() -> str:
    """A key of this machine's own, made on the first start and kept beside the data."""
    file = VAR_DIR / "secret_key"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)  # before there is anything to read in it
        file.write_text(secrets.token_urlsafe(50))
    return file.read_text()


SECRET_KEY = env("SECRET_KEY", default="") or _own_secret()
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
DEBUG = env.bool("DEBUG", default=False)
