"""One line of a gateway's log becomes one request, or a reason why not; all lines are made up."""

import datetime as dt
import json
import time
from decimal import Decimal

import pytest

from usage.services.log_formats import LineRejected, combined_parser, csv_parser, jsonl_parser

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
        (combined(request='GET /say?q=\\"hi\\" HTTP/1.1'), {"path": '/say?q=\\"hi\\"'}),
        (combined(request="GET /tail\\\\ HTTP/1.1"), {"path": "/tail\\\\"}),
        (combined(request="GET /caf\u00e9/漢字 HTTP/1.1"), {"path": "/café/漢字"}),
        (combined(request="-", status=408), {"method": "", "path": "-", "status": 408}),
        (combined(request="", status=400), {"method": "", "path": "-", "status": 400}),
        (combined(request="\\x16\\x03\\x01", status=400), {"method": "", "path": "\\x16\\x03\\x01", "status": 400}),
        (combined(request="get /lower HTTP/1.1"), {"method": "", "path": "get /lower HTTP/1.1"}),
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
        ("{}", "not in the combined"),
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
        (combined(at="1/Mar/2026:12:00:00 +0000"), "not like"),
        (combined(at="01/Mrz/2026:12:00:00 +0000"), "not like"),
        (combined(at="01/mar/2026:12:00:00 +0000"), "not like"),
        (combined(at="2026-03-01T12:00:00Z"), "not like"),
        (combined(at="01/Mar/2026:12:00:00"), "not like"),
        (combined(at="01/Mar/2026:12:00:00 UTC"), "not like"),
        (combined(at="٠١/Mar/2026:12:00:00 +0000"), "not like"),
        (combined(at="31/Feb/2026:12:00:00 +0000"), "no such time"),
        (combined(at="01/Mar/2026:24:00:00 +0000"), "no such time"),
        (combined(at="01/Mar/2026:12:60:00 +0000"), "no such time"),
        (combined(at="01/Mar/0000:12:00:00 +0000"), "no such time"),
        (combined(at="01/Mar/2026:12:00:00 +1500"), "not like"),
        (combined(at="01/Mar/2026:12:00:00 +9999"), "not like"),
        (combined(at="01/Mar/2026:12:00:00 -0060"), "not like"),
        (combined(at="31/Dec/1999:23:59:59 +0000"), "year is not"),
        (combined(at="01/Jan/2101:00:00:00 +0000"), "year is not"),
        (combined(at="01/Jan/0001:00:00:00 +1400"), "no such time"),
        (combined(request="GET /nul\x00 HTTP/1.1"), "NUL"),
        (combined(user="a\x00b"), "NUL"),
    ],
)
def test_what_is_no_combined_line_is_rejected_with_a_reason(line, reason):
    with pytest.raises(LineRejected, match=reason):
        combined_parser("user")(line)


@pytest.mark.parametrize("request_line", ['\\"' * 50_000, "x" * 100_000, '"' * 100_000, " " * 100_000, "[" * 100_000])
def test_a_long_hostile_line_is_refused_in_no_time(request_line):
    started = time.monotonic()

    with pytest.raises(LineRejected):
        combined_parser("user")(f"{combined(request=request_line)[:-70]}\x00")

    assert time.monotonic() - started < 1


@pytest.mark.parametrize("field", ["user_id", "email", "api_key_prefix"])
def test_the_combined_format_knows_hosts_and_users_only(field):
    with pytest.raises(ValueError, match=field):
        combined_parser(field)


def record(**fields):
    return {"user_id": 7, "time": "2026-03-01T12:00:00Z", "endpoint": "search", "status": 200} | fields


def jsonl(line):
    return jsonl_parser("user_id")(line if isinstance(line, str) else json.dumps(line))


def test_a_json_line_may_say_everything():
    request = jsonl(
        record(path="/ignored", method="post", units=2.5, latency_ms=12, reference="r 1", unknown={"a": [1]})
    )

    assert (request.customer, request.path, request.method, request.status) == ("7", "search", "POST", 200)
    assert (request.units, request.latency_ms, request.reference) == (Decimal("2.5"), 12, "r 1")
    assert request.occurred_at == NOON


@pytest.mark.parametrize(
    "fields",
    [
        {"user_id": "7"},
        {"status": "200"},
        {"time": "2026-03-01T13:00:00.000+01:00"},
        {"time": "2026-03-01T12:00"},
        {"endpoint": None, "path": "search"},
        {"units": None, "latency_ms": None, "reference": None, "method": None},
        {"units": 1, "reference": ""},
        {"units": "1.0"},
    ],
)
def test_a_json_line_may_be_written_in_several_ways(fields):
    request = jsonl(record(**fields))

    assert (request.customer, request.path, request.status, request.occurred_at) == ("7", "search", 200, NOON)
    assert (request.units, request.latency_ms, request.reference) == (1, None, None)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("junk", "not JSON"),
        ("{", "not JSON"),
        ("{} {}", "not JSON"),
        ('{"user_id": 7,}', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"user_id": ' + "9" * 5000 + "}", "not JSON"),
        ("[]", "not a JSON object"),
        ("null", "not a JSON object"),
        ("7", "not a JSON object"),
        (record(user_id=None), "no user_id"),
        (record(user_id=""), "no user_id"),
        (record(user_id=True), "user_id is not a text"),
        (record(user_id=[7]), "user_id is not a text"),
        (record(user_id=7.0), "user_id is not a text"),
        (record(time=None), "no time"),
        (record(time=1772366400), "time '1772366400' cannot be read"),
        (record(time="yesterday"), "cannot be read"),
        (record(time="2026-02-30"), "cannot be read"),
        (record(time="1999-12-31T23:59:59Z"), "cannot be read"),
        (record(endpoint=None), "no path"),
        (record(endpoint={}), "endpoint is not a text"),
        (record(status=None), "no status"),
        (record(status=99), "status '99' is not"),
        (record(status=600), "status '600' is not"),
        (record(status=999), "status '999' is not"),
        (record(status=-200), "status '-200' is not"),
        (record(status="2OO"), "status '2OO' is not"),
        (record(status="２００"), "status"),
        (record(status=200.5), "status is not a text"),
        (record(units=0), "units cannot be read"),
        (record(units=-1), "units cannot be read"),
        (record(units="1e3"), "units cannot be read"),
        (record(units=1.1234567), "units cannot be read"),
        (record(units=True), "units cannot be read"),
        (json.dumps(record()).replace("200", '200, "units": NaN'), "units cannot be read"),
        (json.dumps(record()).replace("200", '200, "units": 1e999999999'), "units cannot be read"),
        (record(latency_ms=-1), "latency_ms"),
        (record(latency_ms=2_147_483_648), "latency_ms"),
        (record(latency_ms="fast"), "latency_ms"),
        (record(method="A" * 11), "method"),
        (record(method=["GET"]), "method is not a text"),
        (record(reference="r" * 256), "reference"),
        (record(endpoint="nul\x00"), "NUL"),
        (record(reference="nul\x00"), "NUL"),
        (record(user_id="\ud800"), "surrogate"),
        (record(endpoint="\udfff"), "surrogate"),
    ],
)
def test_what_is_no_json_line_is_rejected_with_a_reason(line, reason):
    with pytest.raises(LineRejected, match=reason):
        jsonl(line)


@pytest.mark.parametrize(
    ("header", "line"),
    [
        ("user_id,time,endpoint,status", "7,2026-03-01T12:00:00Z,search,200"),
        ("status,endpoint,time,user_id", "200,search,2026-03-01T12:00:00Z,7"),
        ("user_id,time,path,status", "7,2026-03-01T12:00:00Z,search,200"),
        ('\ufeff"user_id", time ,"endpoint",status', '7,2026-03-01T12:00:00Z,"search",200'),
        ("user_id,time,endpoint,status,units,note", "7,2026-03-01T12:00:00Z,search,200,,whatever"),
    ],
)
def test_a_csv_line_is_read_under_its_header(header, line):
    request = csv_parser("user_id", header)(line)

    assert (request.customer, request.path, request.status, request.occurred_at) == ("7", "search", 200, NOON)
    assert request.units == 1


def test_a_csv_value_may_hold_commas_and_quotes():
    request = csv_parser("user_id", "user_id,time,endpoint,status,reference")(
        '7,2026-03-01T12:00:00Z,"/a,b",200,"say ""hi"", twice"'
    )

    assert (request.path, request.reference) == ("/a,b", 'say "hi", twice')


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "0 values under 4"),
        ("7,2026-03-01T12:00:00Z,search", "3 values under 4"),
        ("7,2026-03-01T12:00:00Z,search,200,", "5 values under 4"),
        ('7,2026-03-01T12:00:00Z,"search,200', "not CSV"),
        ('7,2026-03-01T12:00:00Z,"sea"rch,200', "not CSV"),
        (",2026-03-01T12:00:00Z,search,200", "no user_id"),
        ("7,,search,200", "no time"),
        ("7,2026-03-01T12:00:00Z,,200", "no path"),
        ("7,2026-03-01T12:00:00Z,search,", "no status"),
        ("7,2026-03-01T12:00:00Z,sea\x00rch,200", "NUL"),
        ("7,2026-03-01T12:00:00Z," + "x" * 200_000 + ",200", "not CSV"),
    ],
)
def test_what_is_no_csv_line_is_rejected_with_a_reason(line, reason):
    with pytest.raises(LineRejected, match=reason):
        csv_parser("user_id", "user_id,time,endpoint,status")(line)


@pytest.mark.parametrize(
    ("header", "missing"),
    [
        ("", "user_id, time, status, endpoint"),
        ("user_id,time,status", "endpoint"),
        ("time,endpoint,status", "user_id"),
        ("User_Id,time,endpoint,status", "user_id"),
        ("user_id;time;endpoint;status", "user_id, time, status, endpoint"),
    ],
)
def test_a_header_that_lacks_a_field_is_refused(header, missing):
    with pytest.raises(ValueError, match=f"lacks: {missing}"):
        csv_parser("user_id", header)
