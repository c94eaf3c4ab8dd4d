"""The normal form of endpoints: RFC 3986, 5.4 and 6.2, and variants of clients and gateways."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.values.paths import endpoint_as_stored, normal_endpoint, path_of_decoded

# RFC 3986, 5.4.1 and 5.4.2, of the references that have a path: against the base http://a/b/c/d;p?q, whose
# folder is /b/c/, the target's path.
RFC_5_4 = [
    ("g", "/b/c/g"),
    ("./g", "/b/c/g"),
    ("g/", "/b/c/g/"),
    ("g?y", "/b/c/g"),
    ("g#s", "/b/c/g"),
    ("g?y#s", "/b/c/g"),
    (";x", "/b/c/;x"),
    ("g;x", "/b/c/g;x"),
    ("g;x?y#s", "/b/c/g;x"),
    (".", "/b/c/"),
    ("./", "/b/c/"),
    ("..", "/b/"),
    ("../", "/b/"),
    ("../g", "/b/g"),
    ("../..", "/"),
    ("../../", "/"),
    ("../../g", "/g"),
    ("../../../g", "/g"),
    ("../../../../g", "/g"),
    ("g.", "/b/c/g."),
    (".g", "/b/c/.g"),
    ("g..", "/b/c/g.."),
    ("..g", "/b/c/..g"),
    ("./../g", "/b/g"),
    ("./g/.", "/b/c/g/"),
    ("g/./h", "/b/c/g/h"),
    ("g/../h", "/b/c/h"),
    ("g;x=1/./y", "/b/c/g;x=1/y"),
    ("g;x=1/../y", "/b/c/y"),
    ("g?y/./x", "/b/c/g"),
    ("g?y/../x", "/b/c/g"),
    ("g#s/./x", "/b/c/g"),
    ("g#s/../x", "/b/c/g"),
]
# RFC 3986, 6.2.2 and 6.2.3; then variants seen in practice.
EQUIVALENT = [
    ("/%7efoo", "/~foo"),
    ("/%7Efoo", "/~foo"),
    ("/%3a", "/%3A"),
    ("/a%c2%b1b", "/a%C2%B1b"),
    ("/./b/../b/%63/%7bfoo%7d", "/b/c/%7Bfoo%7D"),
    ("/%41%42%5a%61%7A%30%39%2d%2E%5f", "/ABZaz09-._"),
    ("/a/%2e%2E/b", "/b"),
    ("/a/%2e/b", "/a/b"),
    ("/a%2Fb", "/a%2Fb"),
    ("/a%2fb", "/a%2Fb"),
    ("/a%3Fb", "/a%3Fb"),
    ("/a%00b", "/a%00b"),
    ("/%2541", "/%2541"),
    ("http://example.com", "/"),
    ("http://example.com/", "/"),
    ("http://example.com:/", "/"),
    ("http://example.com:80/", "/"),
    ("HTTP://www.EXAMPLE.com/a", "/a"),
    ("https://alice:secret@example.com:443/v1/documents/42?token=x#f", "/v1/documents/42"),
    ("https://example.com?token=x", "/"),
    ("wss://example.com/v1/stream", "/v1/stream"),
    ("http://example.com//v1/../v2", "/v2"),
    ("http:///v1", "/v1"),
    ("/v1//documents/42", "/v1/documents/42"),
    ("//v1/documents/42", "/v1/documents/42"),
    ("///", "/"),
    ("/v1/documents//", "/v1/documents/"),
    ("/v1/documents/42/", "/v1/documents/42/"),
    ("/a//../b", "/b"),
    ("/..", "/"),
    ("/a/..", "/"),
    ("/a?token=secret", "/a"),
    ("/a#token", "/a"),
    ("/a#x?y", "/a"),
    ("?token=secret", "/"),
    ("#token", "/"),
    ("/a b", "/a%20b"),
    ("/a%20b", "/a%20b"),
    ('/a"<b>\\c|d^e`f', "/a%22%3Cb%3E%5Cc%7Cd%5Ee%60f"),
    ("/a[1]", "/a%5B1%5D"),
    ("/a\r\n\tb\x7f", "/a%0D%0A%09b%7F"),
    ("/caf\u00e9/\u6f22", "/caf%C3%A9/%E6%BC%A2"),
    ("/caf%c3%a9/%e6%bc%a2", "/caf%C3%A9/%E6%BC%A2"),
    ("/100%", "/100%25"),
    ("/%zz", "/%25zz"),
    ("/%2%35", "/%2525"),
    ("/v1/items/{id}", "/v1/items/{id}"),
    ("/\ud800", "/%3F"),
]
CODES = [
    *("translate", "images.generate", "POST:/x", "GET /v1//x", "v1/items//x", "*", "*.png", "-", "a b", "caf\u00e9"),
    *("100%", "a%41", "../x", "com.example.translate.v2", "urn:uuid:1", "grpc://svc//Method", "someone@example.com"),
    *("http:", "httpx://a//b", "x" * 2_000),
]


@pytest.mark.parametrize(("reference", "path"), RFC_5_4)
def test_a_path_loses_its_dot_segments_as_rfc_3986_resolves_them(reference, path):
    assert normal_endpoint(f"/b/c/{reference}") == path


@pytest.mark.parametrize(("spelt", "normal"), EQUIVALENT)
def test_spellings_of_one_path_have_one_normal_form(spelt, normal):
    assert normal_endpoint(spelt) == normal


@pytest.mark.parametrize("code", CODES)
def test_a_code_stays_as_it_is(code):
    assert normal_endpoint(code) is code


@pytest.mark.parametrize(
    ("code", "kept"),
    [
        ("translate?token=secret", "translate"),
        ("translate#part", "translate"),
        ("amqp://alice:secret@broker/queue", "amqp://broker/queue"),
        ("model@2?x=y", "model@2"),
    ],
)
def test_a_code_loses_query_fragment_and_user_information(code, kept):
    assert normal_endpoint(code) == kept


ODD = st.lists(
    st.sampled_from(["/", "//", ".", "..", "%", "%2", "%41", "%2e", "%2F", "a", "http://", "@", ":", "?", "#", "é"])
).map("".join)


@given(st.text(alphabet=st.characters(exclude_categories=())) | ODD)
def test_normalizing_twice_changes_nothing_and_no_text_is_refused(text):
    normal = normal_endpoint(text)

    assert normal_endpoint(normal) == normal
    assert "?" not in normal
    assert "#" not in normal
    if normal.startswith("/"):
        assert "//" not in normal
        assert {".", ".."}.isdisjoint(normal.split("/"))
        assert normal.isascii()


@given(st.text() | ODD)
def test_a_path_that_a_server_decoded_is_never_cut_nor_decoded_again(text):
    path = "/" + text.replace("/", "")

    normal = normal_endpoint(path_of_decoded(path))

    assert normal.count("/") == 1
    assert text in {".", ".."} or "%" not in text or "%25" in normal
    assert "?" not in text or "%3F" in normal


@pytest.mark.parametrize("piece", ["/", "/..", "/.", "%", "%41", "a/", "/a%", "http://", "@", "?", "é", "//@"])
def test_a_long_text_is_normalized_quickly(piece):
    started = time.perf_counter()

    normal_endpoint("/" + piece * 100_000)
    normal_endpoint("x" + piece * 100_000)

    assert time.perf_counter() - started < 2


def test_a_query_string_is_stored_where_the_setting_keeps_it(settings):
    settings.KEEP_QUERY_STRINGS = True

    assert endpoint_as_stored("http://u:p@h/v1//x?a=/../b#token") == "/v1/x?a=/../b"
    assert endpoint_as_stored("/v1/x#token?a=b") == "/v1/x"
    assert endpoint_as_stored("/v1/x") == "/v1/x"


def test_a_query_string_is_not_stored_otherwise():
    assert endpoint_as_stored("/v1/x?token=secret") == "/v1/x"
