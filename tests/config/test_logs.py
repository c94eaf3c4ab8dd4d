"""The log lines of calls, and the secrets that they never contain."""

import io
import json
import logging

import pytest
from django.test import Client

from config.logs import DropRefusalWarnings, JsonFormatter, LineFormatter, without_secrets
from config.values.request_ids import RequestIdFilter, current_request_id
from tests.account import client_of
from tests.factories import PASSWORD, ApiKeyFactory, StaffFactory, UserFactory

pytestmark = pytest.mark.django_db
SECRET = "s3cr3t-Wert"


class Log:
    """The output of a handler, as text and as objects."""

    def __init__(self, formatter):
        self.stream = io.StringIO()
        self.handler = logging.StreamHandler(self.stream)
        self.handler.setFormatter(formatter)
        self.handler.addFilter(RequestIdFilter())

    @property
    def text(self):
        return self.stream.getvalue()

    @property
    def lines(self):
        return [json.loads(line) for line in self.text.splitlines()]

    @property
    def access(self):
        return [line for line in self.lines if line["logger"] == "tollbook.access"]


@pytest.fixture(params=[JsonFormatter])
def log(request):
    made, root = Log(request.param()), logging.getLogger()
    root.addHandler(made.handler)
    yield made
    root.removeHandler(made.handler)


class TestAnAccessLine:
    def test_says_who_did_what_how_it_ended_and_how_long_it_took(self, log):
        user = UserFactory()
        client = client_of(user)

        client.get("/auth/account/usage", HTTP_X_REQUEST_ID="call-7")

        line = log.access[-1]
        assert {name: line[name] for name in ("method", "route", "status", "user_id", "api_key", "request_id")} == {
            "method": "GET", "route": "usage", "status": 200, "user_id": user.pk, "api_key": None,
            "request_id": "call-7",
        }  # fmt: skip
        assert line["level"] == "INFO"
        assert 0 < line["duration_ms"] < 10_000
        assert line["time"].endswith("Z")

    def test_names_a_key_by_its_prefix(self, log):
        key = ApiKeyFactory()

        Client().get("/v2/account/summary", HTTP_X_API_KEY=key.raw)

        assert log.access[-1]["api_key"] == key.api_key.prefix
        assert log.access[-1]["user_id"] == key.api_key.user_id
        assert key.raw not in log.text

    def test_names_staff_who_signed_in_to_the_back_office(self, log, client):
        staff = StaffFactory()
        client.force_login(staff)

        client.get("/admin/")

        assert (log.access[-1]["route"], log.access[-1]["user_id"]) == ("admin:index", staff.pk)

    def test_names_no_caller_and_runs_no_query_for_a_stranger(self, log, django_assert_num_queries):
        with django_assert_num_queries(0):
            Client().get("/livez", HTTP_COOKIE="sessionid=abc")
            Client().get("/api/docs", HTTP_COOKIE="sessionid=abc")

        assert log.access[-1]["user_id"] is None

    @pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
    def test_leaves_out_successful_health_checks(self, log, path):
        Client().get(path)

        assert log.text == ""

    @pytest.mark.parametrize(("path", "status"), [("/auth/account/usage", 401), ("/v2/nothing", 404)])
    def test_stands_alone_for_a_refused_call(self, log, path, status):
        Client().get(path)

        (line,) = log.lines
        assert (line["logger"], line["level"], line["status"]) == ("tollbook.access", "INFO", status)


class TestAFailure:
    def test_has_its_traceback_under_the_calls_id(self, log, edge):
        edge.get("/v2/raise/bug", HTTP_X_REQUEST_ID="call-8")

        failed, access = log.lines
        assert (failed["level"], access["level"], access["status"]) == ("ERROR", "ERROR", 500)
        assert "ZeroDivisionError" in failed["exception"]
        assert 'File "' in failed["exception"]
        assert failed["request_id"] == access["request_id"] == "call-8"

    def test_stays_one_line_of_json_whatever_it_contains(self, log):
        error = ValueError('two\nlines and a "quote" \u2028 ü')
        logging.getLogger("x").error("first\nsecond", exc_info=error)

        (line,) = log.lines
        assert (line["message"], line["request_id"]) == ("first\nsecond", "-")
        assert "two\nlines" in line["exception"]


class TestABadHost:
    @pytest.mark.parametrize("host", ["evil.example", "a b", "[::1", "127.0.0.1,evil.example"])
    @pytest.mark.parametrize("path", ["/livez", "/auth/login", "/admin/login/"])
    def test_logs_a_400_in_its_access_line_and_no_error(self, log, host, path):
        answer = Client().get(path, HTTP_HOST=host)

        (line,) = log.lines
        assert answer.status_code == 400
        assert (line["logger"], line["level"], line["status"]) == ("tollbook.access", "INFO", 400)
        if path.startswith("/admin"):
            assert answer.headers["Content-Type"].startswith("text/html")
        else:
            assert (answer.json()["code"], "Host" in answer.json()["detail"]) == ("bad_request", True)


class TestSecrets:
    def test_never_reach_the_log(self, log, edge, caplog):
        logging.getLogger().setLevel(logging.DEBUG)
        user, key = UserFactory(), ApiKeyFactory()
        client = client_of(user)
        token = client._credentials.get("HTTP_AUTHORIZATION", "") or client.defaults["HTTP_AUTHORIZATION"]
        pair = Client().post(
            "/auth/login", {"email": user.email, "password": PASSWORD}, content_type="application/json"
        )
        secrets = [
            key.raw,
            token.removeprefix("Bearer "),
            pair.json()["access"],
            pair.json()["refresh"],
            PASSWORD,
            SECRET,
        ]

        for path in ("/auth/account/usage", "/v2/raise/bug", "/v2/raise/away", "/v2/nothing", "/v2/plain/bug"):
            query = f"?token={SECRET}&api_key={key.raw}"
            headers = {"HTTP_AUTHORIZATION": token, "HTTP_X_API_KEY": key.raw, "HTTP_COOKIE": f"sessionid={SECRET}"}
            edge.get(f"{path}{query}", **headers)
            edge.post(
                f"{path}{query}", {"password": SECRET, "note": SECRET}, content_type="application/json", **headers
            )
            edge.post(path, f'{{"password": "{SECRET}"', content_type="application/json", **headers)
        edge.get("/v2/account/summary", HTTP_X_API_KEY=f"{key.raw}{SECRET}")
        edge.post("/auth/refresh", {"refresh": pair.json()["refresh"]}, content_type="application/json")
        edge.post("/admin/login/", {"username": user.email, "password": SECRET})

        assert len(log.access) == 19
        assert [secret for secret in secrets if secret in log.text] == []

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            (
                "key tb_live_abcdefghijkl_0123456789abcdef0123456789abcdef012345 is bad",
                "key tb_live_abcdefghijkl_… is bad",
            ),
            ("Authorization: Bearer abc.def", "Authorization: Bearer …"),
            ("eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyIjoxfQ.c2ln failed", "… failed"),
            ("postgres://app:hunter2@db/tollbook", "postgres://app:…@db/tollbook"),
            ('{"password": "hunter2", "email": "a@b.c"}', '{"password": "…", "email": "a@b.c"}'),
            ("GET /x?token=hunter2&page=2", "GET /x?token=…&page=2"),
            ("nothing of note", "nothing of note"),
        ],
    )
    def test_are_redacted_when_an_error_quotes_them(self, text, shown):
        assert without_secrets(text) == shown


class TestLinesForPeople:
    @pytest.fixture
    def record(self):
        return logging.makeLogRecord(
            {"name": "tollbook.access", "levelname": "INFO", "msg": "GET usage 200", "request_id": "call-7"}
            | {"method": "GET", "route": "usage", "status": 200, "duration_ms": 1.5, "user_id": 3, "api_key": "abc"}
        )

    def test_contain_the_same_fields(self, record):
        line = LineFormatter().format(record)

        assert line.endswith(" INFO call-7 tollbook.access GET usage 200 1.5 ms user 3 key abc")

    @pytest.mark.parametrize(
        ("request_id", "shown"),
        [
            ("call-7", "call-7"),
            ("a INFO b", '"a INFO b"'),
            ("x tollbook.access GET usage 200 1 ms user 1", '"x tollbook.access GET usage 200 1 ms user 1"'),
            ('"', '"\\""'),
            ("-", '"-"'),
        ],
    )
    def test_quote_a_request_id_that_looks_like_the_fields_around_it(self, record, request_id, shown):
        token = current_request_id.set(request_id)
        RequestIdFilter().filter(record)
        current_request_id.reset(token)

        line = LineFormatter().format(record)

        assert line.split(" ", 2)[2] == f"{shown} tollbook.access GET usage 200 1.5 ms user 3 key abc"

    def test_quote_a_path_of_djangos_messages(self):
        path = "/v2/x tollbook.access GET usage 200 1 ms user 1"
        record = logging.makeLogRecord(
            {"name": "django.request", "levelname": "ERROR", "msg": "%s: %s", "args": ("Internal Server Error", path)}
        )

        assert LineFormatter().format(record).endswith(f'django.request Internal Server Error: "{path}"')

    def test_cannot_be_forged_by_what_a_caller_sends(self):
        record = logging.makeLogRecord({"name": "x", "levelname": "INFO", "msg": "a\nb\x1b[31m\u2028c"})

        assert "a\\nb\\x1b[31m\\x2028c" in LineFormatter().format(record)


def test_djangos_own_warnings_about_refused_calls_are_dropped_and_its_errors_kept():
    keep = DropRefusalWarnings().filter

    assert not keep(logging.makeLogRecord({"status_code": 404}))
    assert keep(logging.makeLogRecord({"status_code": 500}))
    assert keep(logging.makeLogRecord({}))
