"""Metered requests while the database is unavailable, by either policy, and their settlement afterwards."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest
from django.db import connection
from django.http import HttpResponse, StreamingHttpResponse
from django.test import RequestFactory
from django.utils import timezone

from config.rounds import Round
from ledger.models import Hold
from tests.factories import ApiKeyFactory, customer_with
from tests.ledger.tampering import tamper
from tests.usage.metered_services import captures, logged
from tests.usage.metering import charge, price
from tests.usage.outages import database_away
from usage.metering import metered
from usage.models import RequestLog
from usage.services.metered_requests import Announced
from usage.services.spool.files import Spool
from usage.services.spool.lines import from_line
from usage.services.spool.replaying import Replay, replay_spool

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("every_promise_is_kept")]


@pytest.fixture
def folder(settings, tmp_path) -> Path:
    settings.METERING_SPOOL = str(tmp_path / "spool")
    return tmp_path / "spool"


@pytest.fixture
def key(alice) -> str:
    price("search", 2)
    return ApiKeyFactory(user=alice).raw


def lines(folder: Path) -> list[bytes]:
    return [line for path in sorted(folder.glob("*.*")) for line in path.read_bytes().splitlines()]


def replayed(folder: Path) -> Replay:
    return replay_spool(Spool(folder, max_bytes=10**6), Round())


class Service:
    """One metered view, and how often it worked; `lose` makes the database unavailable while it works."""

    def __init__(self, *, lose=None, status=200, use=None, streams=False, **terms):
        self.worked = 0
        self.lose, self.status, self.use, self.streams = lose, status, use, streams
        self.view = metered("search", units=5, **terms)(self.work)

    def work(self, request):
        self.worked += 1
        if self.use is not None:
            request.metering.use(units=self.use)
        if self.lose is not None:
            self.lose.__enter__()
        return StreamingHttpResponse([b"."]) if self.streams else HttpResponse("done", status=self.status)

    def ask(self, key: str, repeat_key: str | None = None):
        headers = {"X-API-KEY": key} | ({"Idempotency-Key": repeat_key} if repeat_key else {})
        return self.view(RequestFactory().post("/v2/x", {"a": 1}, "application/json", headers=headers))

    def ask_and_lose(self, key: str, repeat_key: str | None = None):
        """Call with the database available before the work and unavailable after it; it is back on return."""
        self.lose = database_away()
        try:
            answer = self.ask(key, repeat_key)
            if self.streams:
                answer._resource_closers[-1]()
            return answer
        finally:
            self.lose.__exit__(None, None, None)
            self.lose = None


class TestFailClosed:
    def test_the_work_does_not_run(self, alice, key, folder, caplog):
        service = Service()

        with database_away():
            answer = service.ask(key)

        assert (answer.status_code, json.loads(answer.content)["code"]) == (503, "unavailable")
        assert (answer.headers["Retry-After"], service.worked) == ("5", 0)
        assert lines(folder) == []
        assert "The database is away" in caplog.text

    def test_finished_work_is_spooled_and_paid_later(self, alice, key, folder):
        service = Service(use=3)

        answer = service.ask_and_lose(key)
        before = captures(alice)
        replay = replayed(folder)

        assert (answer.status_code, answer.content) == (200, b"done")
        assert (before, captures(alice)) == ([], [6])
        assert (replay.settled, replay.credits, lines(folder)) == (1, 6, [])
        assert Hold.objects.get().status == "captured"

    def test_finished_work_is_charged_later_when_its_hold_has_expired(self, alice, key, folder):
        Service().ask_and_lose(key)
        tamper("UPDATE ledger_hold SET expires_at = now() - interval '1 second'")
        tamper("UPDATE ledger_balance SET next_expiry_at = now() - interval '1 second', seq = seq")
        charge(alice)  # which settles what has run out

        assert replayed(folder).settled == 1
        assert captures(alice) == [2, 10]

    def test_a_result_without_a_spool_is_withheld_and_logged_in_full(self, alice, key, settings, caplog):
        settings.METERING_SPOOL = ""

        answer = Service().ask_and_lose(key)

        assert (answer.status_code, captures(alice)) == (503, [])
        assert "METERING_SPOOL names no folder" in caplog.text
        assert f'"user_id":{alice.pk}' in caplog.text

    def test_a_failure_without_a_spool_is_answered_as_it_is(self, alice, key, settings):
        settings.METERING_SPOOL = ""

        assert Service(status=404).ask_and_lose(key).status_code == 404

    def test_a_sent_stream_without_a_spool_is_logged(self, alice, key, settings, caplog):
        settings.METERING_SPOOL = ""

        assert Service(streams=True).ask_and_lose(key).status_code == 200
        assert "could not be settled" in caplog.text

    def test_a_sent_stream_is_spooled(self, alice, key, folder):
        Service(streams=True).ask_and_lose(key)

        assert replayed(folder).settled == 1
        assert captures(alice) == [10]


class TestFailOpen:
    def test_the_work_runs_and_is_paid_later_once(self, alice, key, folder):
        service = Service(fail_open=True, use=4)

        with database_away():
            answers = [service.ask(key) for _ in range(3)]
        first, second = replayed(folder), replayed(folder)

        assert [answer.status_code for answer in answers] == [200] * 3
        assert (first.read, first.settled, first.credits) == (3, 3, 24)
        assert (second.read, second.settled) == (0, 0)
        assert captures(alice) == [8, 8, 8]
        occurred = dt.datetime.fromisoformat(RequestLog.objects.first().metadata["occurred_at"])
        assert abs((timezone.now() - occurred).total_seconds()) < 60

    def test_a_line_that_is_replayed_twice_is_paid_once_however_it_went(self, alice, key, folder):
        price("free", 0)
        with database_away():
            for status in (200, 404, 503, 429):
                Service(fail_open=True, status=status).ask(key)
            Service(fail_open=True, use=0).ask(key)
            for _ in range(2):
                Service(fail_open=True).ask(key, "k")
            Service(fail_open=True, status=500).ask(key, "other")
        (path,) = folder.glob("*.jsonl")
        content = path.read_bytes()
        first = replayed(folder)
        path.write_bytes(content)

        second = replayed(folder)

        assert (first.read, first.settled, first.duplicates, first.kept) == (8, 7, 1, [])
        assert (second.read, second.settled, second.duplicates) == (8, 0, 8)
        assert captures(alice) == [10, 10]
        assert RequestLog.objects.count() == 7

    @pytest.mark.parametrize("order", ["repeated first", "replayed first"])
    def test_a_request_that_is_repeated_after_the_outage_is_paid_once(self, alice, key, folder, order):
        service = Service(fail_open=True)
        with database_away():
            service.ask(key, "k")

        if order == "replayed first":
            replayed(folder)
        answer = service.ask(key, "k")
        replay = replayed(folder)

        assert answer.headers.get("Idempotent-Replayed") == ("true" if order == "replayed first" else None)
        assert replay.duplicates == (0 if order == "replayed first" else 1)
        assert captures(alice) == [10]

    def test_a_malformed_key_is_refused_even_then(self, folder, db):
        service = Service(fail_open=True)

        with database_away():
            assert service.ask("tb_live_nonsense").status_code == 401
        assert (service.worked, lines(folder)) == (0, [])

    def test_a_full_spool_fails_closed_again(self, alice, key, folder, settings, caplog):
        settings.METERING_SPOOL_BYTES = 4096
        service = Service(fail_open=True)

        with database_away():
            statuses = [service.ask(key).status_code for _ in range(12)]

        taken = statuses.count(200)
        assert 4 < taken < 12
        assert statuses == [200] * taken + [503] * (12 - taken)
        assert service.worked == taken == len(lines(folder))
        assert sum(path.stat().st_size for path in folder.glob("*.*")) <= 4096
        assert "has no room" in caplog.text
        assert replayed(folder).settled == taken

    def test_a_folder_that_cannot_be_written_fails_closed(self, key, folder):
        folder.write_text("a file in its place")
        service = Service(fail_open=True)

        with database_away():
            assert service.ask(key).status_code == 503

    def test_nothing_is_spooled_while_the_database_is_available(self, alice, key, folder):
        Service(fail_open=True).ask(key)

        assert (captures(alice), folder.exists()) == ([10], False)

    def test_the_spool_holds_only_the_hash_of_the_key(self, key, folder):
        with database_away():
            Service(fail_open=True).ask(key)

        (line,) = lines(folder)
        assert key.encode() not in line
        (path,) = folder.glob("*.jsonl")
        assert (path.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)

    def test_a_bug_of_a_query_is_not_an_outage(self, key, folder):
        def broken(request):
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM nowhere")

        view = metered("search", fail_open=True)(broken)
        with pytest.raises(Exception, match="nowhere"):
            view(RequestFactory().post("/v2/x", headers={"X-API-KEY": key}))

        assert logged(Hold.objects.get().user)[0][1] == 500


class TestUnpaidWork:
    def test_unpaid_work_stays_spooled_until_it_can_be_paid(self, key, folder):
        poor = customer_with(12)
        raw = ApiKeyFactory(user=poor).raw
        with database_away():
            for _ in range(2):
                Service(fail_open=True).ask(raw)

        first, second = replayed(folder), replayed(folder)

        assert (first.settled, len(first.kept), len(second.kept)) == (1, 1, 1)
        assert "Insufficient credits" in second.kept[0][2]
        assert (captures(poor), len(lines(folder))) == ([10], 1)

    def test_a_key_that_ended_after_the_request_still_names_its_customer(self, alice, key, folder):
        with database_away():
            Service(fail_open=True).ask(key)
        api_key = alice.api_keys.get()
        api_key.revoked_at = timezone.now()
        api_key.save()

        assert replayed(folder).settled == 1
        assert captures(alice) == [10]

    def test_a_request_after_the_end_of_its_key_stays_spooled(self, alice, key, folder):
        api_key = alice.api_keys.get()
        api_key.revoked_at = timezone.now()
        api_key.save()
        with database_away():
            Service(fail_open=True).ask(key)

        assert [reason for *_, reason in replayed(folder).kept] == [
            "The customer's API key is unknown, expired or revoked."
        ]

    def test_a_line_cut_off_by_a_crash_is_reported_and_stops_nothing(self, alice, key, folder):
        with database_away():
            for _ in range(3):
                Service(fail_open=True).ask(key)
        (path,) = folder.glob("*.jsonl")
        path.write_bytes(path.read_bytes()[:-40])
        with database_away():
            Service(fail_open=True).ask(key)

        replay = replayed(folder)

        assert (replay.read, replay.settled, captures(alice)) == (4, 3, [10] * 3)
        assert [(number, reason.partition(":")[0]) for _, number, reason in replay.kept] == [(3, "it cannot be read")]


def test_a_line_says_again_what_was_put_down(key, folder):
    with database_away():
        Service(fail_open=True, use="2.5").ask(key, "k")

    (line,) = lines(folder)
    spooled = from_line(line)

    assert isinstance(spooled.announced, Announced)
    assert (spooled.announced.units, spooled.outcome.units, spooled.hold) == (5, 2.5, None)
    assert (spooled.announced.is_shared, len(spooled.announced.digest)) == (True, 64)
