from __future__ import annotations

import re
import threading
import time

import pytest
from django.db import connection, connections

from config.http import rate_windows
from config.http.rate_windows import RateWindows

RATE_LIMITED = {"detail": "Rate limit exceeded. Please try again later.", "code": "rate_limited"}


@pytest.fixture(autouse=True)
def _early_in_a_minute():
    """Start no test in the last seconds of a minute, in which its window would end."""
    if time.time() % 60 > 55:
        time.sleep(60.05 - time.time() % 60)


def test_every_response_has_rate_limit_headers(edge, settings):
    settings.RATE_LIMIT_PER_KEY = 5

    first, second = (edge.get("/v2/echo", HTTP_X_API_KEY="7") for _ in range(2))

    assert first.headers["X-RateLimit-Limit"] == "5"
    assert [each.headers["X-RateLimit-Remaining"] for each in (first, second)] == ["4", "3"]
    assert 0 < int(first.headers["X-RateLimit-Reset"]) - time.time() <= 60
    assert first.headers["RateLimit-Policy"] == '"default";q=5;w=60'
    assert re.fullmatch(r'"default";r=4;t=([1-9]|[1-5]\d|60)', first.headers["RateLimit"])
    assert "Retry-After" not in first.headers


def test_beyond_the_limit_every_call_is_a_429_with_the_contracts_body(edge, settings):
    settings.RATE_LIMIT_PER_KEY = 5
    statuses = [edge.get("/v2/echo", HTTP_X_API_KEY="7").status_code for _ in range(5)]

    refused = [edge.get("/v2/echo", HTTP_X_API_KEY="7") for _ in range(2)]

    assert statuses == [200] * 5
    for answer in refused:
        assert (answer.status_code, answer.json()) == (429, RATE_LIMITED)
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
        assert answer.headers["X-RateLimit-Remaining"] == "0"


def test_each_key_has_a_limit_of_its_own_and_anonymous_calls_share_their_addresss(edge, settings):
    settings.RATE_LIMIT_PER_KEY = settings.RATE_LIMIT_PER_ADDRESS = 1

    assert edge.get("/v2/echo", HTTP_X_API_KEY="7").status_code == 200
    assert edge.get("/v2/echo", HTTP_X_API_KEY="8").status_code == 200
    assert edge.get("/v2/echo").status_code == 200
    assert edge.get("/v2/echo").status_code == 429
    assert edge.get("/v2/echo", REMOTE_ADDR="198.51.100.1").status_code == 200


def test_a_header_that_callers_can_forge_gives_no_new_limit(edge, settings):
    settings.RATE_LIMIT_PER_ADDRESS = 1

    statuses = [edge.get("/v2/echo", HTTP_X_FORWARDED_FOR=f"198.51.100.{n}").status_code for n in range(3)]

    assert statuses == [200, 429, 429]


def test_service_keys_have_no_limit(edge, settings):
    settings.RATE_LIMIT_PER_KEY = settings.RATE_LIMIT_PER_ADDRESS = 1

    answers = [edge.get("/v2/echo", HTTP_X_API_KEY="service") for _ in range(4)]

    assert {answer.status_code for answer in answers} == {200}
    assert "X-RateLimit-Limit" not in answers[0].headers


def test_guessing_keys_uses_up_the_addresss_limit(edge, settings):
    settings.RATE_LIMIT_PER_ADDRESS = 3

    answers = [edge.get("/v2/guarded", HTTP_X_API_KEY="wrong") for _ in range(5)]

    assert [answer.status_code for answer in answers] == [401, 401, 401, 429, 429]
    assert answers[0].headers["X-RateLimit-Remaining"] == "2"
    assert answers[4].json() == RATE_LIMITED
    assert edge.get("/v2/echo", HTTP_X_API_KEY="7").status_code == 200


def test_a_failed_sign_in_counts_once(edge, settings):
    settings.RATE_LIMIT_PER_ADDRESS = 3

    statuses = [edge.post("/v2/sign-in", {}, "application/json").status_code for _ in range(4)]

    assert statuses == [401, 401, 401, 429]


def test_unknown_paths_count_too(edge, settings):
    settings.RATE_LIMIT_PER_ADDRESS = 2

    answers = [edge.get("/v2/nope") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [404, 404, 429]
    assert answers[0].headers["X-RateLimit-Remaining"] == "1"
    assert answers[2].json() == RATE_LIMITED


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/api/docs", "/api/schema"])
def test_health_and_documents_are_never_limited(edge, settings, path):
    settings.RATE_LIMIT_PER_ADDRESS = 1

    answers = [edge.get(path) for _ in range(3)]

    assert {answer.status_code for answer in answers} == {200}
    assert "X-RateLimit-Limit" not in answers[0].headers


def test_two_processes_together_never_exceed_the_limit(db):
    processes = [RateWindows(), RateWindows()]

    passed = [processes[turn % 2].count("key:1", 300).allowed for turn in range(400)]

    assert sum(passed) == 300


def test_a_small_limit_is_exact_over_processes(db):
    processes = [RateWindows() for _ in range(3)]

    counts = [processes[turn % 3].count("key:1", 5) for turn in range(9)]

    assert [count.remaining for count in counts] == [4, 3, 2, 1, 0, 0, 0, 0, 0]
    assert [count.allowed for count in counts] == [True] * 5 + [False] * 4


def test_most_calls_run_no_query(db, django_assert_num_queries):
    process = RateWindows()

    with django_assert_num_queries(2):
        remaining = [process.count("key:1", 6_000).remaining for _ in range(240)]

    assert remaining == list(range(5_999, 5_759, -1))


def test_a_caller_known_to_be_over_the_limit_runs_no_query(db, django_assert_num_queries):
    process = RateWindows()
    process.count("key:1", 1)
    process.count("key:1", 1)

    with django_assert_num_queries(0):
        assert not process.count("key:1", 1).allowed


def test_a_new_minute_starts_afresh(db):
    process = RateWindows()
    process.count("key:1", 1)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE config_ratewindow SET minute = minute - 1, taken = 77")
    process.forget()

    assert process.count("key:1", 1).allowed


def test_windows_of_long_ago_are_swept(db, monkeypatch):
    monkeypatch.setattr(rate_windows, "_ROWS_SWEPT_EVERY", 1)
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO config_ratewindow VALUES ('key:old', 1, 1)")

    RateWindows().count("key:1", 1)

    with connection.cursor() as cursor:
        cursor.execute("SELECT subject FROM config_ratewindow")
        assert cursor.fetchall() == [("key:1",)]


def test_a_limit_that_changes_in_its_minute_lets_no_more_pass_than_the_larger_one(db):
    processes = [RateWindows(), RateWindows()]

    passed = [processes[turn % 2].count("key:1", 50 if turn < 60 else 80).allowed for turn in range(200)]

    assert sum(passed[:60]) == 50
    assert sum(passed) <= 80


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("limit", "calls"), [(1, 5), (7, 5), (100, 40), (1_000, 150)])
def test_threads_of_two_processes_pass_exactly_the_limit_at_once(limit, calls):
    processes = [RateWindows(), RateWindows()]
    barrier = threading.Barrier(8)
    passed: list[bool] = []

    def call(process):
        barrier.wait()
        passed.extend(process.count("key:1", limit).allowed for _ in range(calls))
        connections.close_all()

    threads = [threading.Thread(target=call, args=(processes[number % 2],)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(passed) == limit
