"""One line of Apache's or nginx's log is parsed into one request or rejected with a reason; all lines are made up."""

import datetime as dt
import time

import pytest

from usage.services.imports.combined import combined_parser
from usage.services.imports.reported import LineRejected

NOON = dt.datetime(2026, 3, 1, 12, 0, 0, tzinfo=dt.UTC)
TIME = "01/Mar/2026:12:00:00 +0000"


def combined(
    *, host="203.0.113.9", user="acme", at=TIME, request="GET /v1/search HTTP/1.1", status=200, size="512",
    rest=' "https://shop.example/" "client/1.0"',
):  # fmt: skip
    return f'{host} - {user} [{at}] "{request}" {status} {size}{rest}'


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (combined(), {}),
        (combined(rest=""), {}),
        (combined(size="-"), {}),
        (combined(rest=' "-" "-" 0.012 "upstream" extra'), {}),
        (combined(host="2001:db8::7"), {"host": "2001:db8::7"}),
        (combined(host="::1"), {"host": "::1"}),
        (combined(host="client.example"), {"host": "client.example"}),
        (combined(user="Jane Doe"), {"user": "Jane Doe"}),
        (combined(user="j[0]"), {"user": "j[0]"}),
        (combined(request="POST /v1/search HTTP/2"), {"method": "POST"}),
        (combined(request="GET /v1/search HTTP/2.0"), {}),
        (combined(request="GET /v1/search HTTP/1.0"), {}),
        (combined(request="GET /v1/search"), {}),
        (combined(request="PROPFIND /v1/search HTTP/1.1"), {"method": "PROPFIND"}),
        (combined(request="GET /v1/search?q=a+b&x=%20 HTTP/1.1"), {"path": "/v1/search?q=a+b&x=%20"}),
        (combined(request="GET /a b/c HTTP/1.1"), {"path": "/a b/c"}),
        (combined(request="GET http://proxy.example/x HTTP/1.1"), {"path": "http://proxy.example/x"}),
        (combined(request='GET /say?q=\\"hi\\" HTTP/1.1'), {"path": "/say?q=%22hi%22"}),
        (combined(request="GET /tail\\\\ HTTP/1.1"), {"path": "/tail%5C"}),
        (combined(request="GET /caf\\xC3\\xA9\\x22\\t HTTP/1.1"), {"path": "/caf%C3%A9%22%09"}),
        (combined(request="GET /nul\\x00 HTTP/1.1"), {"path": "/nul%00"}),
        (combined(request="GET   /v1/search   HTTP/1.1"), {}),
        (combined(request="M-SEARCH /v1/search HTTP/1.1"), {"method": ""}),
        (combined(request="OPTIONS * HTTP/1.1"), {"method": "OPTIONS", "path": "*"}),
        (combined(request="lower case"), {"method": "", "path": "lower case"}),
        (combined(request="GET"), {"method": "", "path": "GET"}),
        (combined(request="GET HTTP/1.1"), {"method": "GET", "path": "HTTP/1.1"}),
        (combined(request="GET /caf\u00e9/漢字 HTTP/1.1"), {"path": "/café/漢字"}),
        (combined(request="-", status=408), {"method": "", "path": "-", "status": 408}),
        (combined(request="", status=400), {"method": "", "path": "-", "status": 400}),
        (combined(request="\\x16\\x03\\x01", status=400), {"method": "", "path": "\\x16\\x03\\x01", "status": 400}),
        (combined(request="get /v1/search HTTP/1.1"), {}),
        (combined(rest=' "https://x/\\"quoted\\"" "agent \\"7\\" [x] 200"'), {}),
        (combined(rest=' "" ""'), {}),
        (combined(status=100), {"status": 100}),
        (combined(status=599), {"status": 599}),
        (combined(at="01/Mar/2026:14:30:00 +0230"), {}),
        (combined(at="28/Feb/2026:22:00:00 -1400"), {}),
        (combined(at="29/Feb/2024:00:00:00 +0000"), {"occurred_at": dt.datetime(2024, 2, 29, tzinfo=dt.UTC)}),
    ],
)
@pytest.mark.parametrize("field", ["host", "user"])
def test_a_combined_line_is_one_request(line, expected, field):
    request = combined_parser(field)(line)

    known = {"host": "203.0.113.9", "user": "acme", "path": "/v1/search", "method": "GET", "status": 200} | expected
    assert request.customer == known[field]
    assert (request.path, request.method, request.status) == (known["path"], known["method"], known["status"])
    assert request.occurred_at == known.get("occurred_at", NOON)
    assert (request.units, request.latency_ms, request.reference) == (1, None, None)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "not in the combined"),
        ("junk", "not in the combined"),
        ("{}", "looks like JSON"),
        (combined()[:40], "not in the combined"),
        (combined().replace('"GET', "GET"), "not in the combined"),
        (combined(request='GET /"x" HTTP/1.1'), "not in the combined"),
        (combined(request="GET /\\"), "not in the combined"),
        (combined(status="20"), "not in the combined"),
        (combined(status="2000"), "not in the combined"),
        (combined(status="２００"), "not in the combined"),
        (combined(status="-"), "not in the combined"),
        (combined(size="x"), "not in the combined"),
        (combined(status=999), "status 999"),
        (combined(status="000"), "status 0 "),
        (combined(user="-"), "names no user"),
        (combined(at="1/Mar/2026:12:00:00 +0000"), "Write a time like"),
        (combined(at="01/Mrz/2026:12:00:00 +0000"), "Write a time like"),
        (combined(at="01/mar/2026:12:00:00 +0000"), "Write a time like"),
        (combined(at="2026-03-01T12:00:00Z"), "Write a time like"),
        (combined(at="01/Mar/2026:12:00:00"), "Write a time like"),
        (combined(at="01/Mar/2026:12:00:00 UTC"), "Write a time like"),
        (combined(at="٠١/Mar/2026:12:00:00 +0000"), "Write a time like"),
        (combined(at="31/Feb/2026:12:00:00 +0000"), "no such date or time"),
        (combined(at="01/Mar/2026:24:00:00 +0000"), "no such date or time"),
        (combined(at="01/Mar/2026:12:60:00 +0000"), "no such date or time"),
        (combined(at="01/Mar/2026:12:00:60 +0000"), "no such date or time"),
        (combined(at="01/Mar/0000:12:00:00 +0000"), "no such date or time"),
        (combined(at="01/Mar/2026:12:00:00 +1500"), "Write a time like"),
        (combined(at="01/Mar/2026:12:00:00 +9999"), "Write a time like"),
        (combined(at="01/Mar/2026:12:00:00 -0060"), "Write a time like"),
        (combined(at="31/Dec/1999:23:59:59 +0000"), "year is not"),
        (combined(at="01/Jan/2101:00:00:00 +0000"), "year is not"),
        (combined(at="01/Jan/0001:00:00:00 +1400"), "no such date or time"),
        (combined(request="GET /nul\x00 HTTP/1.1"), "NUL"),
        (combined(user="a\x00b"), "NUL"),
    ],
)
def test_an_invalid_combined_line_is_rejected_with_a_reason(line, reason):
    with pytest.raises(LineRejected, match=reason):
        combined_parser("user")(line)


@pytest.mark.parametrize("request_line", ['\\"' * 50_000, "x" * 100_000, '"' * 100_000, " " * 100_000, "[" * 100_000])
def test_a_long_invalid_line_is_refused_in_no_time(request_line):
    started = time.monotonic()

    with pytest.raises(LineRejected):
        combined_parser("user")(f"{combined(request=request_line)[:-70]}\x00")

    assert time.monotonic() - started < 1


@pytest.mark.parametrize("field", ["user_id", "email", "api_key_prefix"])
def test_the_combined_format_knows_hosts_and_users_only(field):
    with pytest.raises(ValueError, match=field):
        combined_parser(field)


FRONTS = [
    "api.example.com:443 ",
    "api.example.com ",
    "_ ",
    "- ",
    "127.0.0.1 - ",
    "203.0.113.7, ",
    "203.0.113.7, 198.51.100.9, ",
    '"203.0.113.7, 10.0.0.1" ',
    "Nov 20 10:00:00 gw-1 nginx[2869]: ",
    "Nov  5 10:00:00 gw-1 nginx[2869]: ",
    "Nov 20 10:00:00 gw-1 nginx: ",
    "<190>Nov 20 10:00:00 gw-1 nginx: ",
    "<190>1 2026-11-20T10:00:00Z gw-1 nginx 2869 - - ",
    "2026-11-20T10:00:00.123456789Z ",
    "2026-11-20T10:00:00.123456789Z stdout F ",
    "nginx-1 | ",
    "nginx-1  | ",
    "20/Nov/2026 10:00:00 ",
]


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("client", ["203.0.113.7", "2001:db8::7", "client.example"])
@pytest.mark.parametrize("user", ["-", "acme"])
@pytest.mark.parametrize("field", ["host", "user"])
def test_a_line_with_a_column_before_the_host_is_rejected(front, client, user, field):
    with pytest.raises(LineRejected, match="stands before the host"):
        combined_parser(field)(front + combined(host=client, user=user))


@pytest.mark.parametrize("identity", ["-", "jane", "unknown"])
def test_a_line_may_have_an_identity(identity):
    line = combined(host="203.0.113.7").replace(" - ", f" {identity} ", 1)

    assert combined_parser("host")(line).customer == "203.0.113.7"
