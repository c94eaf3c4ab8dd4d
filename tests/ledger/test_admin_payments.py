"""Payments and packages in the back office."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from django.urls import reverse
from django.utils import timezone

from ledger.models import Payment, PaymentState, TopUpPackage
from ledger.providers import fake as cards
from ledger.services.payments.settling import record_answer
from tests.backoffice import list_of, new_form, page_of, rows_of, signed_in, staff_log_of, staff_with, superuser
from tests.ledger.paying import bought, fake, package, paid_answer, purchases

pytestmark = pytest.mark.django_db
VIEW, SETTLE = "ledger.view_payment", "ledger.settle_payment"


@pytest.fixture
def payment(bob):
    return bought(bob, cards.ANSWER_LOST)


def settle_url(payment):
    return reverse("admin:ledger_payment_settle", args=[payment.pk])


def test_a_payment_is_found_by_its_id_the_providers_names_our_own_and_the_customers_email(bob, alice):
    bought(alice, cards.APPROVE)
    paid, page = bought(bob, cards.APPROVE), bought(bob)
    client = signed_in(superuser())

    def found(term):
        return {one.pk for one in rows_of(client.get(list_of("ledger_payment"), {"q": term}))}

    for term in (str(paid.pk), paid.provider_payment_id, str(paid.provider_key), paid.idempotency_key):
        assert found(term) == {paid.pk}, term
    assert found(page.checkout_id) == {page.pk}
    assert found(bob.email) == {paid.pk, page.pk}
    assert found("pi_nowhere") == set()


def test_staff_ask_the_provider_and_the_credits_are_given_once(payment, bob):
    client = signed_in(staff_with(VIEW, SETTLE))
    assert settle_url(payment) in client.get(page_of("ledger_payment", payment.pk)).content.decode()
    assert "nothing is charged by asking" in client.get(settle_url(payment)).content.decode()
    assert purchases(bob) == []

    form = new_form("The bank statement shows it.")
    answers = [client.post(settle_url(payment), each, follow=True) for each in (form, form, new_form())]

    assert "The payment is now succeeded." in answers[0].content.decode()
    assert "nothing was changed again" in answers[1].content.decode()
    assert "The payment is still succeeded." in answers[2].content.decode()
    assert purchases(bob) == [1000]
    assert fake().charges.count(payment.provider_key) == 1
    assert staff_log_of(payment)[:2] == [
        "Asks the provider. Reason: The bank statement shows it.",
        "Asked the provider: pending became succeeded.",
    ]
    assert settle_url(payment) not in answers[1].content.decode()


def test_a_payment_that_failed_here_and_was_paid_there_is_credited_by_asking_again(bob):
    payment = bought(bob, cards.AUTHENTICATE)
    failed = replace(paid_answer(payment), state=PaymentState.EXPIRED)
    record_answer(payment_id=payment.pk, answer=failed, source="webhook", now=timezone.now())
    fake().pay(payment.provider_key)
    client = signed_in(superuser())
    assert "Ask the provider again" in client.get(page_of("ledger_payment", payment.pk)).content.decode()

    preview = client.post(settle_url(payment), new_form(step="preview"))
    before = purchases(bob)
    client.post(settle_url(payment), new_form())

    assert dict(preview.context["preview"])["If it was paid"] == "succeeded, +1,000 credits"
    assert (before, purchases(bob)) == ([], [1000])


@pytest.mark.parametrize("permissions", [(VIEW,), (SETTLE,), ()])
def test_asking_needs_its_own_permission(payment, bob, permissions):
    client = signed_in(staff_with(*permissions))

    assert client.get(settle_url(payment)).status_code == 403
    assert client.post(settle_url(payment), new_form()).status_code == 403
    assert purchases(bob) == []


def test_a_payment_that_is_not_there_cannot_be_asked_about(payment):
    payment.pk += 1000

    assert signed_in(superuser()).post(settle_url(payment), new_form()).status_code == 404


def test_a_refusal_of_the_ledger_is_shown(payment, settings):
    Payment.objects.filter(pk=payment.pk).update(asked_at=payment.created_at)
    settings.IN_PRODUCTION = True  # the fake provider is refused in production

    answer = signed_in(superuser()).post(settle_url(payment), new_form(), follow=True)

    assert "Nothing was changed. This site takes no payments." in answer.content.decode()


def test_the_page_shows_the_providers_answers(payment):
    page = signed_in(superuser()).get(page_of("ledger_payment", payment.pk)).content.decode()

    assert "no_answer by answer" in page
    assert "12.50 USD" in page


def test_a_payment_cannot_be_edited_or_removed(payment):
    client = signed_in(superuser())

    for address in (page_of("ledger_payment", payment.pk), reverse("admin:ledger_payment_delete", args=[payment.pk])):
        assert client.post(address, {"state": PaymentState.SUCCEEDED}).status_code == 403
    assert client.get(reverse("admin:ledger_payment_add")).status_code == 403


def test_packages_are_made_and_changed(bob):
    client = signed_in(staff_with("ledger.add_topuppackage", "ledger.change_topuppackage", "ledger.view_topuppackage"))
    form = {
        "code": "big",
        "name": "Big",
        "credits": "5000",
        "price_minor": "4900",
        "currency": "USD",
        "is_active": "on",
    }

    client.post(reverse("admin:ledger_topuppackage_add"), form)

    made = TopUpPackage.objects.get(code="big")
    assert (made.credits, made.price_minor) == (Decimal(5000), 4900)
    client.post(page_of("ledger_topuppackage", made.pk), form | {"price_minor": "5900"})
    made.refresh_from_db()
    assert made.price_minor == 5900


@pytest.mark.parametrize(
    "wrong", [{"price_minor": "0"}, {"price_minor": "12.5"}, {"currency": "usd"}, {"credits": "0"}, {"credits": "1e3"}]
)
def test_a_package_that_could_not_be_sold_is_not_saved(wrong):
    form = {
        "code": "big",
        "name": "Big",
        "credits": "5000",
        "price_minor": "4900",
        "currency": "USD",
        "is_active": "on",
    }

    answer = signed_in(superuser()).post(reverse("admin:ledger_topuppackage_add"), form | wrong)

    assert answer.status_code == 200
    assert not TopUpPackage.objects.exists()


def test_a_package_that_was_bought_stays(bob):
    bought(bob, cards.APPROVE)

    signed_in(superuser()).post(reverse("admin:ledger_topuppackage_delete", args=[package().pk]), {"post": "yes"})

    assert TopUpPackage.objects.exists()
