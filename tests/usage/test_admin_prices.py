"""The price book in the back office: versions are added, none is changed."""

from decimal import Decimal

import pytest

from tests.backoffice import list_of, page_of, signed_in, staff_with
from usage.models import Price

pytestmark = pytest.mark.django_db
ADD = "/admin/usage/price/add/"


@pytest.fixture
def staff():
    return staff_with("usage.view_price", "usage.add_price")


@pytest.fixture
def client(staff):
    return signed_in(staff)


def price_form(**changed):
    fields = {"endpoint": "/v1/items/{id}", "method": "get", "credits": "2.5"}
    return {**fields, "effective_from_0": "2026-11-01", "effective_from_1": "12:00:00", **changed}


def test_a_new_price_is_stored_by_the_service_with_what_it_makes_of_the_endpoint(client, staff):
    answer = client.post(ADD, price_form(), follow=True)

    price = Price.objects.get()
    assert answer.redirect_chain == [(list_of("usage_price"), 302)]
    assert (price.kind, price.slashes, price.method, price.credits) == ("template", 3, "GET", Decimal("2.5"))
    assert (price.created_by, price.charge_failures) == (staff, False)


def test_the_time_is_filled_in(client):
    assert client.get(ADD).context["adminform"].form["effective_from"].value() is not None


def test_free_is_a_price(client):
    client.post(ADD, price_form(credits="0"))

    assert Price.objects.get().credits == 0


@pytest.mark.parametrize(("typed", "minimum"), [("0.25", "0.25"), ("0", 0), ("", 0)])
def test_a_price_may_have_a_minimum(client, typed, minimum):
    assert client.post(ADD, price_form(minimum=typed)).status_code == 302

    assert Price.objects.get().minimum == Decimal(minimum)


def test_no_minimum_is_filled_in_as_0(client):
    assert 'name="minimum" value="0"' in client.get(ADD).content.decode()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("endpoint", ""), ("endpoint", "a?b"), ("endpoint", "/x/{a b}"), ("endpoint", "a*b"), ("endpoint", "a\0"),
        ("endpoint", "x" * 201), ("method", "G3T"), ("method", "ＧＥＴ"), ("method", "GET POST"), ("credits", "-1"),
        ("credits", ""), ("credits", "1e3"), ("credits", "0.0000001"), ("credits", "9999999999"),
        ("minimum", "-1"), ("minimum", "x"), ("minimum", "0.0000001"),
        ("effective_from_0", "yesterday"),
    ],
)  # fmt: skip
def test_an_invalid_price_is_reported_at_its_field(client, field, value):
    answer = client.post(ADD, price_form(**{field: value}))

    assert answer.status_code == 200
    assert list(answer.context["adminform"].form.errors) == [field.removesuffix("_0")]
    assert not Price.objects.exists()


def test_a_form_sent_twice_makes_one_price(client):
    for _ in range(2):
        assert client.post(ADD, price_form()).status_code == 302

    assert Price.objects.count() == 1


def test_another_price_for_the_same_time_is_refused(client):
    client.post(ADD, price_form())

    answer = client.post(ADD, price_form(credits="3"))

    assert answer.context["adminform"].form.errors == {
        "effective_from": ["This endpoint and method already have a price from that moment on."]
    }
    assert Price.objects.get().credits == Decimal("2.5")


def test_another_minimum_for_the_same_time_is_refused(client):
    client.post(ADD, price_form())

    answer = client.post(ADD, price_form(minimum="3"))

    assert list(answer.context["adminform"].form.errors) == ["effective_from"]


def test_staff_who_may_only_view_cannot_add():
    client = signed_in(staff_with("usage.view_price"))

    assert client.post(ADD, price_form()).status_code == 403
    assert not Price.objects.exists()


def test_the_list_and_page_say_what_a_price_is(client):
    client.post(ADD, price_form(minimum="1234.5"))
    price = Price.objects.get()

    for address in (list_of("usage_price"), page_of("usage_price", price.pk)):
        said = client.get(address).content.decode()

        assert "/v1/items/{id}" in said
        assert "2.5" in said
        assert "1,234.5" in said
        assert "Route template" in said
