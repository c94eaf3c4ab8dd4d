"""`POST /v2/demo/translate`: the demo company's own API."""

from __future__ import annotations

import pytest

from ledger.models import Hold
from ledger.selectors import balance_of
from tests.accounts.races import at_once
from tests.factories import customer_with
from tests.usage.metered_services import Caller, captures, logged
from tests.usage.metering import price

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("every_promise_is_kept")]
PATH = "demo/translate"


@pytest.fixture
def caller(alice):
    price("translate", 2)
    return Caller(alice)


def test_a_text_is_translated_and_paid(caller):
    answer = caller.post(PATH, {"text": "Hello, world", "to": "de"})

    assert answer.status_code == 200
    assert answer.content.decode() == '{"text":"plɹoʍ \'ollǝH","credits":2,"remaining":98}'
    assert logged(caller.user) == [("translate", 200, 1, 2)]


@pytest.mark.parametrize(("characters", "units"), [(1, 1), (100, 1), (101, 2), (5_000, 50)])
def test_a_translation_costs_a_unit_for_every_100_characters_begun(caller, characters, units):
    answer = caller.post(PATH, {"text": "é" * characters, "to": "fr"})

    assert (answer.json()["credits"], answer.json()["remaining"]) == (2 * units, 100 - 2 * units)
    assert logged(caller.user) == [("translate", 200, units, 2 * units)]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"to": "de"}, "text"),
        ({"text": "", "to": "de"}, "text"),
        ({"text": " ", "to": "de"}, "text"),
        ({"text": 7, "to": "de"}, "text"),
        ({"text": "a" * 5_001, "to": "de"}, "text"),
        ({"text": "a"}, "to"),
        ({"text": "a", "to": "deutsch"}, "to"),
    ],
    ids=str,
)
def test_an_invalid_text_is_a_400_and_nothing_is_held(caller, body, field):
    answer = caller.post(PATH, body)

    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])
    assert Hold.objects.count() == 0


def test_without_credits_nothing_is_translated(caller):
    poor = Caller(customer_with(1))

    answer = poor.post(PATH, {"text": "a", "to": "de"})

    assert (answer.status_code, answer.json()["code"]) == (402, "insufficient_credits")
    assert "credits_required" in answer.json()
    assert balance_of(user_id=poor.user.pk).available == 1


def test_a_repeated_request_is_paid_once(caller):
    first, again = (caller.post(PATH, {"text": "a", "to": "de"}, repeat_key="k") for _ in range(2))

    assert (first.json(), again.headers["Idempotent-Replayed"]) == (again.json(), "true")
    assert captures(caller.user) == [2]


def test_without_a_price_it_is_unavailable(alice):
    answer = Caller(alice).post(PATH, {"text": "a", "to": "de"})

    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.headers["Retry-After"]


@pytest.mark.django_db(transaction=True)
def test_twelve_concurrent_calls_never_cost_more_than_there_is(caller):
    poor = Caller(customer_with(10))

    statuses = at_once(12, lambda: poor.post(PATH, {"text": "a", "to": "de"}).status_code)

    assert (statuses.count(200), statuses.count(402)) == (5, 7)
    assert captures(poor.user) == [2] * 5
