from __future__ import annotations

import io
import json
from decimal import Decimal

import pytest
from rest_framework.exceptions import ValidationError

from config.http.parsers import MalformedJson, parse_strictly


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


def test_numbers_stay_exact():
    assert parse_strictly(b'[1, 0.1, 1e2, -2.50, 0e999999999, -0.0]') == [
        1, Decimal("0.1"), Decimal("1e2"), Decimal("-2.50"), 0, 0,
    ]  # fmt: skip
    assert isinstance(parse_strictly(b"0.1"), Decimal)


def test_twenty_levels_are_read():
    assert parse_strictly(nested(20))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(nested(21), id="21 levels"),
        pytest.param(b"[" * 21 + b"]" * 21, id="21 lists"),
        pytest.param(nested(100_000), id="100 000 levels"),
        pytest.param(b"[" * 100_000, id="100 000 openings"),
        pytest.param(b'{"a":1,"a":1}', id="same key"),
        pytest.param(b'{"b":{"a":1,"\\u0061":2}}', id="same key, escaped"),
        pytest.param(b'{"a":NaN}', id="NaN"),
        pytest.param(b'{"a":Infinity}', id="Infinity"),
        pytest.param(b'{"a":-Infinity}', id="-Infinity"),
        pytest.param(b'{"a":' + b"9" * 5000 + b"}", id="endless integer"),
        pytest.param(b'{"a":1e999999999}', id="huge exponent"),
        pytest.param(b'{"a":1e-999999999}', id="tiny exponent"),
        pytest.param(b'{"a":1e99999999999999999999}', id="exponent beyond Decimal"),
        pytest.param(b'{"a":0.' + b"1" * 5000 + b"}", id="endless fraction"),
        pytest.param(b'{"a":"\xff"}', id="not UTF-8"),
        pytest.param('{"a":1}'.encode("utf-16"), id="UTF-16"),
        pytest.param(b'\xef\xbb\xbf{"a":1}', id="byte order mark"),
        pytest.param(b'{"a":"\xed\xa0\x80"}', id="raw surrogate"),
        pytest.param(b'{"a":"\x00"}', id="raw NUL"),
        pytest.param(b"{", id="unfinished"),
        pytest.param(b"{'a':1}", id="single quotes"),
        pytest.param(b'{"a":1,}', id="trailing comma"),
        pytest.param(b'{"a":01}', id="leading zero"),
        pytest.param(b'{"a":1} {}', id="two values"),
        pytest.param(b" ", id="blank"),
    ],
)
def test_json_that_parsers_read_differently_is_malformed(body):
    with pytest.raises(MalformedJson):
        parse_strictly(body)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (rb'{"note":"a\u0000b"}', "note"),
        (rb'{"note":"\ud800"}', "note"),
        (rb'{"note":"\udc00\ud800"}', "note"),
        (rb'{"metadata":{"k":["x","\uDFFF"]}}', "metadata.k.1"),
        (rb'{"metadata":{"k\u0000":1}}', "metadata"),
        (rb'{"\ud800":1}', "non_field_errors"),
    ],
)
def test_nul_and_lone_surrogates_are_refused_and_their_place_named(body, place):
    with pytest.raises(ValidationError) as refused:
        parse_strictly(body)

    assert set(refused.value.detail) == {place}


@pytest.mark.parametrize("body", [rb'{"a":"\ud83d\ude00"}', rb'{"a":"\\u0000"}', '{"a":"😀"}'.encode()])
def test_whole_characters_and_mere_backslashes_pass(body):
    assert parse_strictly(body)


def post(edge, body, content_type="application/json", path="/v2/body", **extra):
    return edge.generic("POST", path, body, content_type=content_type, **extra)


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"1", b"null", b"true"])
def test_a_body_that_is_no_object_is_invalid(edge, body):
    answer = post(edge, body)

    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid"
    assert answer.json()["errors"] == {"non_field_errors": ["The body must be a JSON object."]}


def test_malformed_json_has_its_own_code(edge):
    answer = post(edge, b"{")

    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_json")


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/*", "*/*", "application/x-www-form-urlencoded",
                                          "multipart/form-data; boundary=x", "application/json; charset=latin-1",
                                          "application/jsonx", "application/json, text/plain", "json"])  # fmt: skip
def test_any_other_media_type_is_a_415(edge, content_type):
    answer = post(edge, b'{"a":1}', content_type)

    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"]
)
def test_json_in_utf8_is_read(edge, content_type):
    assert post(edge, '{"a":"é"}'.encode(), content_type).json() == {"a": "é"}


def test_an_empty_body_counts_as_an_empty_object(edge):
    assert post(edge, b"", "").json() == {}
    assert post(edge, b"", "application/json").json() == {}


def test_a_body_of_the_largest_size_is_read_and_one_byte_more_is_a_413(edge, settings):
    settings.JSON_BODY_BYTES = 100
    body = json.dumps({"a": "x" * 92}).encode()

    assert len(body) == 101
    assert post(edge, body.replace(b"x", b"", 1)).status_code == 200
    answer = post(edge, body)

    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_a_body_that_came_in_chunks_is_read(edge):
    chunked = {
        "CONTENT_LENGTH": "",
        "HTTP_TRANSFER_ENCODING": "chunked",
        "wsgi.input": io.BytesIO(b'{"a":1}'),
        "CONTENT_TYPE": "application/json",
    }

    answer = edge.generic("POST", "/v2/body", b"", "application/json", **chunked)

    assert answer.json() == {"a": 1}
