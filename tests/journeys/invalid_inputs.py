"""What malicious or broken clients send, as tables: bodies, values, path parts, headers, methods."""

from __future__ import annotations

from typing import Any

LARGEST_BODY = 1024 * 1024
_JSON = "application/json"

# name → (body, content type, the status where a body is taken; None: whatever is no 5xx)
BODIES: dict[str, tuple[bytes, str, int | None]] = {
    "nothing": (b"", _JSON, None),
    "escaped NUL": (b'{"x":"\\u0000"}', _JSON, 400),
    "escaped NUL in a key": (b'{"\\u0000":1}', _JSON, 400),
    "NUL far inside": (b'{"metadata":{"a":[{"b":"\\u0000"}]}}', _JSON, 400),
    "lone surrogate": (b'{"x":"\\ud800"}', _JSON, 400),
    "lone surrogate in a key": (b'{"\\udfff":1}', _JSON, 400),
    "raw surrogate": (b'{"x":"\xed\xa0\x80"}', _JSON, 400),
    "raw NUL": (b'{"x":"\x00"}', _JSON, 400),
    "100k deep": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, _JSON, 400),
    "100k opened": (b"[" * 100_000, _JSON, 400),
    "same key twice": (b'{"email":"a@example.com","email":"b@example.com"}', _JSON, 400),
    "1 MiB and one byte": (b'{"x":"' + b"a" * (LARGEST_BODY - 7) + b'"}', _JSON, 413),
    "endless integer": (b'{"x":' + b"9" * 5_000 + b"}", _JSON, 400),
    "huge exponent": (b'{"x":1e999999999}', _JSON, 400),
    "NaN": (b'{"x":NaN}', _JSON, 400),
    "Infinity": (b'{"x":-Infinity}', _JSON, 400),
    "bad UTF-8": (b'{"x":"\xff\xfe"}', _JSON, 400),
    "UTF-16": ('{"x":1}'.encode("utf-16"), _JSON, 400),
    "byte order mark": (b'\xef\xbb\xbf{"x":1}', _JSON, 400),
    "cut short": (b'{"x":', _JSON, 400),
    "list": (b"[]", _JSON, 400),
    "null": (b"null", _JSON, 400),
    "text": (b'"x"', _JSON, 400),
    "form": (b"x=1", "application/x-www-form-urlencoded", 415),
    "multipart without a boundary": (b"--x", "multipart/form-data", 415),
    "XML": (b"<x/>", "application/xml", 415),
    "YAML": (b"x: 1", "application/yaml", 415),
    "any type": (b"{}", "*/*", 415),
    "odd type": (b"{}", "application/json; charset=utf-16; =;\xff".encode().decode("latin-1"), None),
    "unknown charset": (b"{}", "application/json; charset=klingon", 415),
}

# Values of one field of a body.
FIELD_VALUES: list[Any] = [
    None, True, "", " ", "\t\n", "1_000", "１２３", "٣", "1e5", "NaN", "-0", "+1", "0x10", -1, 0, 10**30, 2**63,
    -(2**63), 1.5, [], {}, [[]], {"a": {"b": 1}}, "a" * 5_000, "é" * 300, "\u202e\ufeff", "😀", "' OR 1=1 --", "%00",
    "2026-01-01T00:00:00+18:02", "2026-13-45T99:99:99Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00",
]  # fmt: skip

# Values of one query parameter, percent-encoded, and the status where it is known (None: any but 5xx).
QUERY_VALUES: dict[str, int | None] = {
    "": 400,
    "%20": 400,
    "%00": 400,
    "a%00b": 400,
    "1&{name}=1": 400,
    "%ED%A0%80": None,  # Django reads it as replacement characters: no surrogate comes through
    "%FF%FE": None,
    "%": None,
    "%zz": None,
    "1_000": None,
    "%EF%BC%91%EF%BC%92": None,  # full-width 12
    "NaN": None,
    "-1": None,
    "1e3": None,
    "9999999999999999999999": None,
    "9" * 5_000: None,
    "2026-01-01T00:00:00%2B18:02": None,
    "2026-01-01T00:00:00+02:00": None,
    "2026-01-01T24:00:00Z": None,
    "2026-W01-1": None,
    "0000-00-00": None,
    "0001-01-01T00:00:00%2B14:00": None,
    "9999-12-31": None,
    "2100-12-31": None,
    "[]": None,
    "'%20OR%201=1--": None,
    "%F0%9F%98%80": None,
    "eyJhbGciOiJub25lIn0": None,
}
# Values that must be refused, by the name of the parameter.
QUERY_REFUSALS: dict[str, tuple[str, ...]] = {
    "limit": ("1_000", "%EF%BC%91%EF%BC%92", "NaN", "-1", "0", "101", "1e3", "1.0", "+5", "9" * 5_000),
    "offset": ("1_000", "%EF%BC%91%EF%BC%92", "NaN", "-1", "2147483648", "1e3", "9" * 5_000),
    "cursor": ("x", "%F0%9F%98%80", "AAAA", "9" * 5_000, "eyJhbGciOiJub25lIn0"),
    "from": ("2026-01-01T00:00:00%2B18:02", "2026-01-01T00:00:00+02:00", "2026-W01-1", "20260101", "1999-12-31", "now"),
    "to": ("2026-01-01T00:00:00%2B14:01", "2026-01-01T24:00:00Z", "2101-01-01", "2026-02-30", "%EF%BC%92026-01-01"),
    "format": ("xml", "CSV", "html"),
    "period": ("weekly", "MONTHLY"),
    "status": ("none", "OPEN"),
    "state": ("none", "PENDING"),
    "type": ("none", "CREDIT"),
}

PATH_PARTS = (
    "%00", "1%00", "%ED%A0%80", "%FF", "1_000", "%EF%BC%91", "%D9%A3", "-1", "+1", "0x1", "1e3", "1.0", "NaN", "%20",
    "1%20", "9223372036854775808", "9" * 5_000, "..", "%2e%2e%2f", "1%2F", "1;x", "{{id}}", "%F0%9F%98%80", "null",
    "%27", "1,2",
)  # fmt: skip

# name → (what the environment of the call says, the status; None: as ever)
HEADERS: dict[str, tuple[dict[str, str], int | None]] = {
    "accepts HTML": ({"HTTP_ACCEPT": "text/html"}, None),
    "accepts images": ({"HTTP_ACCEPT": "image/png;q=1"}, None),
    "accepts nonsense": ({"HTTP_ACCEPT": ";;;/,\xff"}, None),
    "accepts 100 kB": ({"HTTP_ACCEPT": "a/b," * 25_000}, None),
    "foreign host": ({"HTTP_HOST": "evil.example"}, 400),
    "host with a blank": ({"HTTP_HOST": "a b"}, 400),
    "host cut short": ({"HTTP_HOST": "[::1"}, 400),
    "host beyond ASCII": ({"HTTP_HOST": "\xe9\xff"}, 400),
    "host with markup": ({"HTTP_HOST": "<script>"}, 400),
    "two hosts": ({"HTTP_HOST": "127.0.0.1,evil.example"}, 400),
    "request id beyond ASCII": ({"HTTP_X_REQUEST_ID": "\xff\xe9"}, None),
    "request id of 10 kB": ({"HTTP_X_REQUEST_ID": "a" * 10_000}, None),
    "request id with a line break": ({"HTTP_X_REQUEST_ID": "a\r\nSet-Cookie: a=b"}, None),
    "forwarded for nobody": ({"HTTP_X_FORWARDED_FOR": "\xff, ,999.1.1.1,::1%eth0"}, None),
    "a length that is none": ({"CONTENT_LENGTH": "abc"}, None),
    "a negative length": ({"CONTENT_LENGTH": "-1"}, None),
    "a length beyond the body": ({"CONTENT_LENGTH": "99"}, None),
    "in chunks": ({"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}, None),
    "a cookie beyond ASCII": ({"HTTP_COOKIE": "sessionid=\xff; csrftoken=\x01; =; ;"}, None),
    "a forged session": ({"HTTP_COOKIE": "sessionid=" + "a" * 32}, None),
    "another method in a header": ({"HTTP_X_HTTP_METHOD_OVERRIDE": "DELETE"}, None),
    "a range": ({"HTTP_RANGE": "bytes=0-0", "HTTP_IF_NONE_MATCH": "*"}, None),
    "languages": ({"HTTP_ACCEPT_LANGUAGE": "x" * 10_000 + ",\xff"}, None),
}

# Invalid credentials: the status where some are needed is 401.
CREDENTIALS: dict[str, dict[str, str]] = {
    "bearer beyond ASCII": {"HTTP_AUTHORIZATION": "Bearer \xff\xfe\xe9"},
    "bearer of 100 kB": {"HTTP_AUTHORIZATION": "Bearer " + "a" * 100_000},
    "bearer of dots": {"HTTP_AUTHORIZATION": "Bearer ..."},
    "bearer of nothing": {"HTTP_AUTHORIZATION": "Bearer "},
    "bearer unsigned": {"HTTP_AUTHORIZATION": "Bearer eyJhbGciOiJub25lIn0.eyJ1c2VyX2lkIjoxfQ."},
    "bearer with a deep header": {"HTTP_AUTHORIZATION": "Bearer " + "W1tb" * 20_000 + ".e30.e30"},
    "basic": {"HTTP_AUTHORIZATION": "Basic YTpi"},
    "scheme beyond ASCII": {"HTTP_AUTHORIZATION": "B\xe9arer a.b.c"},
    "key beyond ASCII": {"HTTP_X_API_KEY": "tb_live_\xff\xe9"},
    "key of 100 kB": {"HTTP_X_API_KEY": "a" * 100_000},
    "key with NUL": {"HTTP_X_API_KEY": "tb_live_\x00"},
    "empty key": {"HTTP_X_API_KEY": ""},
    "key as bearer": {"HTTP_AUTHORIZATION": "Bearer tb_live_abcdefghijkl"},
}

QUERIES = {
    "100 kB": "x=" + "a" * 100_000,
    "2 000 unknown parameters": "&".join(f"a{number}=1" for number in range(2_000)),
    "no names": "&&&=&;=%",
    "a key in the query": "api_key=tb_live_abc&X-API-KEY=tb_live_abc&access_token=a.b.c",
    "brackets": "a[]=1&a[b][c]=2&__proto__=1",
    "format of the framework": "format=api&_method=DELETE&_format=html",
}
METHODS = ("PROPFIND", "TRACE", "OPTIONS", "CONNECT", "BREW", "get", "G\xc9T", "A" * 1_000)
