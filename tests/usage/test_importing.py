from decimal import Decimal

import pytest

from accounts.models import User
from ledger.models import Entry
from ledger.selectors import balance_of
from tests.factories import UserFactory, customer_with, give
from tests.ledger.posting import hold
from tests.usage.logs import combined, figures, jsonl, run
from tests.usage.metering import price, rolled_up
from usage.models import DailyUsage, ImportedLine, RequestLog
from usage.services.imports import run as importing
from usage.services.imports.files import LONGEST_LINE

pytestmark = pytest.mark.django_db


class TestLinesAreKnown:
    def test_identical_lines_are_as_many_requests(self, alice):
        assert figures(run([jsonl(alice)] * 3)) == (3, 3, 0, 0)
        assert RequestLog.objects.count() == ImportedLine.objects.count() == 3

    def test_a_second_import_adds_nothing(self, alice):
        lines = [jsonl(alice), jsonl(alice), jsonl(alice, status=404)]
        run(lines)

        assert figures(run(lines)) == (3, 0, 3, 0)
        assert RequestLog.objects.count() == 3
        assert rolled_up(alice) == [("*", 2, 1, 0, 0)]

    def test_a_longer_version_adds_the_rest(self, alice):
        run([jsonl(alice)] * 2)

        assert figures(run([jsonl(alice)] * 3 + [jsonl(alice, status=404)])) == (4, 2, 2, 0)
        assert rolled_up(alice) == [("*", 3, 1, 0, 0)]

    def test_the_ends_of_lines_do_not_matter(self, alice):
        run([jsonl(alice)])

        assert run([jsonl(alice).rstrip(b"\n") + b"\r\n"]).duplicates == 1
        assert run([jsonl(alice).rstrip(b"\n")]).duplicates == 1

    @pytest.mark.parametrize("change", [b" ", b"\t"])
    def test_any_other_difference_matters(self, alice, change):
        run([jsonl(alice)])

        assert run([change + jsonl(alice)]).accepted == 1

    def test_another_source_is_another_log(self, alice):
        run([jsonl(alice)])

        assert run([jsonl(alice)], source="other").accepted == 1

    def test_lines_are_counted_over_all_chunks(self, alice, monkeypatch):
        monkeypatch.setattr(importing, "LINES_A_CHUNK", 2)

        assert figures(run([jsonl(alice)] * 5)) == (5, 5, 0, 0)
        assert figures(run([jsonl(alice)] * 7)) == (7, 2, 5, 0)

    def test_rejected_lines_keep_their_ordinal_among_identical_lines(self, alice):
        lines = [jsonl(alice), b"junk\n", jsonl(alice), b"junk\n"]

        assert figures(run(lines)) == (4, 2, 0, 2)
        assert figures(run(lines)) == (4, 0, 2, 2)

    @pytest.mark.parametrize("field", ["host", "user_id"])
    def test_a_last_line_without_an_end_waits_wherever_it_breaks_off(self, alice, field):
        named = {"203.0.113.9": alice.email}
        line = combined() if field == "host" else jsonl(alice)
        for length in sorted({*range(1, len(line), 7), *range(len(line) - 12, len(line))}):
            first = run([line, line[:length]], field=field, source=f"cut-{length}", named=named)
            second = run([line, line], field=field, source=f"cut-{length}", named=named)

            assert first.rejected == second.rejected == 0
            assert first.accepted + second.accepted == 2, length
            assert first.read + first.incomplete == 2
            assert (second.read, second.incomplete) == (2, 0)

    def test_a_carriage_return_is_no_end_of_a_line(self, alice):
        line = combined().rstrip(b"\n") + b"\r"

        report = run([line], field="host", named={"203.0.113.9": alice.email})

        assert (report.read, report.incomplete) == (0, 1)

    def test_a_waiting_last_line_is_not_counted_among_identical_lines(self, alice):
        named, cut = {"203.0.113.9": alice.email}, combined()[:-5]
        run([combined(), cut], field="host", named=named)

        assert figures(run([combined(), cut + b"\n", cut + b"\n"], field="host", named=named))[2] == 1

    def test_a_json_line_that_can_be_read_is_whole(self, alice):
        line = jsonl(alice)

        assert figures(run([line, line.rstrip(b"\n")])) == (2, 2, 0, 0)
        assert figures(run([line, line])) == (2, 0, 2, 0)

    def test_a_last_line_without_an_end_is_read_when_the_log_is_complete(self, alice):
        line = combined().rstrip(b"\n")

        report = run([line], field="host", named={"203.0.113.9": alice.email}, is_complete=True)

        assert report.accepted == 1
        assert run([line + b"\n"], field="host", named={"203.0.113.9": alice.email}).duplicates == 1

    def test_a_line_longer_than_may_be_kept_is_rejected(self, alice):
        report = run([jsonl(alice, endpoint="x" * LONGEST_LINE)])

        assert report.first_rejections == [(1, "it is longer than 1 MiB")]

    def test_bytes_that_are_not_text_are_read_and_recognised(self, alice):
        lines = [combined(path="/caf\u00e9").replace("é".encode(), byte) for byte in (b"\xe9", b"\xff")]
        named = {"203.0.113.9": alice.email}

        assert run(lines, field="host", named=named).accepted == 2
        assert run(lines, field="host", named=named).duplicates == 2
        assert set(RequestLog.objects.values_list("path", flat=True)) == {"/caf%EF%BF%BD"}

    def test_the_first_rejections_say_line_and_reason(self, alice):
        report = run([jsonl(alice), b"\n", b"junk\n", jsonl(alice, status=999), jsonl(987_654_321)])

        assert [number for number, _ in report.first_rejections] == [2, 3, 4, 5]
        assert [reason.split()[1] for _, reason in report.first_rejections] == ["is", "is", "status", "is"]

    def test_only_the_first_twenty_rejections_are_kept(self, db):
        report = run([b"junk\n"] * 50)

        assert (report.rejected, report.first_rejections[-1][0]) == (50, 20)


class TestCharging:
    def test_a_batch_is_one_debit_and_each_request_knows_it(self, alice):
        priced = price("search", "1.5")

        report = run([jsonl(alice, units=units, status=status) for units, status in ((1, 200), (2, 200), (9, 500))],
                     charged=True)  # fmt: skip

        entry = Entry.objects.get(reason="usage")
        assert (report.credits_charged, entry.amount, report.unpaid) == (Decimal("4.5"), Decimal("-4.5"), 0)
        assert (entry.type, entry.reference, entry.description) == ("debit", "gateway", "3 requests from gateway")
        assert entry.metadata == {"requests": 3, "source": "gateway"}
        logged = RequestLog.objects.order_by("id")
        assert [(one.credits, one.entry_id) for one in logged] == [(Decimal("1.5"), entry.pk), (3, entry.pk), (0, None)]
        assert {one.price for one in logged} == {priced}
        assert rolled_up(alice) == [("search", 2, 1, 0, Decimal("4.5"))]

    def test_requests_beyond_the_credits_are_unpaid_in_the_order_of_the_lines(self):
        price("search", 1)
        user = customer_with(10)

        report = run([jsonl(user, units=units) for units in (4, 7, 5, 2, 1)], charged=True)

        assert (report.accepted, report.unpaid, report.credits_charged) == (5, 2, 10)
        logged = RequestLog.objects.order_by("id")
        assert [(one.credits, one.unpaid) for one in logged] == [
            (4, False),
            (0, True),
            (5, False),
            (0, True),
            (1, False),
        ]
        assert balance_of(user_id=user.pk).balance == 0

    def test_held_credits_pay_nothing_and_credits_of_expired_holds_do(self):
        price("search", 1)
        user = customer_with(10)
        hold(user, 3)
        hold(user, 5, seconds=0)

        report = run([jsonl(user)] * 10, charged=True)

        assert (report.credits_charged, report.unpaid) == (7, 3)

    def test_a_customer_without_credits_pays_nothing(self, db):
        price("search", 1)

        report = run([jsonl(UserFactory())], charged=True)

        assert (report.accepted, report.unpaid, report.credits_charged) == (1, 1, 0)
        assert not Entry.objects.exists()

    def test_unpaid_requests_stay_unpaid(self):
        price("search", 1)
        user = UserFactory()
        run([jsonl(user)], charged=True)
        give(user, 10)

        report = run([jsonl(user)], charged=True)

        assert (report.duplicates, report.credits_charged) == (1, 0)

    def test_a_second_import_charges_nothing(self, alice):
        price("search", 1)
        run([jsonl(alice)] * 2, charged=True)

        report = run([jsonl(alice)] * 3, charged=True)

        assert (report.accepted, report.duplicates, report.credits_charged) == (1, 2, 1)
        assert balance_of(user_id=alice.pk).balance == 97

    def test_requests_without_a_price_are_rejected_and_not_stored(self, alice):
        price("search", 1)

        report = run([jsonl(alice), jsonl(alice, endpoint="other")], charged=True)

        assert figures(report) == (2, 1, 0, 1)
        assert report.first_rejections == [(2, "no price names the endpoint 'other'")]
        assert RequestLog.objects.count() == ImportedLine.objects.count() == 1

    def test_requests_stored_without_charging_are_duplicates_even_without_a_price(self, alice):
        run([jsonl(alice)])

        assert figures(run([jsonl(alice)] * 2, charged=True)) == (2, 0, 1, 1)

    def test_lines_recorded_without_charging_stay_free_and_are_reported(self, alice):
        price("search", 2)
        price("free", 0)
        lines = [
            jsonl(alice),
            jsonl(alice, endpoint="free"),
            jsonl(alice, endpoint="unpriced"),
            jsonl(alice, status=500),
        ]
        run([jsonl(alice), *lines])

        later = run([jsonl(alice), *lines, jsonl(alice)], charged=True)

        assert (later.accepted, later.duplicates, later.credits_charged) == (1, 5, 2)
        assert (later.uncharged, later.uncharged_credits) == (2, 4)
        assert balance_of(user_id=alice.pk).balance == 98

    def test_lines_charged_before_are_not_reported_as_uncharged(self, alice):
        price("search", 2)
        run([jsonl(alice)], charged=True)

        again, uncharged = run([jsonl(alice)], charged=True), run([jsonl(alice)])

        assert (again.duplicates, again.uncharged) == (1, 0)
        assert (uncharged.duplicates, uncharged.uncharged) == (1, 0)

    def test_without_charging_no_price_is_needed_and_nothing_is_paid(self, alice):
        price("search", 1)

        report = run([jsonl(alice), jsonl(alice, endpoint="other")])

        assert (report.accepted, report.credits_charged, report.unpaid) == (2, 0, 0)
        assert rolled_up(alice) == [("*", 1, 0, 0, 0), ("search", 1, 0, 0, 0)]

    def test_each_request_pays_the_price_of_its_time(self, alice):
        price("search", 1)
        price("search", 2, effective_from="2026-03-01T12:00:00Z")

        report = run([jsonl(alice, time=f"2026-03-01T{time}Z") for time in ("11:59:59.999999", "12:00")], charged=True)

        assert report.credits_charged == 3

    @pytest.mark.parametrize("status", [401, 402, 429])
    def test_rejected_requests_cost_nothing(self, alice, status):
        price("search", 1, charge_failures=True)

        assert run([jsonl(alice, status=status)], charged=True).credits_charged == 0
        assert rolled_up(alice) == [("search", 0, 0, 1, 0)]


def test_a_rehearsal_reports_all_and_keeps_nothing(alice):
    price("/v1/search", 1)
    lines = [combined(host="::1"), combined(host="::2"), b"junk\n"]
    named = {"::1": alice.email}

    rehearsed = run(lines, field="host", named=named, create=True, charged=True, rehearsed=True)

    assert not RequestLog.objects.exists()
    assert not ImportedLine.objects.exists()
    assert not DailyUsage.objects.exists()
    assert User.objects.get() == alice
    assert balance_of(user_id=alice.pk).balance == 100
    assert run(lines, field="host", named=named, create=True, charged=True) == rehearsed
