import datetime as dt
from decimal import Decimal

import pytest
from django.db import DataError, IntegrityError, connection, transaction
from django.utils import timezone

from config.db.prepared import sqlstate
from ledger.errors import BalanceLimitExceeded, InsufficientCredits, UnknownCustomer
from ledger.models import Balance, Entry, EntryReason, EntryType
from ledger.selectors import balance_of
from tests.factories import UserFactory
from tests.ledger.posting import hold, post

pytestmark = pytest.mark.django_db

POSTED_BY_HAND = {
    ("credit", "purchase"),
    ("credit", "grant"),
    ("credit", "auto_reload"),
    ("adjustment", "goodwill"),
    ("adjustment", "correction"),
    ("adjustment", "chargeback"),
}
EVERY_PAIR = [(type, reason) for type in EntryType.values for reason in EntryReason.values]
LARGEST = Decimal("999999999.999999")


def balance(user):
    return balance_of(user_id=user.pk)


@pytest.mark.parametrize(("type", "reason"), sorted(POSTED_BY_HAND))
def test_a_kind_of_entry_that_people_post_is_posted(bob, type, reason):
    entry, is_replay = post(bob, 5, type=type, reason=reason)

    assert (entry.type, entry.reason, entry.amount, entry.balance_after) == (type, reason, 5, 5)
    assert not is_replay


@pytest.mark.parametrize(("type", "reason"), [pair for pair in EVERY_PAIR if pair not in POSTED_BY_HAND])
def test_any_other_kind_of_entry_is_not_posted_by_hand(alice, type, reason):
    amount = -1 if type == EntryType.DEBIT else 1

    with pytest.raises(IntegrityError, match="not posted by hand"):
        post(alice, amount, type=type, reason=reason)

    assert balance(alice).balance == 100


@pytest.mark.parametrize(("type", "reason"), [("credit", "grant"), ("credit", "purchase"), ("credit", "auto_reload")])
def test_a_credit_below_zero_is_refused_by_the_database(alice, type, reason):
    with pytest.raises(IntegrityError, match="entry_sign_fits_type"), transaction.atomic():
        post(alice, -1, type=type, reason=reason)

    assert balance(alice).balance == 100


@pytest.mark.parametrize(("type", "reason"), sorted(POSTED_BY_HAND))
def test_an_entry_of_nothing_is_refused_by_the_database(alice, type, reason):
    with pytest.raises(IntegrityError, match="entry_sign_fits_type"), transaction.atomic():
        post(alice, 0, type=type, reason=reason)

    assert Entry.objects.of(alice.pk).count() == 1


def test_an_adjustment_may_take_credits_away(alice):
    entry = post(alice, "-99.999999").entry

    assert entry.balance_after == Decimal("0.000001")


def test_an_entry_stores_every_argument(alice, clerk):
    entry = post(
        alice,
        "12.5",
        reason=EntryReason.CORRECTION,
        description="Fehler behoben ✓",
        reference="case 7",
        metadata={"ticket": {"no": 7, "größe": [1.5, None]}},
        actor_id=clerk.pk,
    ).entry

    stored = Entry.objects.get(pk=entry.pk)
    assert (stored.description, stored.reference, stored.actor) == ("Fehler behoben ✓", "case 7", clerk)
    assert stored.metadata == {"ticket": {"no": 7, "größe": [1.5, None]}}
    assert stored.reverses is None


def test_the_first_entry_creates_the_balance(bob):
    entry = post(bob, 7).entry

    assert (entry.seq, entry.balance_after) == (1, 7)
    assert Balance.objects.get(user=bob).seq == 1


def test_each_entry_follows_the_one_before_it_without_a_gap(bob):
    amounts = [Decimal(text) for text in ("10", "-3", "0.000001", "-7.000001", "4", "-0.5")]

    for amount in amounts:
        post(bob, amount)

    entries = list(Entry.objects.of(bob.pk).order_by("seq"))
    assert [entry.seq for entry in entries] == [1, 2, 3, 4, 5, 6]
    assert [entry.amount for entry in entries] == amounts
    assert [entry.balance_after for entry in entries] == [sum(amounts[: n + 1]) for n in range(6)]
    assert sorted(entries, key=lambda entry: entry.created_at) == entries
    assert balance(bob).balance == sum(amounts)


def test_a_refused_entry_leaves_no_gap(alice):
    with pytest.raises(InsufficientCredits):
        post(alice, -101)

    assert post(alice, 1).entry.seq == 2


def test_ledgers_of_two_customers_do_not_mix(alice, bob):
    post(bob, 3)
    post(alice, 1)

    assert (balance(alice).balance, balance(bob).balance) == (101, 3)
    assert Entry.objects.of(bob.pk).get().seq == 1


def test_more_than_is_available_is_refused_with_both_numbers(alice):
    with pytest.raises(InsufficientCredits) as refused:
        post(alice, "-100.5")

    assert (refused.value.required, refused.value.available) == (Decimal("100.5"), 100)
    assert refused.value.reason == "spent"
    assert str(refused.value) == (
        "Insufficient credits. You have 100 credit(s) remaining, but this request requires 100.5 credit(s)."
    )


def test_a_debit_that_holds_would_cover_is_refused_as_held(alice):
    opened = hold(alice, 30).hold

    with pytest.raises(InsufficientCredits) as refused:
        post(alice, -100)

    assert (refused.value.reason, refused.value.available, refused.value.reserved) == ("held", 70, 30)
    assert refused.value.next_hold_expires_at == opened.expires_at
    assert refused.value.extra["credits_reserved"] == 30


def test_a_debit_that_even_released_holds_would_not_cover_is_refused_as_spent(alice):
    hold(alice, 30)

    with pytest.raises(InsufficientCredits) as refused:
        post(alice, -101)

    assert refused.value.reason == "spent"


def test_a_customer_without_any_entry_has_nothing_to_take(bob):
    with pytest.raises(InsufficientCredits) as refused:
        post(bob, -1)

    assert (refused.value.available, refused.value.reason) == (0, "spent")


def test_all_that_is_available_can_be_taken(alice):
    hold(alice, 40)

    assert post(alice, -60).entry.balance_after == 40


def test_a_balance_reaches_its_limit_and_not_one_step_further(bob):
    post(bob, LARGEST)

    with pytest.raises(BalanceLimitExceeded):
        post(bob, "0.000001")

    assert balance(bob).balance == LARGEST
    assert post(bob, -1).entry.balance_after == LARGEST - 1


def test_an_entry_for_an_unknown_customer_is_refused(db):
    with pytest.raises(UnknownCustomer):
        post(987_654_321, 1)

    assert not Balance.objects.filter(user_id=987_654_321).exists()


def test_a_debit_of_an_unknown_customer_is_refused(db):
    with pytest.raises(UnknownCustomer):
        post(987_654_321, -1)


@pytest.mark.parametrize("amount", ["NaN", "0.0000005", "-0.0000005", "1.1234567"])
def test_an_amount_that_is_no_number_of_six_places_never_reaches_a_balance(alice, amount):
    with pytest.raises(DataError) as refused, transaction.atomic():
        post(alice, amount)

    assert sqlstate(refused.value) == "22023"
    assert balance(alice).balance == 100


@pytest.mark.parametrize("amount", ["Infinity", "1e30"])
def test_an_amount_without_bounds_never_reaches_a_balance(alice, amount):
    with pytest.raises(BalanceLimitExceeded):
        post(alice, amount)

    assert balance(alice).balance == 100


def test_granted_total_is_the_sum_of_all_that_is_not_usage(alice):
    post(alice, 50, type="credit", reason="purchase")
    post(alice, -20, reason="chargeback")

    assert balance(alice).granted_total == 130


def test_last_updated_is_the_creation_of_the_account_before_any_change(db):
    made_at = timezone.now() - dt.timedelta(days=3)
    user = UserFactory(created_at=made_at)

    assert balance(user).last_updated == made_at


def test_a_refusal_does_not_change_when_the_balance_was_last_updated(db):
    made_at = timezone.now() - dt.timedelta(days=3)
    user = UserFactory(created_at=made_at)

    with pytest.raises(InsufficientCredits):
        post(user, -1)

    assert balance(user).last_updated == made_at


def test_last_updated_is_the_time_of_the_last_entry(alice):
    entry = post(alice, 1).entry

    assert balance(alice).last_updated == entry.created_at


def test_opening_a_hold_updates_the_balance_too(alice):
    before = balance(alice).last_updated

    opened = hold(alice, 1).hold

    assert before < balance(alice).last_updated
    assert balance(alice).last_updated >= opened.created_at


def test_an_entry_costs_one_call_and_the_reading_of_its_row(alice, django_assert_num_queries):
    with django_assert_num_queries(4):  # two of them are a savepoint and its release: the test runs in a transaction
        post(alice, 1)


def test_a_balance_is_read_in_one_statement(alice, django_assert_num_queries):
    with django_assert_num_queries(1):
        balance(alice)


def test_a_temporary_table_cannot_shadow_a_table_of_the_ledger(alice):
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE ledger_balance (LIKE public.ledger_balance INCLUDING ALL) ON COMMIT DROP")
        cursor.execute("CREATE TEMP TABLE ledger_entry (LIKE public.ledger_entry INCLUDING ALL) ON COMMIT DROP")
        cursor.execute(
            "SELECT entry_id, balance FROM ledger_post_entry("
            " %s, 'credit', 'grant', 5, '', NULL, '{}', 'test', 'shadow', '', NULL)",
            [alice.pk],
        )
        entry_id, after = cursor.fetchone()
        cursor.execute("SELECT count(*) FROM pg_temp.ledger_entry")
        assert cursor.fetchone() == (0,)
        cursor.execute("DROP TABLE pg_temp.ledger_balance, pg_temp.ledger_entry")

    assert Entry.objects.get(pk=entry_id).user == alice
    assert after == 105
