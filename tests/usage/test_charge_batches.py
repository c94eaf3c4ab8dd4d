"""Charges of one customer together: the same, item by item, as one after the other."""

import uuid
from decimal import Decimal

import pytest
from django.db import DataError, IntegrityError, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import ApiKey
from ledger.models import Balance, Entry
from ledger.selectors import balance_of
from tests.factories import ApiKeyFactory, UserFactory, customer_with
from tests.ledger.posting import hold
from tests.ledger.tampering import tamper
from tests.usage.batches import asked, books_of, comparable, in_batches, of, one_by_one
from tests.usage.metering import held, price, refund, rolled_up
from usage.models import RequestLog
from usage.services.charges.calls import charge_one, charge_together

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _prices(every_promise_is_kept):
    price("search", 2)
    price("/v1/items/{id}", "0.5", method="GET")
    price("/v1/items/{id}", "7", method="POST")
    price("strict", 3, charge_failures=True)
    price("least", "0.1", minimum=Decimal("1.5"))
    price("free", 0)


def assert_alike(many, alone, together, *, keys=(None, None)):
    """Charge one customer item by item, the other in batches: results and rows must not differ."""
    users = (None, None) if keys[0] else (alone, together)
    expected = one_by_one(of(many, user=users[0], key=keys[0]))
    answered = in_batches(of(many, user=users[1], key=keys[1]))

    assert comparable(answered, together) == comparable(expected, alone)
    assert books_of(together) == books_of(alone)
    return answered


def twins(credits):
    return customer_with(credits), customer_with(credits)


def outcomes(rows):
    return [(row.outcome, row.reason) for row in rows]


MIXED = [
    asked("search", units=Decimal("1.5"), reference="job 1", metadata={"größe": [1, None, Decimal("0.10")]}),
    asked("free", method="GET", latency_ms=3),
    asked("search", status=500),
    asked("strict", status=503),
    asked("search", status=429),
    asked("unheard of"),
    asked("unheard of", credits=Decimal("0.000001"), request_id=uuid.UUID(int=7)),
    asked("/v1/items/7?full=1", method="GET"),
    asked("/v1/items/8", method="POST", units=Decimal(2)),
    asked("least"),
    asked("search", credits=Decimal(90)),
    asked("search", credits=Decimal("60.5")),
    asked("free"),
    asked("search"),
]


def test_items_of_every_kind_come_out_as_they_would_have_alone():
    answered = assert_alike(MIXED, *twins(90))

    refused = {place for place, row in enumerate(answered) if row.outcome != "charged"}
    assert {place: answered[place].outcome for place in refused} == {5: "price_unknown", 10: "insufficient"}


def test_a_batch_of_one_is_a_charge():
    assert_alike([asked("search")], *twins(90))


def test_entries_and_requests_keep_the_order_of_the_batch():
    user = customer_with(100)
    many = [asked(user=user, reference=str(n)) for n in range(20)]

    answered = charge_together(many)

    assert [row.request_id for row in answered] == [one.request_id for one in many]
    assert (
        [entry.reference for entry in Entry.objects.filter(reason="usage").order_by("seq")]
        == [entry.reference for entry in Entry.objects.filter(reason="usage").order_by("id")]
        == [one.reference for one in many]
    )
    assert [log.reference for log in RequestLog.objects.order_by("occurred_at", "id")] == [
        one.reference for one in many
    ]


def test_a_charge_that_does_not_fit_is_refused_and_later_ones_may_fit():
    costs = ["60", "50", "40", "1", "0.000001"]

    answered = assert_alike([asked(credits=Decimal(cost)) for cost in costs], *twins(100))

    assert outcomes(answered) == [
        ("charged", None), ("insufficient", "spent"), ("charged", None), ("insufficient", "spent"),
        ("insufficient", "spent"),
    ]  # fmt: skip


def test_a_price_beyond_all_bounds_is_refused_like_any_other():
    assert_alike([asked(credits=Decimal("9e17")), asked(), asked("search", units=Decimal("999999999"))], *twins(10))


class TestUsedKeys:
    def test_the_same_payload_is_a_replay_and_another_is_refused(self):
        alone, together = twins(100)
        first = [asked("search", idempotency_key="paid"), asked("free", idempotency_key="free")]
        again = [
            *first,
            asked("search", idempotency_key="new"),
            asked("search", status=201, idempotency_key="paid"),
            asked("free", credits=Decimal(1), idempotency_key="free"),
        ]
        assert_alike(first, alone, together)

        answered = assert_alike(again, alone, together)

        assert [row.outcome for row in answered] == ["replayed", "replayed", "charged", "key_reused", "key_reused"]

    def test_a_refusal_is_not_remembered(self):
        alone, together = twins(1)
        many = [asked("search", idempotency_key="k"), asked("unheard of", idempotency_key="u")]

        for _ in range(2):
            assert [row.outcome for row in assert_alike(many, alone, together)] == ["insufficient", "price_unknown"]

    def test_keys_of_another_customer_are_no_replay(self):
        alone, together = twins(10)

        assert_alike([asked(idempotency_key="k")], alone, together)

        assert charge_one(asked(user=customer_with(10), idempotency_key="k")).outcome == "charged"

    def test_another_operation_under_the_key_does_not_affect_a_charge(self):
        alone, together = twins(10)
        for user in (alone, together):
            hold(user, 1, idempotency_key="k")

        assert outcomes(assert_alike([asked(idempotency_key="k")], alone, together)) == [("charged", None)]


class TestTheBalance:
    def test_held_credits_cannot_be_charged(self):
        alone, together = twins(10)
        for user in (alone, together):
            hold(user, 7)

        answered = assert_alike([asked(), asked(), asked("free")], alone, together)

        assert outcomes(answered) == [("charged", None), ("insufficient", "held"), ("charged", None)]
        assert answered[1].next_hold_expires_at > timezone.now()
        assert (answered[2].balance_after, answered[2].reserved, answered[2].available) == (8, 7, 1)

    def test_credits_of_an_expired_hold_can_be_charged(self):
        alone, together = twins(10)
        for user in (alone, together):
            hold(user, 7, seconds=0)

        assert outcomes(assert_alike([asked() for _ in range(3)], alone, together)) == [("charged", None)] * 3
        assert balance_of(user_id=together.pk).reserved == 0

    def test_a_new_customer_has_nothing(self):
        alone, together = UserFactory(), UserFactory()
        many = [asked("free"), asked(), asked("free")]

        answered = in_batches(of(many, user=together))

        assert comparable(answered, together) == comparable(one_by_one(of(many, user=alone)), alone)
        assert outcomes(answered) == [("charged", None), ("insufficient", "spent"), ("charged", None)]
        assert rolled_up(together) == rolled_up(alone)

    def test_a_charge_of_a_batch_can_be_refunded(self):
        user = customer_with(10)
        first, second = charge_together([asked(user=user), asked(user=user)])

        refund(second.charge_id)

        assert balance_of(user_id=user.pk).balance == 8
        assert first.charge_id == first.entry_id < second.charge_id == second.entry_id

    def test_a_result_shows_the_balance_after_its_item(self):
        user = customer_with(10)

        rows = charge_together([asked("free", user=user), asked(user=user), asked("free", user=user)])

        assert [(row.balance_after, row.available) for row in rows] == [(10, 10), (8, 8), (8, 8)]


@pytest.mark.django_db(transaction=True)
class TestSettingsOfStaff:
    @pytest.mark.parametrize(
        ("column", "value", "expected"),
        [
            ("frozen_at", "now()", [("insufficient", "frozen"), ("insufficient", "frozen"), ("charged", None)]),
            ("overdraft_limit", "3", [("charged", None), ("charged", None), ("charged", None)]),
        ],
    )
    def test_freezing_and_overdraft_set_by_staff_count(self, column, value, expected):
        alone, together = twins(3)
        tamper(f"UPDATE ledger_balance SET {column} = {value}")

        answered = assert_alike([asked(), asked(credits=Decimal(4)), asked("free"), asked()], alone, together)

        assert outcomes(answered)[:3] == expected
        assert answered[3].outcome == "insufficient"


class TestTheCustomer:
    def test_a_key_names_customer_and_key(self):
        alone, together = twins(10)
        keys = (ApiKeyFactory(user=alone).api_key, ApiKeyFactory(user=together).api_key)

        assert_alike([asked(), asked("free"), asked(credits=Decimal(99))], alone, together, keys=keys)

        assert {log.api_key for log in RequestLog.objects.filter(user=together)} == {keys[1]}

    def test_a_customer_who_may_not_be_charged_is_refused_for_each(self):
        user = UserFactory()
        key = ApiKeyFactory(user=user).api_key
        type(user).objects.update(is_active=False)
        nobody = asked()._replace(user_id=987_654_321)

        for one in (asked(user=user), asked(key=key), nobody, asked()):
            answered = charge_together([one, one._replace(idempotency_key="other")])
            assert [tuple(row) for row in answered] == [tuple(charge_one(one))] * 2
        assert not RequestLog.objects.exists()

    def test_a_keys_spending_limit_is_kept(self):
        alone, together = twins(100)
        keys = (ApiKeyFactory(user=alone).api_key, ApiKeyFactory(user=together).api_key)
        ApiKey.objects.filter(pk__in=[key.pk for key in keys]).update(spending_limit=6)
        before = asked()
        for key in keys:
            charge_one(*of([before], key=key))
            held(None, key_hash=bytes(key.key_hash), credits=Decimal(1))

        many = [asked(), asked("free"), asked(), asked(credits=Decimal(1)), asked(credits=Decimal("0.000001"))]
        answered = assert_alike(many, alone, together, keys=keys)
        again = assert_alike([asked(), asked("free"), asked("search", status=401)], alone, together, keys=keys)

        assert outcomes(answered) == [
            ("charged", None), ("charged", None), ("insufficient", "key_limit"), ("charged", None),
            ("insufficient", "key_limit"),
        ]  # fmt: skip
        assert outcomes(again) == [("insufficient", "key_limit"), ("charged", None), ("charged", None)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"credits": Decimal(-1)},
        {"credits": Decimal("NaN")},
        {"credits": Decimal("0.0000005")},
        {"status": 600},
        {"status": 99},
        {"units": Decimal(-1)},
        {"reference": "x" * 256},
        {"method": "x" * 11},
        {"latency_ms": 2**40},
        {"metadata": {"a": "\0"}},
    ],
    ids=str,
)
@pytest.mark.parametrize("credits", [Decimal(5), None], ids=["paid", "free"])
def test_a_charge_that_fails_alone_fails_the_batch_and_changes_nothing(wrong, credits):
    user = customer_with(100)
    before = Balance.objects.values().get()
    bad = asked("free", user=user, **{"credits": credits} | wrong)

    with pytest.raises((DataError, IntegrityError)), transaction.atomic():
        charge_together([asked(user=user), bad, asked("free", user=user)])

    assert Balance.objects.values().get() == before
    assert rolled_up(user) == []
    assert not RequestLog.objects.exists()


ITEMS = st.lists(
    st.builds(
        dict,
        endpoint=st.sampled_from(["search", "strict", "least", "free", "unheard of", "/v1/items/1"]),
        method=st.sampled_from(["", "GET", "POST"]),
        status=st.sampled_from([200, 200, 200, 302, 404, 500, 401, 402, 429]),
        units=st.sampled_from([Decimal(text) for text in ("1", "0.1", "3", "0.000001")]),
        credits=st.sampled_from([None, None, None, Decimal(1), Decimal("19.999999"), Decimal(40)]),
        idempotency_key=st.sampled_from([None, None, "a", "b", "c"]),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(batches=st.lists(ITEMS, min_size=1, max_size=3), credits=st.sampled_from([1, 25, 100]), is_held=st.booleans())
def test_any_sequence_comes_out_as_it_would_have_one_by_one(batches, credits, is_held):
    alone, together = twins(credits)
    if is_held:
        hold(alone, 1)
        hold(together, 1)

    for items in batches:
        assert_alike([asked(**item) for item in items], alone, together)
