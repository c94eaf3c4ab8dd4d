from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from tests.accounts.races import at_once
from tests.factories import StaffFactory
from tests.usage.metering import LONG_AGO, price
from usage.errors import PriceExists, PriceNotUnderstood
from usage.models import Price
from usage.services.prices import read_endpoint

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("endpoint", "kind"),
    [
        ("search", "code"),
        ("/v1/search", "code"),
        ("/v1/a%20b", "code"),
        ("Straße", "code"),
        ("/v1/items/{id}", "template"),
        ("{anything}", "template"),
        ("/{a}/{b_2}/end", "template"),
        ("*.png", "glob"),
        ("*/thumbnail", "glob"),
        ("*", "any"),
    ],
)
def test_the_form_of_an_endpoint_is_recognised(endpoint, kind):
    assert read_endpoint(endpoint).kind == kind


@pytest.mark.parametrize(
    ("endpoint", "sentence"),
    [
        ("", "needs at least one character"),
        (" search", "no blanks around"),
        ("search ", "no blanks around"),
        ("a\nb", "at least one character"),
        ("a\x00b", "at least one character"),
        ("x" * 201, "at most 200"),
        ("/v1/search?q=1", "query string"),
        ("/v1/search#top", "fragment"),
        ("/v1/*", "only stand at the start"),
        ("/v1/*.png", "only stand at the start"),
        ("**", "one \\*"),
        ("*.png*", "one \\*"),
        ("*/{id}", "one \\*"),
        ("/v1/items/{}", "placeholder"),
        ("/v1/items/{1}", "placeholder"),
        ("/v1/items/{id", "placeholder"),
        ("/v1/items/id}", "placeholder"),
        ("/v1/items-{id}", "whole path segment"),
        ("/v1/{a}{b}", "whole path segment"),
        ("/v1/{a b}", "placeholder"),
    ],
)
def test_an_invalid_endpoint_is_refused_with_a_sentence(endpoint, sentence):
    with pytest.raises(PriceNotUnderstood, match=sentence) as refused:
        price(endpoint, 1)

    assert str(refused.value).endswith(".")
    assert not Price.objects.exists()


@pytest.mark.parametrize("method", ["GET POST", "G3T", "-", "ABCDEFGHIJK", "ß"])
def test_an_invalid_method_is_refused(method):
    with pytest.raises(PriceNotUnderstood, match="method"):
        price("search", 1, method=method)


def test_a_price_keeps_what_was_asked():
    clerk = StaffFactory()

    made = price("/v1/items/{id}", "0.000001", method="post", charge_failures=True, created_by_id=clerk.pk)

    made.refresh_from_db()
    assert (made.endpoint, made.method, made.kind) == ("/v1/items/{id}", "POST", "template")
    assert (made.credits, made.charge_failures, made.effective_from) == (Decimal("0.000001"), True, LONG_AGO)
    assert made.created_by == clerk


def test_a_new_price_is_a_new_row_and_the_old_one_stays():
    price("search", 1)

    price("search", 2, effective_from=LONG_AGO.replace(year=2021))

    assert list(Price.objects.order_by("effective_from").values_list("credits", flat=True)) == [1, 2]


@pytest.mark.parametrize("written", ["2", "2.0", "2.000000"])
def test_setting_the_same_price_again_returns_the_stored_one(written):
    first = price("search", "2")

    assert price("search", written) == first


@pytest.mark.parametrize("change", [{"credits": 3}, {"charge_failures": True}], ids=", ".join)
def test_another_price_for_the_same_time_is_refused(change):
    price("search", 2)

    with pytest.raises(PriceExists):
        price(**{"endpoint": "search", "credits": 2} | change)

    assert Price.objects.get().credits == 2


def test_methods_have_prices_of_their_own():
    price("search", 2)

    price("search", 3, method="GET")

    assert Price.objects.count() == 2


def test_a_price_below_zero_is_refused_by_the_database():
    with pytest.raises(IntegrityError, match="price_is_not_negative"), transaction.atomic():
        price("search", -1)


@pytest.mark.django_db(transaction=True)
def test_the_same_price_set_many_times_at_once_is_stored_once():
    outcomes = at_once(8, lambda: price("search", 2))

    assert set(outcomes) == {Price.objects.get()}


@pytest.mark.django_db(transaction=True)
def test_different_prices_set_at_once_store_one():
    asked = iter(range(1, 9))

    outcomes = at_once(8, lambda: price("search", next(asked)))

    refusals = [outcome for outcome in outcomes if isinstance(outcome, PriceExists)]
    winner = Price.objects.get()
    assert len(refusals) == 7
    assert winner in outcomes
