"""A customer's statement of one month: exact, equal to the ledger, and bounded."""

import datetime as dt
from collections import defaultdict
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from ledger.models import AdjustmentReason, Entry, EntryReason
from ledger.services.adjustments.posting import adjust_credits
from ledger.services.statements.days import MOST_LISTED
from tests.factories import StaffFactory, customer_with, give
from tests.ledger.bulk import write_debits
from tests.ledger.granting import end, granted
from tests.ledger.tampering import unguarded
from tests.usage.metering import captured, charge, held, price, refund
from usage.errors import NoStatement
from usage.services.statements.statement import MOST_ENDPOINTS, statement_of

pytestmark = pytest.mark.django_db(transaction=True)
MONTH = dt.date(2026, 3, 1)
AFTER = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)


def spread(user, start, step):
    """Give the customer's entries times in steps from `start`, and their sums the days of their entries."""
    with unguarded() as owner:
        asked = {"user": user.pk, "start": start, "step": step}
        owner.execute("UPDATE accounts_user SET created_at = %(start)s - %(step)s WHERE id = %(user)s", asked)
        owner.execute(
            "UPDATE ledger_entry SET created_at = %(start)s + (seq - 1) * %(step)s::interval WHERE user_id = %(user)s",
            asked,
        )
        owner.execute(
            "UPDATE ledger_grant g SET created_at = e.created_at FROM ledger_entry e WHERE e.id = g.entry_id"
            " AND g.user_id = %(user)s",
            asked,
        )
        owner.execute("UPDATE usage_dailyusage SET day = %(start)s::date WHERE user_id = %(user)s", asked)


def adjust(user, amount, key="a-1"):
    adjust_credits(
        user_id=user.pk,
        amount=Decimal(amount),
        reason=AdjustmentReason.GOODWILL,
        note="For the outage.",
        actor_id=StaffFactory().pk,
        idempotency_key=key,
    )


@pytest.fixture
def alice():
    price("search", "1.5")
    price("detect", 4)
    alice = customer_with(100, full_name="Алиса Ελένη 王小明")
    brief = granted(alice, 20, days=9)
    first = charge(alice, "search", units=Decimal(3))
    charge(alice, "detect")
    captured(held(alice, "detect").hold)
    refund(first.id, "0.5")
    adjust(alice, "7.25")
    end(brief)
    give(alice, 50)
    charge(alice, "search")
    return alice


def totals(statement):
    return {day.day: sum(line.amount for line in day.lines) for day in statement.days}


def moved(user):
    """Return what moved the balance on each UTC day, from the entries themselves."""
    days = defaultdict(Decimal)
    for entry in Entry.objects.of(user.pk):
        days[entry.created_at.astimezone(dt.UTC).date()] += entry.amount
    return dict(days)


def test_opening_and_all_lines_are_the_closing_balance_and_each_day_is_its_entries(alice):
    statement_of(user_id=alice.pk, month=timezone.now().date(), now=timezone.now())  # settles what has expired
    spread(alice, dt.datetime(2026, 2, 27, 1, tzinfo=dt.UTC), dt.timedelta(hours=11))

    statement = statement_of(user_id=alice.pk, month=MONTH, now=AFTER)

    entries = Entry.objects.of(alice.pk).order_by("seq")
    before = entries.filter(created_at__lt=statement.start).last()
    assert statement.opening == before.balance_after
    assert statement.closing == entries.last().balance_after
    assert totals(statement) == {day: sum_ for day, sum_ in moved(alice).items() if day >= MONTH}
    assert statement.opening + sum(totals(statement).values()) == statement.closing
    assert statement.opening + statement.received + statement.used + statement.taken == statement.closing
    assert [day.closing for day in statement.days][-1] == statement.closing
    assert sum(grant.left for grant in statement.grants) == statement.closing
    assert not statement.is_running


def test_usage_is_told_by_endpoint_and_all_else_line_by_line(alice):
    statement = statement_of(user_id=alice.pk, month=timezone.now().date(), now=timezone.now())

    (day,) = statement.days
    usage = {line.text: (line.amount, line.count) for line in day.lines if line.kind == "usage"}
    assert usage == {"detect": (Decimal(-8), 2), "search": (Decimal("-5.5"), 2)}
    others = [(line.kind, line.amount) for line in day.lines if line.kind != "usage"]
    assert [kind for kind, _ in others] == ["grant", "grant", "goodwill", "expiry", "grant"]
    assert [amount for kind, amount in others if kind != "expiry"] == [100, 20, Decimal("7.25"), 50]
    assert statement.is_running


def test_credits_that_expired_without_a_job_are_on_the_statement():
    alice = customer_with(10)
    end(granted(alice, 5, days=3))

    statement = statement_of(user_id=alice.pk, month=timezone.now().date(), now=timezone.now())

    assert (statement.closing, statement.taken) == (10, -5)
    assert {line.kind for day in statement.days for line in day.lines} == {"grant", "expiry"}


def test_months_are_those_of_utc():
    alice = customer_with(10)
    charge(alice, credits=Decimal(1))
    charge(alice, credits=Decimal(2))
    spread(alice, dt.datetime(2026, 3, 31, 23, 59, 59, 999_998, tzinfo=dt.UTC), dt.timedelta(microseconds=1))

    march = statement_of(user_id=alice.pk, month=dt.date(2026, 3, 31), now=AFTER)
    april = statement_of(user_id=alice.pk, month=dt.date(2026, 4, 30), now=AFTER)

    assert (march.opening, march.closing) == (0, 9)
    assert (april.opening, april.closing) == (9, 7)
    assert [day.day for day in april.days] == [dt.date(2026, 4, 1)]


def test_a_month_without_entries_opens_and_closes_with_the_same_balance():
    alice = customer_with(10)
    spread(alice, dt.datetime(2026, 2, 1, tzinfo=dt.UTC), dt.timedelta(hours=1))

    statement = statement_of(user_id=alice.pk, month=MONTH, now=AFTER)

    assert (statement.opening, statement.closing, statement.days) == (10, 10, ())
    assert [grant.left for grant in statement.grants] == [10]


def test_requests_recorded_on_another_day_make_a_line_of_their_own():
    price("search", 2)
    alice = customer_with(10)
    charge(alice, "search")
    charge(alice, "search")
    spread(alice, dt.datetime(2026, 3, 5, tzinfo=dt.UTC), dt.timedelta(days=1))

    statement = statement_of(user_id=alice.pk, month=MONTH, now=AFTER)

    assert totals(statement) == moved(alice)
    assert [line.kind for day in statement.days for line in day.lines] == ["grant", "timing", "timing"]


def test_many_entries_of_one_reason_on_one_day_are_one_line():
    alice = customer_with(1)
    for number in range(MOST_LISTED):
        give(alice, 1 + number)
    adjust(alice, 5)

    statement = statement_of(user_id=alice.pk, month=timezone.now().date(), now=timezone.now())

    grants, goodwill = statement.days[0].lines
    assert (grants.kind, grants.count, grants.entry_id) == (EntryReason.GRANT, MOST_LISTED + 1, None)
    assert (goodwill.amount, goodwill.text) == (5, "For the outage.")
    assert statement.opening + grants.amount + goodwill.amount == statement.closing


def test_endpoints_beyond_the_dearest_are_one_line():
    alice = customer_with(1_000_000)
    for number in range(MOST_ENDPOINTS + 3):
        price(f"endpoint-{number}", number + 1)
        charge(alice, f"endpoint-{number}")

    lines = statement_of(user_id=alice.pk, month=timezone.now().date(), now=timezone.now()).days[0].lines

    usage = [line for line in lines if line.kind == "usage"]
    (rest,) = [line for line in lines if line.kind == "other_usage"]
    assert (len(usage), rest.text, rest.amount, rest.count) == (MOST_ENDPOINTS, "3 other endpoints", -6, 3)


def test_a_month_before_the_account_or_in_the_future_is_refused_with_words():
    alice = customer_with(1)

    with pytest.raises(NoStatement, match="has not begun yet"):
        statement_of(user_id=alice.pk, month=dt.date(2099, 1, 1), now=timezone.now())
    with pytest.raises(NoStatement, match="account was created on"):
        statement_of(user_id=alice.pk, month=dt.date(2001, 1, 1), now=timezone.now())


def test_a_busy_month_takes_as_many_statements_as_a_quiet_one():
    busy, quiet = customer_with(10), customer_with(10)
    write_debits(busy.pk, 3000)
    now = timezone.now()
    counts = []
    for user in (busy, quiet):
        statement_of(user_id=user.pk, month=now.date(), now=now)
        with CaptureQueriesContext(connection) as statements:
            statement = statement_of(user_id=user.pk, month=now.date(), now=now)
        counts.append(len(statements))
        assert statement.opening + sum(totals(statement).values()) == statement.closing

    assert counts[0] == counts[1] <= 12
