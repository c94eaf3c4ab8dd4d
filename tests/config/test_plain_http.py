"""Plain http where https is required: programs are refused, so that it is noticed; pages are redirected."""

from __future__ import annotations

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(settings):
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_REDIRECT_EXEMPT = [r"^livez$", r"^readyz$", r"^metrics$"]
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    return Client()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/auth/login"), ("POST", "/auth/register"), ("POST", "/v2/charges"), ("OPTIONS", "/v2/charges"),
        ("DELETE", "/auth/account/api-keys/1"), ("POST", "/webhooks/stripe"), ("POST", "/v2/nothing/there"),
        ("PATCH", "/auth/account/auto-reload"),
    ],
)  # fmt: skip
def test_a_call_is_refused_in_json_and_not_sent_on(client, method, path):
    answer = client.generic(method, path, b"{}", content_type="application/json")

    assert answer.status_code == 403
    assert answer.json()["code"] == "https_required"
    assert "Location" not in answer.headers
    assert answer.headers["X-Request-Id"]


@pytest.mark.parametrize("credentials", [{"HTTP_X_API_KEY": "tb_live_x"}, {"HTTP_AUTHORIZATION": "Bearer x"}])
def test_a_read_with_credentials_is_refused_as_well(client, credentials):
    answer = client.get("/v2/account/summary", **credentials)

    assert (answer.status_code, answer.json()["code"]) == (403, "https_required")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/admin/login/"), ("POST", "/admin/login/"), ("GET", "/api/docs")]
)
def test_pages_are_redirected(client, method, path):
    answer = client.generic(method, path)

    assert (answer.status_code, answer.headers["Location"]) == (301, f"https://testserver{path}")


def test_https_passes_and_so_does_health(client):
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz", HTTP_AUTHORIZATION="Bearer x").status_code == 200
    assert client.get("/metrics", HTTP_AUTHORIZATION="Bearer x").status_code == 200
    assert client.post("/auth/login", {}, content_type="application/json", secure=True).status_code == 400
    proxied = client.post("/auth/login", {}, content_type="application/json", HTTP_X_FORWARDED_PROTO="https")
    assert proxied.status_code == 400


def test_plain_http_passes_where_it_is_allowed(client, settings):
    settings.SECURE_SSL_REDIRECT = False

    assert client.post("/auth/login", {}, content_type="application/json").status_code == 400
