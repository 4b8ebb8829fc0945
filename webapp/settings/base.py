"""Settings that every deployment shares. A bad value stops the start with a sentence."""

from pathlib import Path

import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from webapp.celery_settings import celery_settings
from webapp.networks import networks, stores
from webapp.redis_urls import broker_url, client_url, socket_path, socket_url

env = environ.Env()
BASE_DIR = Path(__file__).resolve().parents[2]

# --- where things are kept -------------------------------------------------------------
VAR_DIR = Path(env("KINTSUGI_VAR", default=str(BASE_DIR / "var"))).resolve()
RUNS_DIR = VAR_DIR / "runs"  # a folder per training run: checkpoints, samples, log
MODELS_DIR = VAR_DIR / "models"  # a folder per model version
WEIGHTS_DIR = Path(env("KINTSUGI_WEIGHTS", default=str(VAR_DIR / "weights"))).resolve()
STAGING_DIR = VAR_DIR / "staging"  # uploads before they are checked
MEDIA_ROOT = VAR_DIR / "media"

MIN_FREE_GB = env.float("KINTSUGI_MIN_FREE_GB", default=5.0)
MAX_PIXELS = env.int("KINTSUGI_MAX_PIXELS", default=80_000_000)
MAX_FILE_MB = env.int("KINTSUGI_MAX_FILE_MB", default=200)
MAX_TILES_MB = env.int(
    "KINTSUGI_MAX_TILES_MB", default=4096
)  # of large pictures, cut again at need
MAX_ARCHIVE_MB = env.int("KINTSUGI_MAX_ARCHIVE_MB", default=8192)
MAX_UNPACKED_MB = env.int("KINTSUGI_MAX_UNPACKED_MB", default=4 * MAX_ARCHIVE_MB)
MAX_UNFINISHED_MB = env.int("KINTSUGI_MAX_UNFINISHED_MB", default=2 * MAX_ARCHIVE_MB)  # a person's
MAX_UNFINISHED_FILES = env.int("KINTSUGI_MAX_UNFINISHED_FILES", default=200)  # a person's
UNFINISHED_HOURS = env.float("KINTSUGI_UNFINISHED_HOURS", default=24.0)  # since the last piece
MAX_ARCHIVE_MEMBERS = env.int("KINTSUGI_MAX_ARCHIVE_MEMBERS", default=20_000)

# --- watched folders: only below these, `/folder` or `s3://bucket/prefix` ---------------
INTAKE_ROOTS = env.list("KINTSUGI_INTAKE_ROOTS", default=[])
# Where submissions may have pictures fetched from: beginnings of addresses, nothing else.
IMAGE_STORES = stores(env.list("KINTSUGI_IMAGE_STORES", default=[]))
INTAKE_LOOK_EVERY_S = env.float("KINTSUGI_INTAKE_LOOK_EVERY_S", default=10.0)

# --- jobs ------------------------------------------------------------------------------
JOB_LEASE_S = env.int("KINTSUGI_JOB_LEASE_S", default=60)
JOB_REAP_EVERY_S = env.int("KINTSUGI_JOB_REAP_EVERY_S", default=60)
JOB_STALE_QUEUED_S = env.int("KINTSUGI_JOB_STALE_QUEUED_S", default=120)
JOB_CANCEL_GRACE_S = env.int("KINTSUGI_JOB_CANCEL_GRACE_S", default=20)
TRAINER_THREADS = env.int("KINTSUGI_TRAINER_THREADS", default=0)  # 0: all, less one if shared
TRAINER_NICE = env.int("KINTSUGI_TRAINER_NICE", default=10)
DEVICE = env("KINTSUGI_DEVICE", default="auto")

# --- other systems ---------------------------------------------------------------------
EXCHANGE_LEASE_S = env.int("KINTSUGI_EXCHANGE_LEASE_S", default=15)
EXCHANGE_KEPT_DAYS = env.int("KINTSUGI_EXCHANGE_KEPT_DAYS", default=30)  # the delivery log
# Where webhooks may go besides public https addresses: private networks, an administrator's list.
WEBHOOK_ALLOWED_CIDRS = networks(env.list("KINTSUGI_WEBHOOK_CIDRS", default=[]))

# --- the verification station ----------------------------------------------------------
REVIEW_CLAIM_S = env.int("KINTSUGI_REVIEW_CLAIM_S", default=300)  # a part is held so long
REVIEW_AHEAD = 8  # parts that a station holds and loads ahead
REVIEW_LOCK_MINUTES = env.float("KINTSUGI_REVIEW_LOCK_MINUTES", default=5.0)  # 0: never

# --- Django ----------------------------------------------------------------------------
DEBUG = False
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_htmx",
    "csp",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "allauth",
    "allauth.account",
    "channels",
    "inspection",
]
MIDDLEWARE = [
    "inspection.web.middleware.request_id",
    "inspection.web.middleware.measure",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "inspection.web.middleware.own_language",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "inspection.web.middleware.must_change_password",
    "inspection.web.station.guard_station",
    "inspection.web.middleware.explain_outage",
]
ROOT_URLCONF = "webapp.urls"
ASGI_APPLICATION = "webapp.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [
            BASE_DIR / "webapp" / "templates",
            BASE_DIR / "inspection" / "web" / "templates",
        ],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.template.context_processors.i18n",
                "django.contrib.messages.context_processors.messages",
                "inspection.web.context.shell",
            ],
            "builtins": ["inspection.web.tags.kintsugi"],
        },
    }
]
AUTH_USER_MODEL = "inspection.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 10},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
ACCOUNT_ADAPTER = "inspection.web.accounts.NoSignupAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_EMAIL_NOTIFICATIONS = False
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_PRESERVE_USERNAME_CASING = True

# --- e-mail: only scheduled reports, and only where SMTP_HOST names a server ------------
EMAIL_HOST = env("SMTP_HOST", default="")
EMAIL_PORT = env.int("SMTP_PORT", default=587)
EMAIL_HOST_USER = env("SMTP_USER", default="")
EMAIL_HOST_PASSWORD = env("SMTP_PASSWORD", default="")
SMTP_SECURITY = env("SMTP_SECURITY", default="starttls")
if SMTP_SECURITY not in ("starttls", "tls", "none"):
    raise ImproperlyConfigured("SMTP_SECURITY must be starttls, tls or none")
EMAIL_USE_TLS = SMTP_SECURITY == "starttls"
EMAIL_USE_SSL = SMTP_SECURITY == "tls"
EMAIL_TIMEOUT = 20
EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
if EMAIL_HOST:
    EMAIL_BACKEND = "inspection.services.mail_backend.EmailBackend"
DEFAULT_FROM_EMAIL = env("MAIL_FROM", default="kintsugi@localhost")
MAIL_MAX_MB = env.int("MAIL_MAX_MB", default=10)
PUBLIC_URL = env("PUBLIC_URL", default="")  # https://kintsugi.plant.example, for links in mails

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("zh-hant", "繁體中文")]  # each in its own words
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = env("TIME_ZONE", default="UTC")
USE_TZ = True

# --- database --------------------------------------------------------------------------
DATABASES = {"default": env.db("DATABASE_URL", default=f"sqlite:///{VAR_DIR / 'kintsugi.sqlite3'}")}
_database = DATABASES["default"]
if _database["ENGINE"].endswith("sqlite3"):
    _database["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
elif _database["ENGINE"].endswith("postgresql"):
    # A server that is away, or that vanishes, is an error within seconds and not a hang.
    _database["OPTIONS"] = {
        "connect_timeout": 5,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
        **_database.get("OPTIONS", {}),
    }
    if env.bool("DATABASE_POOL", default=False):
        _database["CONN_MAX_AGE"] = 0
        _database["OPTIONS"]["pool"] = {
            "max_size": env.int("DATABASE_POOL_SIZE", default=15),
            "timeout": 5,
        }

# --- Redis: queue, live pushes, cache --------------------------------------------------
# `make demo` starts a Redis of its own and sets REDIS_URL; nothing ever guesses a port.
REDIS_URL = env("REDIS_URL", default=socket_url(socket_path(VAR_DIR)))
_redis = client_url(REDIS_URL)
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [_redis], "prefix": "kintsugi"},
    }
}
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": _redis,
        "KEY_PREFIX": "kintsugi",
        "OPTIONS": {"socket_timeout": 3, "socket_connect_timeout": 3},
    }
}
CELERY = celery_settings(
    broker_url(REDIS_URL), reap_every_s=JOB_REAP_EVERY_S, look_every_s=INTAKE_LOOK_EVERY_S
)

# --- files -----------------------------------------------------------------------------
STATIC_URL = "static/"
STATIC_ROOT = Path(env("STATIC_ROOT", default=str(BASE_DIR / "static-root")))
STATIC_BROTLI = env.bool("STATIC_BROTLI", default=False)
STATICFILES_DIRS = [BASE_DIR / "webapp" / "static"]
STORAGES = {
    # Keys name their content, so a second write of a key writes the same bytes.
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"allow_overwrite": True},
    },
    "staticfiles": {"BACKEND": "webapp.static_storage.StaticStorage"},
}
FILE_UPLOAD_MAX_MEMORY_SIZE = 2_500_000
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_500_000  # bodies that are read whole; files are streamed
DATA_UPLOAD_MAX_NUMBER_FILES = 1000

# --- what a browser may do -------------------------------------------------------------
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        # OpenSeadragon adds exactly one style block of its own; this is its hash.
        "style-src": [SELF, "'sha256-9xTiqzfwFaL2SGb1rmr8gysEwVVjIvqWAgmZgqFqpEE='"],
        "img-src": [SELF, "data:", "blob:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "worker-src": [SELF, "blob:"],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
    }
}
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 12 * 3600

# --- htmx: no inline styles, no eval, so that the policy above holds -------------------
HTMX_CONFIG = {"includeIndicatorStyles": False, "allowEval": False}

# --- the API ---------------------------------------------------------------------------
API_RATE_PER_MINUTE = env.int("KINTSUGI_API_RATE", default=1200)  # per key or person
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "inspection.api.authentication.KeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": [
        "rest_framework.permissions.IsAuthenticated",
        "inspection.api.permissions.HasScope",
    ],
    "DEFAULT_THROTTLE_CLASSES": ["inspection.api.throttling.PerMinute"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["inspection.api.parsers.Json"],
    "DEFAULT_PAGINATION_CLASS": "inspection.api.pagination.Pages",
    "DEFAULT_SCHEMA_CLASS": "inspection.api.schema.Schema",
    "EXCEPTION_HANDLER": "inspection.api.problems.handle",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "COERCE_DECIMAL_TO_STRING": True,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Kintsugi",
    "DESCRIPTION": "A verdict per serial number, for the MES. See docs/mes.md.",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "JobStateEnum": "inspection.models.JobState",
        "ResultEnum": "inspection.models.Verdict",
        "VerificationEnum": "inspection.models.ReviewState",
        "PurposeEnum": "inspection.models.Purpose",
        "ReviewInStateEnum": "inspection.api.reviews.TO_SAY",
        "DeliveryOutStateEnum": "inspection.models.Delivery.State",
        "EndpointKindEnum": "inspection.models.Endpoint.Kind",
        "RunOutPresetEnum": "inspection.models.TrainingRun.Preset",
        "RunOutMethodEnum": "inspection.models.TrainingRun.Method",
        "ReportKindEnum": "inspection.models.ReportKind",
        "DatasetPurposeEnum": "inspection.models.Dataset.Purpose",
        "ModelStateEnum": "inspection.models.ModelVersion.State",
        "WordEnum": ["none", "not_run", "running", "stopped", "stale", "failed", "passed"],
        "GateStateEnum": "inspection.models.GateCheck.State",
        "MailStateEnum": "inspection.models.Report.Mail",
        "IntakeOutcomeEnum": "inspection.models.IntakeFile.Outcome",
        "OutcomeEnum": ["accepted", "refused"],  # of a resumable upload
        # the same where a serializer names the values alone
        "ResultValueEnum": "inspection.models.Verdict.values",
        "VerificationValueEnum": "inspection.models.ReviewState.values",
        "PurposeValueEnum": "inspection.models.Purpose.values",
    },
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "inspection.api.schema.same_on_every_database",
        "inspection.api.schema.add_problems",
    ],
}

METRICS_TOKEN = env("METRICS_TOKEN", default="")  # empty: /metrics needs none

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"ids": {"()": "inspection.logs.AddIds"}},
    "formatters": {
        "json": {
            "()": "pythonjsonlogger.json.JsonFormatter",
            "format": "%(levelname)s %(name)s %(message)s %(request_id)s %(job_id)s",
            "timestamp": True,
            "rename_fields": {"levelname": "level", "name": "logger"},
        }
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "json", "filters": ["ids"]}
    },
    "root": {"handlers": ["console"], "level": env("LOG_LEVEL", default="INFO")},
    "loggers": {
        # One line a request comes from our own middleware, with the request's id.
        "uvicorn": {"handlers": [], "propagate": True},
        "uvicorn.access": {"handlers": [], "level": "WARNING", "propagate": True},
        "django": {"handlers": [], "propagate": True},
        "django.server": {"handlers": [], "level": "WARNING", "propagate": True},
        "PIL": {"level": "WARNING"},
    },
}
