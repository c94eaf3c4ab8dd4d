import csv
import json
from decimal import Decimal

import pytest

from accounts.models import User
from ledger.models import Entry
from ledger.selectors import balance_of
from tests.factories import ApiKeyFactory, UserFactory, customer_with, give
from tests.ledger.posting import hold
from tests.usage.metering import price, rolled_up
from usage.models import DailyUsage, ImportedLine, RequestLog
from usage.services import importing
from usage.services.importing import Customers, Import, read_customer_map
from usage.services.log_formats import combined_parser, jsonl_parser

pytestmark = pytest.mark.django_db


def combined(host="203.0.113.9", user="-", path="/v1/search", status=200, second=0):
    at = f"01/Mar/2026:12:00:{second:02d} +0000"
    return f'{host} - {user} [{at}] "GET {path} HTTP/1.1" {status} 512 "-" "client/1.0"\n'.encode()


def jsonl(user, *, field="user_id", **fields):
    named = {"user_id": getattr(user, "pk", user), "email": getattr(user, "email", user)}.get(field, user)
    record = {field: named, "time": "2026-03-01T12:00:00Z", "endpoint": "search", "status": 200} | fields
    return (json.dumps(record) + "\n").encode()


def run(lines, *, field="user_id", source="gateway", charged=False, rehearsed=False, create=False, named=None):
    parse = combined_parser(field) if field in {"host", "user"} else jsonl_parser(field)
    customers = Customers(customer_field=field, source=source, create=create, named=named or {})
    once = Import(source, parse, customers, charged)
    report = once.rehearse(lines) if rehearsed else once.run(lines)
    assert report.read == report.accepted + report.duplicates + report.rejected
    assert len(report.first_rejections) == min(report.rejected, importing.REJECTIONS_KEPT)
    return report


def figures(report):
    return report.read, report.accepted, report.duplicates, report.rejected


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

    def test_rejected_lines_keep_their_place_among_equals(self, alice):
        lines = [jsonl(alice), b"junk\n", jsonl(alice), b"junk\n"]

        assert figures(run(lines)) == (4, 2, 0, 2)
        assert figures(run(lines)) == (4, 0, 2, 2)

    def test_a_line_that_is_still_being_written_waits_for_its_end(self, alice):
        whole = combined(host="203.0.113.9")
        first = run([whole, whole[:-8]], field="host", named={"203.0.113.9": alice.email})

        second = run([whole, whole], field="host", named={"203.0.113.9": alice.email})

        assert figures(first) == (2, 1, 0, 1)
        assert "still being written" in first.first_rejections[0][1]
        assert figures(second) == (2, 1, 1, 0)

    def test_a_last_line_without_an_end_is_read(self, alice):
        report = run([combined().rstrip(b"\n")], field="host", named={"203.0.113.9": alice.email})

        assert report.accepted == 1

    def test_bytes_that_are_no_text_are_read_and_known_by_what_they_are(self, alice):
        lines = [combined(path="/caf\u00e9").replace("é".encode(), byte) for byte in (b"\xe9", b"\xff")]
        named = {"203.0.113.9": alice.email}

        assert run(lines, field="host", named=named).accepted == 2
        assert run(lines, field="host", named=named).duplicates == 2
        assert set(RequestLog.objects.values_list("path", flat=True)) == {"/caf%EF%BF%BD"}

    def test_the_first_rejections_say_line_and_reason(self, alice):
        report = run([jsonl(alice), b"\n", b"junk\n", jsonl(alice, status=999), jsonl(987_654_321)])

        assert [number for number, _ in report.first_rejections] == [2, 3, 4, 5]
        assert [reason.split()[1] for _, reason in report.first_rejections] == ["is", "is", "status", "is"]

    def test_of_many_rejections_the_first_twenty_are_kept(self, db):
        report = run([b"junk\n"] * 50)

        assert (report.rejected, report.first_rejections[-1][0]) == (50, 20)


class TestCustomersAreFound:
    def test_by_id(self, alice):
        run([jsonl(alice), jsonl(str(alice.pk))])

        assert RequestLog.objects.filter(user=alice).count() == 2

    def test_by_email_in_any_case(self, alice):
        run([jsonl("ALICE@example.com", field="email")], field="email")

        assert RequestLog.objects.get().user == alice

    @pytest.mark.parametrize("start", ["", "tb_live_"])
    def test_by_the_prefix_of_a_key_even_a_revoked_one(self, alice, start):
        api_key = ApiKeyFactory(user=alice).api_key
        type(api_key).objects.update(revoked_at=api_key.created_at)

        run([jsonl(start + api_key.prefix, field="api_key_prefix")], field="api_key_prefix")

        logged = RequestLog.objects.get()
        assert (logged.user, logged.api_key) == (alice, api_key)

    def test_by_the_operators_map(self, alice):
        bob = UserFactory(email="bob@example.com")
        lines = [combined(host="::1"), combined(host="::2"), combined(host="::3")]

        report = run(lines, field="host", named={"::1": "Alice@example.com", "::2": str(bob.pk), "::3": "gone@x.y"})

        assert figures(report) == (3, 2, 0, 1)
        assert "gone@x.y" in report.first_rejections[0][1]
        assert {logged.user for logged in RequestLog.objects.all()} == {alice, bob}

    def test_by_making_them(self, db):
        lines = [combined(host="::1"), combined(host="203.0.113.9"), combined(host="::1", second=1)]

        report = run(lines, field="host", create=True)

        assert report.accepted == 3
        made = User.objects.order_by("email")
        assert [user.email for user in made] == ["203.0.113.9@gateway.invalid", "::1@gateway.invalid"]
        assert not any(user.has_usable_password() for user in made)

    def test_by_having_been_made_before(self, db):
        run([combined()], field="host", create=True)

        report = run([combined(), combined(second=1)], field="host")

        assert (report.accepted, report.duplicates, User.objects.count()) == (1, 1, 1)

    @pytest.mark.parametrize("user", ["Jane Doe", "x" * 250])
    def test_but_not_made_of_what_cannot_be_an_address(self, db, user):
        report = run([combined(user=user)], field="user", create=True)

        assert report.rejected == 1
        assert not User.objects.exists()

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("user_id", "987654321"),
            ("user_id", "99999999999999999999"),
            ("user_id", "alice@example.com"),
            ("user_id", "x"),
            ("email", "nobody@example.com"),
            ("email", "1"),
            ("api_key_prefix", "AAAAAAAAAAAA"),
            ("api_key_prefix", "%"),
            ("host", "203.0.113.9"),
            ("user", "acme"),
        ],
    )
    def test_or_their_lines_are_rejected(self, alice, field, value):
        line = combined(**{field: value}) if field in {"host", "user"} else jsonl(value, field=field)

        report = run([line] * 2, field=field)

        assert report.rejected == 2
        assert len({reason for _, reason in report.first_rejections}) == 1

    def test_and_looked_up_once_each(self, alice, django_assert_max_num_queries):
        run([jsonl(alice)])

        with django_assert_max_num_queries(8):
            run([jsonl(alice)] * 50 + [jsonl(987_654_321)] * 50)


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

    def test_what_the_credits_do_not_cover_is_unpaid_in_the_order_of_the_lines(self):
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

    def test_what_is_held_pays_nothing_and_what_has_expired_does(self):
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

    def test_what_was_unpaid_stays_so(self):
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

    def test_what_no_price_names_is_rejected_and_not_stored(self, alice):
        price("search", 1)

        report = run([jsonl(alice), jsonl(alice, endpoint="other")], charged=True)

        assert figures(report) == (2, 1, 0, 1)
        assert report.first_rejections == [(2, "no price names the endpoint 'other'")]
        assert RequestLog.objects.count() == ImportedLine.objects.count() == 1

    def test_what_was_stored_without_charging_is_a_duplicate_even_when_nothing_names_its_price(self, alice):
        run([jsonl(alice)])

        assert figures(run([jsonl(alice)] * 2, charged=True)) == (2, 0, 1, 1)

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


def test_a_rehearsal_tells_all_and_keeps_nothing(alice):
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


def test_a_customer_map_is_two_columns(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text('\ufeff::1,alice@example.com\n\n"Doe, Jane" , 7\n', encoding="utf-8")

    assert read_customer_map(path) == {"::1": "alice@example.com", "Doe, Jane": "7"}


@pytest.mark.parametrize("row", [["::1"], ["::1", ""], ["", "x"], ["a", "b", "c"]])
def test_a_customer_map_of_another_form_is_refused_by_line(tmp_path, row):
    path = tmp_path / "map.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["ok", "alice@example.com"], row])

    with pytest.raises(ValueError, match="Line 2 of"):
        read_customer_map(path)
