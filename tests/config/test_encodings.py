"""Compressed bodies: every call with a JSON body accepts gzip, up to the limit of the decompressed size."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest

from config.http.encodings import Inflated, inflate
from tests.factories import customer_with
from tests.usage.gateway import Gateway
from tests.usage.metering import price

pytestmark = pytest.mark.django_db
LIMIT = 1024 * 1024
ZIPPED = gzip.compress(b'{"a": 1}')


def post(edge, body, encoding="gzip", path="/v2/body"):
    return edge.post(path, body, content_type="application/json", HTTP_CONTENT_ENCODING=encoding)


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", " x-gzip "])
def test_a_gzip_body_is_read(edge, encoding):
    assert post(edge, gzip.compress(b'{"a": 1}'), encoding).json() == {"a": 1}


def test_a_gzip_body_of_two_members_is_read_as_one(edge):
    assert post(edge, gzip.compress(b'{"a":') + gzip.compress(b" 1}")).json() == {"a": 1}


@pytest.mark.parametrize("encoding", ["", "identity"])
def test_a_body_without_an_encoding_is_read_as_it_is(edge, encoding):
    assert post(edge, b'{"a": 1}', encoding).json() == {"a": 1}


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "compress", "gzip, gzip", "gzip, identity", "nonsense"])
def test_another_encoding_is_a_415_that_says_which_is_read(edge, encoding):
    answer = post(edge, b'{"a": 1}', encoding)

    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert "gzip" in answer.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1}',
        gzip.compress(b'{"a": 1}')[:-1],
        gzip.compress(b'{"a": 1}') + b"x",
        zlib.compress(b"{}"),
        b"\x1f\x8b",
    ],
    ids=["not compressed", "cut short", "with something behind", "zlib", "only its start"],
)
def test_a_damaged_gzip_body_is_a_400(edge, body):
    answer = post(edge, body)

    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_json")


def test_a_body_that_inflates_beyond_the_limit_is_a_413(edge):
    whole = json.dumps({"a": "x" * (LIMIT - 9)}).encode()

    assert len(whole) == LIMIT
    assert post(edge, gzip.compress(whole)).status_code == 200
    beyond = post(edge, gzip.compress(whole + b" "))
    assert (beyond.status_code, beyond.json()["code"]) == (413, "body_too_large")


def test_a_gzip_bomb_is_stopped_at_the_first_byte_above_the_limit():
    packing = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packing.compress(bytes(LIMIT)) for _ in range(100)) + packing.flush()

    with pytest.raises(Inflated):
        inflate(bomb, limit=LIMIT)
    with pytest.raises(Inflated):
        inflate(gzip.compress(b"") * 50_000, limit=LIMIT)


def test_gateways_may_compress_charges_and_events():
    user = customer_with(10)
    price("translate", 2)
    gateway = Gateway()
    zipped = {"Content-Encoding": "gzip"}
    event = {"id": "one", "source": "gateway", "subject": str(user.pk), "type": "translate"}

    charge = gateway.post(
        "/v2/charges", gzip.compress(json.dumps({"user_id": user.pk, "endpoint": "translate"}).encode()), headers=zipped
    )
    events = gateway.post("/v2/events", gzip.compress(json.dumps([event]).encode()), key=None, headers=zipped)
    bomb = gateway.post("/v2/events", gzip.compress(bytes(5 * LIMIT + 1)), key=None, headers=zipped)

    assert (charge.status_code, charge.json()["credits"]) == (201, 2)
    assert (events.status_code, events.json()["accepted"]) == (202, 1), events.content
    assert bomb.status_code == 413
