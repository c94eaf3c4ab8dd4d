"""Terms on which a customer may spend: frozen or not, and how far the balance may be overdrawn."""

from decimal import Decimal

import pytest
from django.db import IntegrityError

from accounts.models import User
from ledger.errors import (
    IdempotencyKeyReused,
    InsufficientCredits,
    OverdraftLimitTooLow,
    TermsUnchanged,
    UnknownCustomer,
)
from ledger.models import Balance, TermsChange
from ledger.selectors import SpendingTerms, balance_of, terms_of
from ledger.services.controls import Changed
from tests.accounts.races import at_once
from tests.factories import StaffFactory, UserFactory, customer_with
from tests.ledger.posting import allow_overdraft, freeze, hold, post
from tests.ledger.races import before_it_commits

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice(db):
    return customer_with(100)


def history(user):
    changes = TermsChange.objects.filter(user=user).order_by("id")
    return list(changes.values_list("kind", "limit_before", "limit_after"))


def test_freezing_is_dated_and_recorded_with_actor_and_reason(alice):
    staff = StaffFactory()

    change, is_replay = freeze(alice, note="Chargeback of pay-7", actor_id=staff.pk)

    assert not is_replay
    assert terms_of(user_id=alice.pk) == SpendingTerms(frozen_at=change.created_at)
    assert (change.user, change.kind, change.note, change.actor) == (alice, "freeze", "Chargeback of pay-7", staff)
    assert (change.limit_before, change.limit_after) == (None, None)


def test_unfreezing_ends_it_and_both_stay_on_record(alice):
    freeze(alice)

    freeze(alice, frozen=False)

    assert terms_of(user_id=alice.pk) == SpendingTerms()
    assert [kind for kind, *_ in history(alice)] == ["freeze", "unfreeze"]


def test_changing_terms_moves_no_credits_and_keeps_last_updated(alice):
    before = balance_of(user_id=alice.pk)
    seq = Balance.objects.get(pk=alice.pk).seq

    freeze(alice)
    allow_overdraft(alice, 50)

    assert balance_of(user_id=alice.pk) == before
    assert Balance.objects.get(pk=alice.pk).seq == seq


def test_a_customer_who_has_never_had_a_credit_may_be_frozen():
    bob = UserFactory()

    freeze(bob)

    assert terms_of(user_id=bob.pk).frozen_at is not None
    assert balance_of(user_id=bob.pk).last_updated == bob.created_at


def test_an_unchanged_value_is_refused(alice):
    with pytest.raises(TermsUnchanged, match="is not frozen"):
        freeze(alice, frozen=False)
    freeze(alice)
    with pytest.raises(TermsUnchanged, match="is frozen already"):
        freeze(alice)
    with pytest.raises(TermsUnchanged, match="limit already"):
        allow_overdraft(alice, 0)

    assert len(history(alice)) == 1


def test_an_overdraft_lets_available_credits_fall_below_zero_to_the_limit(alice):
    allow_overdraft(alice, "20.5")

    post(alice, "-120.5")

    with pytest.raises(InsufficientCredits):
        post(alice, "-0.000001")
    assert balance_of(user_id=alice.pk).available == Decimal("-20.5")
    assert history(alice) == [("overdraft", 0, Decimal("20.5"))]


@pytest.mark.parametrize(("held", "overdrawn"), [(0, 20), (10, 30)])
def test_a_limit_below_what_is_overdrawn_is_refused_with_how_much_that_is(alice, held, overdrawn):
    allow_overdraft(alice, 50)
    post(alice, -120)
    if held:
        hold(alice, held)

    with pytest.raises(OverdraftLimitTooLow, match=f"overdrawn by {overdrawn} credit") as refused:
        allow_overdraft(alice, Decimal(overdrawn) - Decimal("0.000001"))
    allow_overdraft(alice, overdrawn)

    assert refused.value.extra == {"credits_overdrawn": overdrawn}
    assert terms_of(user_id=alice.pk).overdraft_limit == overdrawn


def test_a_hold_that_has_run_out_does_not_count_as_overdrawn(alice):
    allow_overdraft(alice, 50)
    hold(alice, 130, seconds=-1)

    allow_overdraft(alice, 0)

    assert terms_of(user_id=alice.pk).overdraft_limit == 0


@pytest.mark.parametrize("change", [freeze, lambda user, **asked: allow_overdraft(user, "7.5", **asked)])
def test_a_repeated_call_returns_the_original_change(alice, change):
    staff = StaffFactory()
    first = change(alice, actor_id=staff.pk, idempotency_key="k")

    again = change(alice, actor_id=staff.pk, idempotency_key="k")

    assert again == Changed(first.change, is_replay=True)
    assert len(history(alice)) == 1


def test_a_repeated_freeze_returns_its_change_after_unfreezing_and_freezes_nothing(alice):
    staff = StaffFactory()
    freeze(alice, actor_id=staff.pk, idempotency_key="k")
    freeze(alice, frozen=False)

    assert freeze(alice, actor_id=staff.pk, idempotency_key="k").is_replay

    assert terms_of(user_id=alice.pk).frozen_at is None


def test_a_key_used_for_another_change_is_refused(alice):
    staff = StaffFactory()
    asked = {"actor_id": staff.pk, "idempotency_key": "k"}
    freeze(alice, **asked)

    for other in (
        lambda: freeze(alice, frozen=False, **asked),
        lambda: freeze(alice, note="Another reason", **asked),
        lambda: allow_overdraft(alice, 5, **asked),
    ):
        with pytest.raises(IdempotencyKeyReused):
            other()

    assert len(history(alice)) == 1


def test_keys_belong_to_the_customer(alice):
    staff = StaffFactory()

    for user in (alice, UserFactory()):
        assert not freeze(user, actor_id=staff.pk, idempotency_key="k").is_replay


def test_terms_of_an_unknown_customer_are_refused():
    for change in (freeze, lambda user: allow_overdraft(user, 5)):
        with pytest.raises(UnknownCustomer):
            change(User(pk=999_999))


def test_a_change_without_a_reason_is_refused_by_the_database(alice):
    with pytest.raises(IntegrityError, match="terms_change_says_why"):
        freeze(alice, note="")


@pytest.mark.django_db(transaction=True)
def test_one_of_many_freezes_at_once_succeeds_and_the_others_are_refused():
    alice, staff = customer_with(100), StaffFactory()

    outcomes = at_once(8, lambda: freeze(alice, actor_id=staff.pk))

    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Changed"] + ["TermsUnchanged"] * 7
    assert len(history(alice)) == 1


@pytest.mark.django_db(transaction=True)
def test_a_second_freeze_waits_for_the_first_and_finds_it_done():
    alice, staff = customer_with(100), StaffFactory()

    def second():
        try:
            return freeze(alice, actor_id=staff.pk)
        except TermsUnchanged as refusal:
            return refusal

    first, refused = before_it_commits(lambda: freeze(alice, actor_id=staff.pk), second)

    assert (type(first), type(refused)) == (Changed, TermsUnchanged)


@pytest.mark.django_db(transaction=True)
def test_a_double_click_is_one_change_returned_to_both():
    alice, staff = customer_with(100), StaffFactory()

    outcomes = at_once(8, lambda: freeze(alice, actor_id=staff.pk, idempotency_key="k"))

    assert sorted(outcome.is_replay for outcome in outcomes) == [False] + [True] * 7
    assert len({outcome.change for outcome in outcomes}) == 1


@pytest.mark.django_db(transaction=True)
def test_a_limit_is_checked_after_an_earlier_charge_has_committed():
    alice, staff = customer_with(100), StaffFactory()
    allow_overdraft(alice, 50, actor_id=staff.pk)

    def lower():
        try:
            return allow_overdraft(alice, 10, actor_id=staff.pk)
        except OverdraftLimitTooLow as refusal:
            return refusal

    _, refused = before_it_commits(lambda: post(alice, -130), lower)

    assert isinstance(refused, OverdraftLimitTooLow)
    assert refused.extra == {"credits_overdrawn": 30}
