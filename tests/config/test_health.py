from __future__ import annotations

import pytest
from django.core.management import call_command
from django.db import OperationalError
from django.db.backends.utils import CursorWrapper
from django.test import Client

from config import health


def test_livez_needs_no_database(settings):
    settings.ROOT_URLCONF = "tests.config.urls"

    answer = Client().get("/livez")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_readyz_names_its_checks(edge):
    answer = edge.get("/readyz")

    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "checks": {"database": "ok", "migrations": "ok", "last_audit": "never run"},
    }


STRANGER = {"REMOTE_ADDR": "203.0.113.7"}


@pytest.mark.parametrize(
    "more", [STRANGER, {"HTTP_X_FORWARDED_FOR": "203.0.113.7"}, STRANGER | {"HTTP_AUTHORIZATION": "x"}]
)
def test_readyz_shows_strangers_only_whether_it_is_ready(edge, monkeypatch, more):
    ready = edge.get("/readyz", **more)
    monkeypatch.setattr(health, "_known_migrations", lambda: frozenset({("config", "9999_next")}))
    not_ready = edge.get("/readyz", **more)

    assert (ready.status_code, ready.json()) == (200, {"status": "ok"})
    assert not_ready.status_code == 503
    assert not_ready.json() == {"detail": "The service is not ready to take work.", "code": "unavailable"}
    assert int(not_ready.headers["Retry-After"]) > 0


def test_readyz_shows_all_checks_to_callers_with_the_metrics_token(edge, settings):
    settings.METRICS_TOKEN = "a-token-for-scraping"

    told = edge.get("/readyz", **STRANGER, HTTP_AUTHORIZATION="Bearer a-token-for-scraping")

    assert told.json()["checks"]["database"] == "ok"


def test_readyz_shows_the_result_of_the_last_full_reconcile(edge):
    call_command("reconcile", "--since", "2026-01-01")
    partial = edge.get("/readyz").json()["checks"]["last_audit"]

    call_command("reconcile")

    assert partial == "never run"
    assert edge.get("/readyz").json()["checks"]["last_audit"].startswith("no findings at 2")


def test_readyz_is_a_503_while_the_database_is_away(edge, monkeypatch):
    def fail(*_args, **_kwargs):
        raise OperationalError("secret")

    with monkeypatch.context() as patch:
        patch.setattr(CursorWrapper, "execute", fail)
        answer = edge.get("/readyz")
        alive = edge.get("/livez")

    assert answer.status_code == 503
    assert answer.json()["checks"]["database"] != "ok"
    assert answer.json()["code"] == "unavailable"
    assert int(answer.headers["Retry-After"]) > 0
    assert b"secret" not in answer.content
    assert alive.status_code == 200


def test_readyz_is_a_503_while_migrations_are_not_applied(edge, monkeypatch):
    monkeypatch.setattr(health, "_known_migrations", lambda: frozenset({("config", "9999_next")}))

    answer = edge.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["checks"] == {"database": "ok", "migrations": "1 not applied"}


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_health_ignores_credentials_and_allows_head(edge, path):
    assert edge.get(path, HTTP_AUTHORIZATION="Bearer junk", HTTP_X_API_KEY="junk").status_code == 200
    assert edge.head(path).status_code == 200
    assert edge.post(path).status_code == 405
