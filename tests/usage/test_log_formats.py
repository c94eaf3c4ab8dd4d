"""One line of a gateway's log is parsed into one request or rejected with a reason; all lines are made up."""

import datetime as dt
import json
from decimal import Decimal

import pytest

from usage.services.imports.records import csv_parser, jsonl_parser
from usage.services.imports.reported import LineRejected

NOON = dt.datetime(2026, 3, 1, 12, 0, 0, tzinfo=dt.UTC)


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
        {"status": 200.0},
        {"status": " 200 "},
        {"time": "2026-03-01T12:00:00.000000000Z"},
        {"time": "2026-03-01t12:00:00z"},
        {"time": "2026-03-01T12:00:00+0000"},
        {"time": "2026-03-01T13:00:00+0100"},
        {"time": "2026-03-01 12:00:00Z"},
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
        (record(time=17723664), "time '17723664' cannot be read"),
        (record(time=-1772366400), "cannot be read"),
        (record(time=True), "time 'True' cannot be read"),
        (record(time=[1772366400]), "cannot be read"),
        (record(time="1772366400 "), "cannot be read"),
        (record(time="32/Mar/2026:12:00:00 +0000"), "no such date or time"),
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
        (record(status=200.5), "status '200.5' is not"),
        (record(status=True), "status 'True' is not"),
        (record(status=1e300), "status"),
        (record(units=-1), "units cannot be read"),
        (record(units="1e3"), "units cannot be read"),
        (record(units=1.1234567), "units cannot be read"),
        (record(units=True), "units cannot be read"),
        (json.dumps(record()).replace("200", '200, "units": NaN'), "units cannot be read"),
        (json.dumps(record()).replace("200", '200, "units": 1e999999999'), "units cannot be read"),
        (record(endpoint="nul\x00"), "NUL"),
        (record(user_id="\ud800"), "surrogate"),
        (record(endpoint="\udfff"), "surrogate"),
    ],
)
def test_an_invalid_json_line_is_rejected_with_a_reason(line, reason):
    with pytest.raises(LineRejected, match=reason):
        jsonl(line)


@pytest.mark.parametrize(
    ("header", "line"),
    [
        ("user_id,time,endpoint,status", "7,2026-03-01T12:00:00Z,search,200"),
        ("status,endpoint,time,user_id", "200,search,2026-03-01T12:00:00Z,7"),
        ("user_id,time,path,status", "7,2026-03-01T12:00:00Z,search,200"),
        ('"user_id", time ,"endpoint",status', '7,2026-03-01T12:00:00Z,"search",200'),
        ("User_ID,TIME,Endpoint,Status", "7,2026-03-01T12:00:00Z,search,200"),
        ("USER_ID,user_id,time,path,status", "8,7,2026-03-01T12:00:00Z,search,200"),
        ("user_id;time;endpoint;status", "7;2026-03-01T12:00:00Z;search;200"),
        ("user_id\ttime\tendpoint\tstatus", "7\t2026-03-01T12:00:00Z\tsearch\t200"),
        ("user_id|time|endpoint|status", "7|2026-03-01T12:00:00Z|search|200"),
        ('"a,b";user_id;time;endpoint;status', "x,y;7;2026-03-01T12:00:00Z;search;200"),
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
def test_an_invalid_csv_line_is_rejected_with_a_reason(line, reason):
    with pytest.raises(LineRejected, match=reason):
        csv_parser("user_id", "user_id,time,endpoint,status")(line)


@pytest.mark.parametrize(
    ("header", "missing"),
    [
        ("", "user_id, time, status, endpoint"),
        ("user_id,time,status", "endpoint"),
        ("time,endpoint,status", "user_id"),
        ("user;time;endpoint;status", r"user_id\. Parted by semicolons it names: user, time, endpoint, status\."),
        ("user_id:time:endpoint:status", r"user_id, time, status, endpoint\. Parted by commas it names: user_id:time"),
        ("user_id time endpoint status", "user_id, time, status, endpoint"),
    ],
)
def test_a_header_that_lacks_a_field_is_refused(header, missing):
    with pytest.raises(ValueError, match=f"lacks: {missing}"):
        csv_parser("user_id", header)


@pytest.mark.parametrize(
    ("latency", "kept"),
    [
        *((2, 2), (0, 0), ("12", 12), (" 12 ", 12), (2.155389, 2), (12.7, 13), (0.5, 1), (0.008, 0), ("1e3", 1000)),
        *((2_147_483_647, 2_147_483_647), (2_147_483_647.5, None), (2_147_483_648, None), ("9" * 5_000, None)),
        *((-1, None), (-0.5, None), ("-1", None), ("-", None), ("fast", None), ("0.008s", None), ("", None)),
        *((None, None), (True, None), ([12], None), ({}, None), ("NaN", None), ("1e99", None), ("\u0661", None)),
    ],
)
def test_a_latency_is_rounded_and_one_that_says_nothing_is_left_out(latency, kept):
    assert jsonl(record(latency_ms=latency)).latency_ms == kept


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999999999"])
def test_a_latency_that_is_not_a_number_is_left_out(number):
    assert jsonl(json.dumps(record()).replace("200", f'200, "latency_ms": {number}')).latency_ms is None


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"method": "get"}, ("GET", None)),
        ({"method": "A" * 11}, ("", None)),
        ({"method": "G T"}, ("", None)),
        ({"method": ["GET"]}, ("", None)),
        ({"method": "nul\x00"}, ("", None)),
        ({"reference": 7}, ("", "7")),
        ({"reference": "r" * 256}, ("", "r" * 255)),
        ({"reference": "nul\x00"}, ("", None)),
        ({"reference": {"a": 1}}, ("", None)),
        ({"user_agent": "\x00", "bytes": -1, "referer": [None]}, ("", None)),
    ],
)
def test_an_odd_method_or_reference_is_left_out(fields, kept):
    request = jsonl(record(**fields))

    assert (request.method, request.reference) == kept


def test_digits_beyond_a_microsecond_are_cut():
    assert jsonl(record(time="2026-03-01T12:00:00.9999999Z")).occurred_at == NOON.replace(microsecond=999_999)
