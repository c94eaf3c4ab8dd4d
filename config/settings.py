"""Every setting, read top to bottom. What an operator may change comes from the environment (README)."""

from __future__ import annotations

import os
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from config import env
from config.postgres import cluster
from config.settings_sign_in import *  # noqa: F403  all that is upper case, as Django reads it
from config.values.money import NotInThisCurrency, in_minor_units
from ledger.providers.registry import PROVIDERS

BASE_DIR = Path(__file__).resolve().parent.parent

# --- Mode -------------------------------------------------------------------------------------------
# Unset means production: only manage.py and the Makefile choose development.
TOLLBOOK_ENV = env.choice("TOLLBOOK_ENV", "production", ("development", "production"))
IN_PRODUCTION = TOLLBOOK_ENV == "production"
DEVELOPMENT_KEY = "development-only-key-that-production-refuses-to-start-with"

DEBUG = env.flag("DEBUG", default=False)
SECRET_KEY = env.text("SECRET_KEY", "" if IN_PRODUCTION else DEVELOPMENT_KEY)
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", () if IN_PRODUCTION else (".localhost", "127.0.0.1", "[::1]"))
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS")

if IN_PRODUCTION:
    if "*" in ALLOWED_HOSTS:
        raise ImproperlyConfigured("ALLOWED_HOSTS must name this site's host names in production, not *.")
    if DEBUG:
        raise ImproperlyConfigured("DEBUG must be off in production: unset it, or set TOLLBOOK_ENV=development.")
    env.refuse_weak("SECRET_KEY", SECRET_KEY, least=50, known=DEVELOPMENT_KEY)
    if not ALLOWED_HOSTS:
        raise ImproperlyConfigured("ALLOWED_HOSTS must name this site's host names in production.")

# --- Database: `default` is the application's role, `owner` owns the tables (docs/decisions/0002) ----------
DATABASES: dict[str, dict[str, Any]]
_application = env.database("DATABASE_URL")
_owner = env.database("DATABASE_OWNER_URL")
if _application is None and _owner is not None:
    raise ImproperlyConfigured("DATABASE_OWNER_URL is set, but DATABASE_URL is not: set both.")
if _application is None and IN_PRODUCTION:
    raise ImproperlyConfigured("DATABASE_URL must be set in production, to the application's PostgreSQL login.")

if _application is None:
    _cluster = cluster.default_cluster()
    _application, _owner = (
        {
            "ENGINE": "config.db.embedded",
            "NAME": "tollbook",
            "USER": role,
            "HOST": str(_cluster.socket_dir),
            "PORT": str(cluster.PORT),
        }
        for role in ("tollbook_app", "tollbook_owner")
    )
_connection = {
    "CONN_MAX_AGE": env.whole_number("DATABASE_CONN_MAX_AGE", 600),
    # No health checks: they add a query to each request. Hot reads and calls reconnect by themselves.
    "CONN_HEALTH_CHECKS": False,
    # PgBouncer in transaction mode runs each transaction on any server connection: no cursor outlives one.
    "DISABLE_SERVER_SIDE_CURSORS": True,
}
# Lets config/db/calls.py prepare; Django's own cursors never do. Besides the options of the URL: TLS, hosts, limits.
_OPTIONS = {"prepare_threshold": 0}
DATABASE_PREPARED_STATEMENTS = env.flag("DATABASE_PREPARED_STATEMENTS", default=True)
DATABASES = {
    "default": {**_application, **_connection, "TEST": {"MIRROR": "owner"}},
    "owner": {**(_owner or _application), **_connection, "CONN_MAX_AGE": 0},
}
for _login in DATABASES.values():
    _login["OPTIONS"] = {**_login.get("OPTIONS", {}), **_OPTIONS}
if IN_PRODUCTION and DATABASES["owner"]["USER"] == DATABASES["default"]["USER"]:
    raise ImproperlyConfigured(
        "DATABASE_OWNER_URL must name another login than DATABASE_URL in production: "
        "the application may not own the ledger it writes through."
    )

# --- Applications -----------------------------------------------------------------------------------
INSTALLED_APPS = [
    "allauth",  # before accounts, which takes its admin pages away
    "accounts.sign_in.allauth_app.PagesAccountConfig",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.usersessions",
    "config",
    "accounts",
    "ledger",
    "usage",
    "config.backoffice.apps.BackOfficeConfig",
    "config.jobs.apps.JobsConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "import_export",
    "csp",
]
MIDDLEWARE = [
    "config.http.middleware.RequestIdMiddleware",
    "config.http.observation.ObservationMiddleware",
    "config.http.content_security.ContentSecurityMiddleware",
    "config.http.middleware.JsonErrorsMiddleware",
    "config.http.plain_http.PlainHttpMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.common.CommonMiddleware",
    "config.http.pages.PageLayersMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
APPEND_SLASH = False
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "accounts.sign_in.frame.frame",
            ],
        },
    }
]

# --- People -----------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.backends.GuardedEmailBackend"]
PASSWORD_HASHERS = [
    "accounts.hashers.Argon2",
    "accounts.hashers.PBKDF2",
]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ("email", "full_name")},
    },
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
JWT_SIGNING_KEY = env.text("JWT_SIGNING_KEY", SECRET_KEY)
if len(JWT_SIGNING_KEY.encode()) < 32:
    raise ImproperlyConfigured("JWT_SIGNING_KEY must have at least 32 bytes (RFC 7518, 3.2), or be left unset.")
if IN_PRODUCTION:
    env.refuse_weak("JWT_SIGNING_KEY", JWT_SIGNING_KEY, least=32, known=DEVELOPMENT_KEY)
# Sign the anchors of all ledgers (docs/decisions/0046): the first key signs, the others still verify.
_DEVELOPMENT_ANCHOR_KEY = "development-only-anchor-key-of-nobody"
ANCHOR_KEYS = env.words("ANCHOR_KEYS", () if IN_PRODUCTION else (_DEVELOPMENT_ANCHOR_KEY,))
if any(len(_key.encode()) < 32 for _key in ANCHOR_KEYS):
    raise ImproperlyConfigured("ANCHOR_KEYS must be keys of at least 32 bytes each, parted by commas, or unset.")
for _key in ANCHOR_KEYS if IN_PRODUCTION else ():
    env.refuse_weak("ANCHOR_KEYS", _key, least=32, known=_DEVELOPMENT_ANCHOR_KEY)
REGISTRATION_OPEN = env.flag("REGISTRATION_OPEN", default=True)
REGISTRATIONS_PER_ADDRESS = env.whole_number("REGISTRATIONS_PER_ADDRESS", 30, least=1)  # a minute
LOGIN_WINDOW = timedelta(minutes=15)
LOGIN_FAILURES_PER_ACCOUNT = env.whole_number("LOGIN_FAILURES_PER_ACCOUNT", 10, least=1)
LOGIN_FAILURES_EVERYWHERE = env.whole_number("LOGIN_FAILURES_EVERYWHERE", 50, least=1)
LOGIN_FAILURES_PER_ADDRESS = env.whole_number("LOGIN_FAILURES_PER_ADDRESS", 100, least=1)
API_KEYS_PER_CUSTOMER = env.whole_number("API_KEYS_PER_CUSTOMER", 50, least=1)
ACCESS_TOKEN_LIFETIME = timedelta(minutes=15)
REFRESH_TOKEN_LIFETIME = timedelta(days=7)
REFRESH_REUSE_GRACE = timedelta(seconds=10)
CLOCK_LEEWAY = timedelta(seconds=30)  # how far ahead the clock of another machine that signs tokens may be (iat, nbf)
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": ACCESS_TOKEN_LIFETIME,
    "REFRESH_TOKEN_LIFETIME": REFRESH_TOKEN_LIFETIME,
    "SIGNING_KEY": JWT_SIGNING_KEY,
    "LEEWAY": CLOCK_LEEWAY,
    "AUTH_HEADER_TYPES": ("Bearer",),
    "USER_ID_CLAIM": "user_id",
}

# --- Payments and email (docs/decisions/0030) --------------------------------------------------------------
SERVER_THREADS = env.whole_number("SERVER_THREADS", 4, least=1, most=1_000)  # of each worker (config/server)
# A slow provider holds at most a quarter of the threads (ledger/providers/turns.py).
PROVIDER_CALLS_AT_ONCE = env.whole_number("PROVIDER_CALLS_AT_ONCE", max(1, SERVER_THREADS // 4), least=1)
PAYMENT_PROVIDER = env.choice("PAYMENT_PROVIDER", "none" if IN_PRODUCTION else "fake", ("none", *PROVIDERS))
STRIPE_SECRET_KEY = env.text("STRIPE_SECRET_KEY")
STRIPE_WEBHOOK_SECRETS = env.words("STRIPE_WEBHOOK_SECRETS")  # two during a rotation
STRIPE_ACCOUNT = env.text("STRIPE_ACCOUNT")  # only where messages name it
STRIPE_API_URL = env.http_url("STRIPE_API_URL", "")  # overrides Stripe's address: for tests
# What auto-reload charges for 1,000 credits; None: it is not offered (docs/decisions/0033).
AUTO_RELOAD_PRICE = env.price("AUTO_RELOAD_PRICE", None if IN_PRODUCTION else (Decimal("10.00"), "USD"))
try:
    if AUTO_RELOAD_PRICE is not None and not in_minor_units(*AUTO_RELOAD_PRICE):
        raise ImproperlyConfigured("AUTO_RELOAD_PRICE must not be 0.")
except NotInThisCurrency as _error:
    raise ImproperlyConfigured(f"AUTO_RELOAD_PRICE is a price of 1,000 credits. {_error}") from None
if PAYMENT_PROVIDER != "none":
    _provider = PROVIDERS[PAYMENT_PROVIDER]
    _needs = _provider.needs + _provider.webhooks_need
    if IN_PRODUCTION and not _provider.takes_money:
        raise ImproperlyConfigured(
            f"PAYMENT_PROVIDER must not be {PAYMENT_PROVIDER} in production: it gives credits for no money."
        )
    if not all(globals()[_name] for _name in _needs):
        raise ImproperlyConfigured(f"PAYMENT_PROVIDER={PAYMENT_PROVIDER} needs {' and '.join(_needs)}.")
if len(STRIPE_WEBHOOK_SECRETS) > 2:
    raise ImproperlyConfigured("STRIPE_WEBHOOK_SECRETS takes two secrets at most: the new one and the old one.")
TOP_UP_DECLINES_PER_HOUR = env.whole_number("TOP_UP_DECLINES_PER_HOUR", 5, least=1)
UNPAID_TOP_UPS_PER_HOUR = env.whole_number("UNPAID_TOP_UPS_PER_HOUR", 20, least=1)
NEW_CARDS_PER_DAY = env.whole_number("NEW_CARDS_PER_DAY", 5, least=1)
DISPUTE_FREEZES_ACCOUNT = env.flag("DISPUTE_FREEZES_ACCOUNT", default=False)
RECONCILIATION_FREEZES_ACCOUNT = env.flag("RECONCILIATION_FREEZES_ACCOUNT", default=False)
vars().update(env.email("EMAIL_URL", "smtp://127.0.0.1:25" if IN_PRODUCTION else "consolemail://"))
EMAIL_TIMEOUT = 10  # only commands send emails
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.text("EMAIL_FROM", "tollbook@localhost")

# --- Adjustments by staff: what one person may post, unless a group has limits of its own -----------------------
ADJUSTMENT_LIMIT = env.credits("ADJUSTMENT_LIMIT", "1000")
ADJUSTMENT_LIMIT_PER_DAY = env.credits("ADJUSTMENT_LIMIT_PER_DAY", "5000")

# --- Webhooks to customers (docs/webhooks.md) -----------------------------------------------------------------
WEBHOOKS_PER_CUSTOMER = env.whole_number("WEBHOOKS_PER_CUSTOMER", 10, least=1)
WEBHOOKS_MAY_REACH = env.networks("WEBHOOKS_MAY_REACH")  # in addition to the public internet
if IN_PRODUCTION and any(not network.prefixlen for network in WEBHOOKS_MAY_REACH):
    raise ImproperlyConfigured("WEBHOOKS_MAY_REACH must not be everything in production: name the networks meant.")
WEBHOOKS_HTTPS_ONLY = IN_PRODUCTION

# --- API (docs: /api/docs) ----------------------------------------------------------------------------
CREDIT_UNIT = env.text("CREDIT_UNIT", "CREDITS")
COMPANY_NAME = env.text("COMPANY_NAME", "Tollbook")  # on documents such as statements
TOP_UP_URL = env.http_url(
    "TOP_UP_URL", "http://127.0.0.1:8000/" if not IN_PRODUCTION else f"https://{ALLOWED_HOSTS[0].lstrip('.')}/"
)
SITE_URL = env.http_url(
    "SITE_URL", "http://127.0.0.1:8000/" if not IN_PRODUCTION else f"https://{ALLOWED_HOSTS[0].lstrip('.')}/"
)
TRUSTED_PROXIES, TRUST_UNIX_SOCKET = env.proxies("TRUSTED_PROXIES")
if IN_PRODUCTION and any(not network.prefixlen for network in TRUSTED_PROXIES):
    raise ImproperlyConfigured("TRUSTED_PROXIES must not be everybody in production: then anybody chooses an address.")
CHARGE_BATCHING = env.flag("CHARGE_BATCHING", default=True)
RATE_LIMIT_PER_KEY = env.whole_number("RATE_LIMIT_PER_KEY", 6_000, least=1)
RATE_LIMIT_PER_USER = env.whole_number("RATE_LIMIT_PER_USER", 6_000, least=1)
RATE_LIMIT_PER_ADDRESS = env.whole_number("RATE_LIMIT_PER_ADDRESS", 600, least=1)
KEEP_QUERY_STRINGS = env.flag("KEEP_QUERY_STRINGS", default=False)  # clients put tokens there
METERING_SPOOL = env.text("METERING_SPOOL")  # a folder of this machine (docs/metering.md)
METERING_SPOOL_BYTES = env.whole_number("METERING_SPOOL_BYTES", 64 * 1024 * 1024, least=4096)
JSON_BODY_BYTES = 1024 * 1024
EVENTS_BODY_BYTES = 5 * 1024 * 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = 6 * 1024 * 1024  # the API's own limits (config/http/parsers.py) are lower
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.authentication.AccessTokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["config.http.renderers.ExactJsonRenderer"],
    "DEFAULT_PARSER_CLASSES": ["config.http.parsers.StrictJsonParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "config.http.renderers.AlwaysJson",
    "DEFAULT_PAGINATION_CLASS": "config.http.pagination.StrictLimitOffsetPagination",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_THROTTLE_CLASSES": ["config.http.throttling.CallerThrottle"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_METADATA_CLASS": None,
    "EXCEPTION_HANDLER": "config.api.exception_handler",
    "PAGE_SIZE": 50,
    "URL_FORMAT_OVERRIDE": None,
    "UNAUTHENTICATED_USER": None,
    "COERCE_DECIMAL_TO_STRING": False,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "TEST_REQUEST_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Tollbook",
    "DESCRIPTION": "Prepaid credits for API companies: balance, ledger and usage of an account.",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.1",
    "ENUM_NAME_OVERRIDES": {
        "ApiKeyStatus": "accounts.models.api_key.KeyStatus",
        "KeyVerdict": "usage.key_verdicts.Code",
        "AutoReloadOffReason": "ledger.models.auto_reload.OffReason",
        "AutoReloadEventKind": "ledger.models.auto_reload.ReloadEventKind",
        "DisputeReason": "ledger.models.dispute.EntryDisputeReason",
        "HoldStatus": "ledger.models.hold.HoldStatus",
        "PaymentKind": "ledger.models.payment.PaymentKind",
        "PaymentState": "ledger.models.payment.PaymentState",
        "RequestOutcome": "usage.models.request_log.Outcome",
        "WebhookDeliveryState": "accounts.models.webhook.DeliveryState",
        "WebhookDisabledReason": "accounts.models.webhook.DisabledReason",
        "SubscriptionStatus": "accounts.models.plan.SubscriptionStatus",
    },
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PUBLIC": True,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

# --- Jobs (config/jobs/schedule.py) ------------------------------------------------------------------------
PROCRASTINATE_AUTODISCOVER_MODULE_NAME = ""  # the schedule lists them all

# --- Transport ----------------------------------------------------------------------------------------
if IN_PRODUCTION:
    SECURE_SSL_REDIRECT = env.flag("SECURE_SSL_REDIRECT", default=True)
    SECURE_REDIRECT_EXEMPT = [r"^livez$", r"^readyz$", r"^metrics$"]
    SECURE_HSTS_SECONDS = env.whole_number("SECURE_HSTS_SECONDS", 31_536_000)
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    if env.flag("BEHIND_TLS_PROXY", default=False):
        SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# A self-hosted site does not decide for its sibling subdomains, nor enter browsers' preload lists. The others look for
# Django's layers for forms, people, messages and sessions in MIDDLEWARE; they stand inside PageLayersMiddleware.
SILENCED_SYSTEM_CHECKS = [
    "security.W005", "security.W021", "security.W003", "admin.E408", "admin.E409", "admin.E410"
]  # fmt: skip
SESSION_COOKIE_HTTPONLY = True
ADMIN_IDLE_MINUTES = env.whole_number("ADMIN_IDLE_MINUTES", 30, least=1, most=720)
ADMIN_SESSION_HOURS = env.whole_number("ADMIN_SESSION_HOURS", 12, least=1, most=336)
SESSION_COOKIE_AGE = ADMIN_SESSION_HOURS * 3600
X_FRAME_OPTIONS = "DENY"

# What a page may load: our own files, nothing inline, nothing from other hosts (config/http/content_security.py).
_OURS, _NOTHING = ["'self'"], ["'none'"]
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": _NOTHING,
        "script-src": _OURS,
        "style-src": _OURS,
        "img-src": [*_OURS, "data:"],  # Swagger UI's arrows
        "font-src": _OURS,
        "connect-src": _OURS,
        "form-action": _OURS,
        "base-uri": _NOTHING,
        "frame-ancestors": _NOTHING,
    }
}

# --- Files, language, time ------------------------------------------------------------------------------
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles" if IN_PRODUCTION else None  # filled by collectstatic
WHITENOISE_USE_FINDERS = not IN_PRODUCTION
LANGUAGE_CODE = "en-us"
USE_I18N = False
FORMAT_MODULE_PATH = "config.backoffice.formats"  # dates in the admin as 2026-11-21 23:35
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Logs and metrics (docs/operations.md) ----------------------------------------------------------------
LOG_FORMAT = env.choice("LOG_FORMAT", "json" if IN_PRODUCTION else "line", ("json", "line"))
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "request_id": {"()": "config.values.request_ids.RequestIdFilter"},
        "server_errors": {"()": "config.logs.DropRefusalWarnings"},
        "not_of_one_job": {"()": "config.logs.DropJobFailures"},
    },
    "formatters": {
        "json": {"()": "config.logs.JsonFormatter"},
        "line": {"()": "config.logs.LineFormatter"},
    },
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT, "filters": ["request_id"]},
    },
    "loggers": {
        "django.request": {"filters": ["server_errors"]},
        "django.security": {"level": "CRITICAL"},  # the client's error: the access line reports it
        "psycopg.pool": {"level": "ERROR"},  # the worker itself logs once that the database is away
        "procrastinate": {"level": "WARNING"},
        "fontTools": {"level": "WARNING"},  # tells each step of embedding a font
        "procrastinate.worker": {"filters": ["not_of_one_job"]},
    },
    "root": {"handlers": ["stderr"], "level": env.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"))},
}
METRICS_TOKEN = env.text("METRICS_TOKEN")
if IN_PRODUCTION and METRICS_TOKEN:
    env.refuse_weak("METRICS_TOKEN", METRICS_TOKEN, least=16)
METRICS_FOLDER = env.text("PROMETHEUS_MULTIPROC_DIR")  # read by prometheus_client itself, which treats "" as a folder
if not METRICS_FOLDER:
    os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
elif not os.access(METRICS_FOLDER, os.W_OK | os.X_OK):
    raise ImproperlyConfigured("PROMETHEUS_MULTIPROC_DIR must be a folder that may be written, empty at each start.")
