import gc
import os
import sys
import tempfile

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.conf import settings
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings.dev")
get_asgi_application()  # loads the apps

# Django writes every large body to a temporary file before a view sees it. A zip of gigabytes
# belongs on the disk of the data, not in a /tmp that may be memory.
settings.STAGING_DIR.mkdir(parents=True, exist_ok=True)
tempfile.tempdir = str(settings.STAGING_DIR)

# These need the apps loaded.
from inspection.live.routing import websocket_urlpatterns  # noqa: E402
from webapp.body_limit import BodyLimit  # noqa: E402
from webapp.one_thread import Http  # noqa: E402
from webapp.pieces import Pieces  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": BodyLimit(Pieces(Http())),
        "websocket": AllowedHostsOriginValidator(
            AuthMiddlewareStack(URLRouter(websocket_urlpatterns))
        ),
    }
)

# Who comes back from the database with a row waits for the lock of a thread that renders: a
# millisecond at most instead of five, for each question that a page asks.
sys.setswitchinterval(0.001)

# What is loaded by now stays: without this the garbage collector walks through all of it every
# few seconds, and whoever waits for a page then waits a tenth of a second more.
gc.collect()
gc.freeze()
