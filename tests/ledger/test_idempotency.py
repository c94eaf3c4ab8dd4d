from decimal import Decimal

import pytest

from ledger.errors import IdempotencyKeyReused, InsufficientCredits
from ledger.models import Entry, EntryReason
from ledger.selectors import balance_of
from ledger.services.adjustments.posting import adjust_credits
from ledger.services.grants import grant_credits
from ledger.services.idempotency import fingerprint
from tests.factories import give
from tests.ledger.posting import post

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("written", ["3", "3.0", "3.000000", "3E0", "0.3E1"])
def test_one_amount_has_one_fingerprint_however_it_is_written(written):
    assert fingerprint({"amount": Decimal(written)}) == fingerprint({"amount": Decimal(3)})


def test_the_order_of_keys_does_not_matter():
    assert fingerprint({"a": 1, "b": {"c": 2, "d": 3}}) == fingerprint({"b": {"d": 3, "c": 2}, "a": 1})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": Decimal(3)}, {"a": "3"}),
        ({"a": Decimal(3)}, {"a": Decimal("3.000001")}),
        ({"a": Decimal(30)}, {"a": Decimal(3)}),
        ({"a": None}, {}),
        ({"a": None}, {"a": ""}),
        ({"a": True}, {"a": 1}),
        ({"a": ["b", "c"]}, {"a": ["c", "b"]}),
        ({"a": "é"}, {"a": "e\u0301"}),
        ({"a": {"b": 1}}, {"a": '{"b":1}'}),
    ],
)
def test_different_payloads_have_different_fingerprints(one, other):
    assert fingerprint(one) != fingerprint(other)


@pytest.mark.parametrize("again", ["3", "3.0", "3.000000"])
def test_repeating_a_call_returns_the_original_entry(bob, again):
    first = post(bob, "3", idempotency_key="k")

    second = post(bob, again, idempotency_key="k")

    assert second.is_replay
    assert second.entry == first.entry
    assert balance_of(user_id=bob.pk).balance == 3


@pytest.mark.parametrize(
    "change",
    [
        {"amount": "3.000001"},
        {"amount": "-3"},
        {"reason": EntryReason.CORRECTION},
        {"description": "something else"},
        {"reference": "r"},
        {"metadata": {"a": 1}},
        {"actor_id": 1},
    ],
    ids=lambda change: ", ".join(change),
)
def test_another_payload_under_the_key_is_refused_and_changes_nothing(bob, change):
    post(bob, 3, idempotency_key="k")

    with pytest.raises(IdempotencyKeyReused):
        post(bob, **{"amount": 3} | change, idempotency_key="k")

    assert Entry.objects.of(bob.pk).count() == 1


def test_the_same_key_on_another_operation_is_another_key(bob):
    first = post(bob, 3, operation="one", idempotency_key="k")

    second = post(bob, 3, operation="other", idempotency_key="k")

    assert not second.is_replay
    assert second.entry != first.entry


def test_a_grant_and_an_adjustment_do_not_share_their_keys(bob, clerk):
    grant_credits(user_id=bob.pk, amount=Decimal(3), reason=EntryReason.GRANT, reference=None, idempotency_key="k")

    posted = adjust_credits(
        user_id=bob.pk, amount=Decimal(3), reason="goodwill", note="n", actor_id=clerk.pk, idempotency_key="k"
    )

    assert not posted.is_replay
    assert balance_of(user_id=bob.pk).balance == 6


def test_the_same_key_of_another_customer_is_another_key(alice, bob):
    post(alice, 3, idempotency_key="k")

    posted = post(bob, 3, idempotency_key="k")

    assert not posted.is_replay
    assert posted.entry.user == bob


@pytest.mark.parametrize("other", ["K", "k ", " k", "kk"])
def test_keys_are_compared_to_the_letter(bob, other):
    post(bob, 3, idempotency_key="k")

    assert not post(bob, 3, idempotency_key=other).is_replay


def test_a_key_may_have_255_characters(bob):
    key = "~" * 255

    post(bob, 3, idempotency_key=key)

    assert post(bob, 3, idempotency_key=key).is_replay


def test_a_repetition_returns_its_result_even_when_the_call_would_now_be_refused(bob):
    give(bob, 5)
    first = post(bob, -5, idempotency_key="k")

    second = post(bob, -5, idempotency_key="k")

    assert second.is_replay
    assert second.entry == first.entry


def test_a_replay_shows_the_entry_as_it_was(bob):
    first = post(bob, 3, idempotency_key="k").entry
    post(bob, 4)

    again = post(bob, 3, idempotency_key="k").entry

    assert (again.seq, again.balance_after, again.created_at) == (1, 3, first.created_at)


def test_a_refusal_is_not_remembered(bob):
    with pytest.raises(InsufficientCredits):
        post(bob, -5, idempotency_key="k")
    give(bob, 5)

    posted = post(bob, -5, idempotency_key="k")

    assert not posted.is_replay
    assert posted.entry.balance_after == 0


def test_a_purchase_and_a_grant_differ_in_reason(bob):
    asked = {"user_id": bob.pk, "amount": Decimal(3), "reference": "order 7"}

    bought = grant_credits(**asked, reason=EntryReason.PURCHASE, idempotency_key="1").entry
    given = grant_credits(**asked, reason=EntryReason.GRANT, idempotency_key="2").entry

    assert (bought.type, bought.reason, bought.description) == ("credit", "purchase", "Credits purchased")
    assert (given.type, given.reason, given.description) == ("credit", "grant", "Credits granted")
    assert bought.reference == given.reference == "order 7"


def test_an_adjustment_records_who_made_it_and_why(alice, clerk):
    entry = adjust_credits(
        user_id=alice.pk,
        amount=Decimal("-2.5"),
        reason="chargeback",
        note="Card disputed",
        actor_id=clerk.pk,
        idempotency_key="k",
    ).entry

    assert (entry.type, entry.reason, entry.amount) == ("adjustment", "chargeback", Decimal("-2.5"))
    assert (entry.description, entry.actor) == ("Card disputed", clerk)
