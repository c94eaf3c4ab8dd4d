"""Production mode refuses settings that are only fit for a demo."""

import pytest

from config.settings import DEVELOPMENT_KEY
from tests.config.fresh_processes import fresh_processes

SOUND = {
    "TOLLBOOK_ENV": "production",
    "SECRET_KEY": "s" * 25 + "0123456789abcdefghijklmnop",
    "ALLOWED_HOSTS": "credits.example.com",
    "DATABASE_URL": "postgres://app:secret@127.0.0.1:1/tollbook",
    "DATABASE_OWNER_URL": "postgres://owner:secret@127.0.0.1:1/tollbook",
}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    with fresh_processes(tmp_path_factory.mktemp("runs")) as processes:
        yield processes


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"BEHIND_TLS_PROXY": "true", "TRUSTED_PROXIES": "10.0.0.1"},
        {
            "OIDC_ISSUER": "https://login.example.com/realms/acme",
            "OIDC_CLIENT_ID": "tollbook",
            "OIDC_CLIENT_SECRET": "0f1e2d3c4b5a6978",
            "OIDC_ROLES": "acme-money=finance, acme-help=support",
            "SECOND_FACTOR_KEYS": "0123456789abcdef0123456789abcdef,fedcba9876543210fedcba9876543210",
        },
        {"METRICS_TOKEN": "0f1e2d3c4b5a6978", "JWT_SIGNING_KEY": "0123456789abcdef0123456789abcdef"},
    ],
)
def test_a_sound_installation_passes_djangos_deployment_checks(fresh, more):
    ran = fresh.manage("check", "--deploy", "--fail-level", "WARNING", **SOUND, **more)

    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"SECRET_KEY": None}, "SECRET_KEY"),
        ({"SECRET_KEY": "short"}, "SECRET_KEY"),
        ({"SECRET_KEY": "a" * 50}, "SECRET_KEY"),
        ({"SECRET_KEY": "ab" * 40}, "SECRET_KEY"),
        ({"SECRET_KEY": "change-me-" * 6}, "SECRET_KEY"),
        ({"SECRET_KEY": "1234567890" * 5 + "123"}, "SECRET_KEY"),
        ({"SECRET_KEY": "django-insecure-" + SOUND["SECRET_KEY"]}, "SECRET_KEY"),
        ({"SECRET_KEY": DEVELOPMENT_KEY}, "SECRET_KEY"),
        ({"JWT_SIGNING_KEY": DEVELOPMENT_KEY}, "JWT_SIGNING_KEY"),
        ({"JWT_SIGNING_KEY": "a" * 50}, "JWT_SIGNING_KEY"),
        ({"JWT_SIGNING_KEY": "x" * 31}, "JWT_SIGNING_KEY"),
        ({"METRICS_TOKEN": "x"}, "METRICS_TOKEN"),
        ({"METRICS_TOKEN": "x" * 40}, "METRICS_TOKEN"),
        ({"ALLOWED_HOSTS": "*"}, "ALLOWED_HOSTS"),
        ({"ALLOWED_HOSTS": "credits.example.com, *"}, "ALLOWED_HOSTS"),
        ({"TRUSTED_PROXIES": "0.0.0.0/0"}, "TRUSTED_PROXIES"),
        ({"TRUSTED_PROXIES": "10.0.0.1, ::/0"}, "TRUSTED_PROXIES"),
        ({"WEBHOOKS_MAY_REACH": "0.0.0.0/0"}, "WEBHOOKS_MAY_REACH"),
        ({"ALLOWED_HOSTS": None}, "ALLOWED_HOSTS"),
        ({"DEBUG": "true"}, "DEBUG"),
        ({"DATABASE_URL": None, "DATABASE_OWNER_URL": None}, "DATABASE_URL"),
        ({"DATABASE_OWNER_URL": None}, "DATABASE_OWNER_URL"),
        ({"DATABASE_OWNER_URL": SOUND["DATABASE_URL"]}, "DATABASE_OWNER_URL"),
        ({"ANCHOR_KEYS": "short"}, "ANCHOR_KEYS"),
        ({"ANCHOR_KEYS": "development-only-anchor-key-of-nobody"}, "ANCHOR_KEYS"),
        ({"LOG_FORMAT": "xml"}, "LOG_FORMAT"),
        ({"STAFF_MFA": "maybe"}, "STAFF_MFA"),
        ({"STAFF_REAUTH_MINUTES": "0"}, "STAFF_REAUTH_MINUTES"),
        ({"SECOND_FACTOR_KEYS": "short"}, "SECOND_FACTOR_KEYS"),
        ({"OIDC_ISSUER": "https://login.example.com"}, "OIDC_CLIENT_ID"),
        ({"OIDC_ISSUER": "http://login.example.com", "OIDC_CLIENT_ID": "a", "OIDC_CLIENT_SECRET": "b"}, "OIDC_ISSUER"),
        ({"OIDC_ROLES": "support"}, "OIDC_ROLES"),
        ({"OIDC_CREATE_STAFF": "true"}, "OIDC_CREATE_STAFF"),
        ({"PAYMENT_PROVIDER": "fake"}, "PAYMENT_PROVIDER"),
        ({"AUTO_RELOAD_PRICE": "10"}, "AUTO_RELOAD_PRICE"),
        ({"AUTO_RELOAD_PRICE": "0.00 USD"}, "AUTO_RELOAD_PRICE"),
        ({"AUTO_RELOAD_PRICE": "10.005 USD"}, "AUTO_RELOAD_PRICE"),
        ({"AUTO_RELOAD_PRICE": "1.5 JPY"}, "AUTO_RELOAD_PRICE"),
        ({"PAYMENT_PROVIDER": "stripe", "STRIPE_SECRET_KEY": "sk_live_1"}, "STRIPE_WEBHOOK_SECRETS"),
        ({"STRIPE_WEBHOOK_SECRETS": "whsec_1,whsec_2,whsec_3"}, "STRIPE_WEBHOOK_SECRETS"),
        ({"EMAIL_URL": "nowhere"}, "EMAIL_URL"),
        ({"PROMETHEUS_MULTIPROC_DIR": "/there/is/no/such/folder"}, "PROMETHEUS_MULTIPROC_DIR"),
    ],
)
def test_a_setting_unfit_for_production_stops_the_start_with_a_sentence(fresh, wrong, named):
    ran = fresh.manage("check", **SOUND | wrong)

    assert ran.returncode == 1
    assert ran.stderr.startswith("Tollbook cannot start: ")
    assert named in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not any(secret in ran.stderr for secret in wrong.values() if secret and len(secret) > 30)


def test_the_demo_companys_own_api_is_not_there_in_production(fresh):
    ran = fresh.manage("shell", "-c", "from django.urls import resolve; resolve('/v2/demo/translate')", **SOUND)

    assert "Resolver404" in ran.stderr
