"""The format of errors, wherever they are raised."""

from __future__ import annotations

import logging

import psycopg
import pytest
from django.db import DatabaseError, OperationalError
from django.test import Client

from accounts import errors as accounts_errors
from config.api import status_of
from config.db.failures import is_database_away
from ledger import adjustment_errors, dispute_errors
from ledger import errors as ledger_errors
from usage import errors as usage_errors


def assert_shape(answer, status, code):
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Request-Id"]
    body = answer.json()
    assert body["code"] == code
    assert body["detail"].endswith((".", "!", "?"))
    assert "secret" not in answer.content.decode()
    assert "Traceback" not in answer.content.decode()


@pytest.mark.parametrize(
    "path",
    [
        "/nope", "/auth", "/auth/", "/v2", "/v2/", "/v2/nope", "/api", "/api/", "/webhooks/x", "/metrics/", "/livez/",
        "/v2/echo/", "/readyz/", "/api/schema/", "/api/docs/", "/adminx", "/staticx", "/docsx", "//v2/echo",
        "/v2/%00", "/v2/\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"), "/v2/%ed%a0%80",
        "/favicon.ico",
    ],
)  # fmt: skip
def test_an_unknown_path_is_a_json_404_and_never_a_redirect(edge, path):
    assert_shape(edge.get(path), 404, "not_found")


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "image/png", "*/*;q=0", "nonsense", ""])
def test_answers_are_json_whatever_is_accepted(edge, accept):
    assert edge.get("/v2/echo", HTTP_ACCEPT=accept).headers["Content-Type"] == "application/json"
    assert_shape(edge.get("/v2/guarded", HTTP_ACCEPT=accept), 401, "not_authenticated")


def test_a_format_parameter_changes_nothing_where_there_is_one_format(edge):
    assert edge.get("/v2/echo?format=csv").status_code == 200


@pytest.mark.parametrize("method", ["put", "patch", "delete", "options", "trace"])
def test_another_method_is_a_405_that_names_the_allowed_ones(edge, method):
    answer = getattr(edge, method)("/v2/echo")

    assert_shape(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == "GET, POST, HEAD"


def test_head_answers_like_get_without_a_body(edge):
    answer = edge.head("/v2/echo")

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.content == b""


def test_numbers_and_times_are_printed_exactly(edge):
    assert edge.get("/v2/echo").content == b'{"credits":100,"at":"2026-01-02T03:04:05Z"}'


@pytest.mark.parametrize(
    ("sent", "printed"), [("12.50", "12.5"), ('"3.0"', "3"), ("1e2", "100"), ("0.000001", "0.000001")]
)
def test_credits_come_back_without_needless_digits(edge, sent, printed):
    answer = edge.generic("POST", "/v2/echo", f'{{"credits":{sent}}}', "application/json")

    assert answer.content.decode() == f'{{"credits":{printed}}}'


@pytest.mark.parametrize(
    "sent", ["true", "null", "0", '"1e2"', '"NaN"', "1.1234567", '" "', "[]", "1e400", '"\\u0000"']
)
def test_bad_credits_are_a_400_that_names_the_field(edge, sent):
    answer = edge.generic("POST", "/v2/echo", f'{{"credits":{sent}}}', "application/json")

    assert answer.status_code == 400
    assert sent == "1e400" or "credits" in answer.json()["errors"]


def test_nested_fields_get_dotted_names_and_the_first_is_in_the_sentence(edge):
    answer = edge.post("/v2/echo", {"credits": 1, "lines": [{"a": 1}, {"b": "x"}]}, "application/json")

    assert_shape(answer, 400, "invalid")
    assert answer.json()["errors"] == {"lines.1.b": ["A valid integer is required."]}
    assert answer.json()["detail"] == "lines.1.b: A valid integer is required."


def test_bad_credentials_are_a_401_with_a_challenge(edge):
    answer = edge.get("/v2/guarded", HTTP_X_API_KEY="wrong")

    assert_shape(answer, 401, "api_key_invalid")
    assert answer.headers["WWW-Authenticate"] == 'ApiKey realm="api"'


def test_a_401_of_the_domain_has_a_challenge_even_where_no_authenticator_stands(edge):
    answer = edge.post("/v2/sign-in", {}, "application/json")

    assert_shape(answer, 401, "invalid_credentials")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'


def test_a_refusal_of_the_domain_brings_its_numbers_plainly(edge):
    answer = edge.get("/v2/raise/credits")

    assert_shape(answer, 402, "insufficient_credits")
    assert b'"credits_required":10,"credits_available":5,"credits_reserved":20' in answer.content


@pytest.mark.parametrize("way", ["raise", "plain"])
@pytest.mark.parametrize(
    ("what", "status", "code"),
    [
        ("bug", 500, "internal_error"),
        ("missing", 404, "not_found"),
        ("denied", 403, "permission_denied"),
        ("away", 503, "unavailable"),
        ("suspicious", 400, "bad_request"),
    ],
)
def test_every_exception_of_a_view_has_the_format(edge, settings, way, what, status, code):
    for debug in (False, True):
        settings.DEBUG = debug

        answer = edge.get(f"/v2/{way}/{what}")

        assert_shape(answer, status, code)
        assert (status == 503) == ("Retry-After" in answer.headers)


def test_a_bug_is_logged_with_its_traceback(edge, caplog):
    with caplog.at_level(logging.ERROR):
        edge.get("/v2/raise/bug")

    assert any(record.exc_info and record.exc_info[0] is ZeroDivisionError for record in caplog.records)


def test_a_statement_that_takes_too_long_is_a_503(edge):
    answer = edge.get("/v2/raise/timeout")

    assert_shape(answer, 503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0


def test_an_unexpected_constraint_is_a_500(edge):
    assert_shape(edge.get("/v2/raise/integrity"), 500, "internal_error")


def test_html_from_elsewhere_is_reworded(edge):
    assert_shape(edge.get("/v2/html-error"), 403, "permission_denied")


def test_a_foreign_host_is_a_json_400(edge):
    assert_shape(edge.get("/v2/echo", HTTP_HOST="evil.example"), 400, "bad_request")


def test_too_many_parameters_are_a_json_400(edge):
    answer = edge.get("/v2/list?" + "&".join(f"a{number}=1" for number in range(2_000)))

    assert_shape(answer, 400, "bad_request")


@pytest.mark.parametrize(("what", "status"), [("bug", 500), ("missing", 404), ("away", 503), ("suspicious", 400)])
def test_pages_keep_their_html_errors_without_details(edge, what, status):
    answer = edge.get(f"/admin/plain/{what}")

    assert answer.status_code == status
    assert answer.headers["Content-Type"].startswith("text/html")
    assert b"secret" not in answer.content
    assert "X-RateLimit-Limit" not in answer.headers


def test_a_missing_csrf_token_is_html_on_pages_only(db):
    client = Client(enforce_csrf_checks=True)

    assert client.post("/admin/login/", {}).headers["Content-Type"].startswith("text/html")


def test_temporary_errors_are_distinguished_from_bugs():
    gone = DatabaseError("server closed the connection unexpectedly")
    gone.__cause__ = psycopg.DatabaseError(str(gone))

    assert is_database_away(OperationalError())
    assert is_database_away(gone)
    assert is_database_away(psycopg.errors.ReadOnlySqlTransaction())
    assert not is_database_away(ValueError())
    assert not is_database_away(DatabaseError("Save with update_fields did not affect any rows."))


@pytest.mark.parametrize(
    "error",
    [
        kind
        for module in (accounts_errors, ledger_errors, adjustment_errors, dispute_errors, usage_errors)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Exception) and kind.__module__ == module.__name__
        if kind.__subclasses__() == []
    ],
)
def test_every_refusal_of_the_domain_has_its_status(error):
    assert status_of(error.__new__(error)) is not None
