from __future__ import annotations

import logging
import uuid

import pytest

from config.values.request_ids import RequestIdFilter, current_request_id, is_in_request, uuid7


@pytest.mark.parametrize("sent", ["a", "x" * 128, "A-b_c.d:e/f~!", "two words", "12345"])
def test_a_printable_id_is_kept(edge, sent):
    assert edge.get("/livez", HTTP_X_REQUEST_ID=sent).headers["X-Request-Id"] == sent


@pytest.mark.parametrize("sent", [None, "", " ", "x" * 129, "tab\there", "é", "\x7f", "line\nbreak"])
@pytest.mark.parametrize("path", ["/livez", "/nope", "/", "/admin/plain/bug"])
def test_any_other_id_is_replaced_by_one_that_sorts_by_time(edge, sent, path):
    extra = {} if sent is None else {"HTTP_X_REQUEST_ID": sent}

    made = uuid.UUID(edge.get(path, **extra).headers["X-Request-Id"])

    assert (made.version, made.variant) == (7, uuid.RFC_4122)


def test_a_uuid7_holds_the_time_and_all_random_bits():
    assert str(uuid7(milliseconds=0x017F22E279B0, random_bits=(0xCC3 << 62) | 0x18C4DC0C0C07398F)) == (
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
    )


def test_log_lines_carry_the_id_of_their_request():
    record = logging.LogRecord("x", logging.INFO, "", 0, "", (), None)
    token = current_request_id.set("abc")

    RequestIdFilter().filter(record)

    current_request_id.reset(token)
    assert record.request_id == "abc"


def test_a_call_that_names_itself_by_a_dash_is_still_a_call(edge, monkeypatch):
    seen = []
    monkeypatch.setattr("config.health.OpenView.initial", lambda *_, **__: seen.append(is_in_request()))

    answer = edge.get("/livez", HTTP_X_REQUEST_ID="-")

    assert (answer.headers["X-Request-Id"], seen, is_in_request()) == ("-", [True], False)
