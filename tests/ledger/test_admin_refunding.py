"""Refunding a payment in the back office: amount, reason, preview, and the provider asked once."""

from __future__ import annotations

import pytest
from django.urls import reverse
from django.utils import timezone

from ledger.models import Payment, StaffRefund
from ledger.providers import fake as cards
from ledger.services.payments.reversals import note_dispute
from tests.accounts.races import at_once
from tests.backoffice import list_of, new_form, page_of, signed_in, staff_log_of, staff_with, superuser
from tests.factories import StaffFactory
from tests.ledger.paying import bought, fake, package, purchases
from tests.ledger.posting import post
from tests.ledger.refunding import refunded, saying_no, silent_before
from tests.ledger.reloading import low, reload_of, run_all
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db
MAY = ("ledger.view_payment", "ledger.refund_payment")


@pytest.fixture
def payment(bob):
    return bought(bob, cards.APPROVE)


def url(payment):
    return reverse("admin:ledger_payment_refund", args=[payment.pk])


def form_of(amount="12.50", **fields):
    return new_form("They never used it.", amount=amount, **fields)


def text_of(answer):
    return answer.content.decode().replace("&#x27;", "'")


def test_the_form_offers_all_that_is_left_and_its_link_is_on_the_payment(payment):
    client = signed_in(staff_with(*MAY))
    refunded(payment, 250)

    answer = client.get(url(payment))

    assert url(payment) in client.get(page_of("ledger_payment", payment.pk)).content.decode()
    assert answer.context["form"]["amount"].value() == "10.00"
    assert dict(answer.context["figures"])["Left to refund"] == "10.00 USD"


def test_the_preview_shows_money_and_credits_and_changes_nothing(bob, payment):
    post(bob, -900)
    client = signed_in(staff_with(*MAY))

    answer = client.post(url(payment), form_of("6.25", step="preview"))

    assert answer.context["preview"] == [
        ("Money back", "6.25 USD"),
        ("Refunded after", "6.25 USD of 12.50 USD"),
        ("Credits taken back", "100"),
        ("Credits owed after", "400"),
        ("Available now", "100"),
        ("Available after", "0"),
    ]
    assert not StaffRefund.objects.exists()
    assert purchases(bob) == [1000]
    assert Payment.objects.get(pk=payment.pk).refunded_minor == 0


def test_a_refund_gives_back_money_and_takes_credits_with_both_in_the_log(bob, payment):
    clerk = staff_with(*MAY, "ledger.view_staffrefund")
    client = signed_in(clerk)

    answer = client.post(url(payment), form_of("6.25"), follow=True)

    refund = StaffRefund.objects.get()
    assert "6.25 USD were refunded." in text_of(answer)
    assert (refund.state, refund.actor_id, refund.note) == ("made", clerk.pk, "They never used it.")
    assert fake().refunds[refund.provider_key].amount_minor == 625
    assert purchases(bob) == [1000, -500]
    assert staff_log_of(payment) == [
        f"Asks fake for refund {refund.pk} of 6.25 USD. Reason: They never used it.",
        f"Refund {refund.pk} was made: refunded 0.00 USD → 6.25 USD.",
    ]
    assert staff_log_of(bob) == [f"Asked for refund {refund.pk} of payment {payment.pk}."]
    assert "6.25 USD</a> (made)" in text_of(client.get(page_of("ledger_payment", payment.pk)))
    assert "They never used it." in text_of(client.get(page_of("ledger_staffrefund", refund.pk)))
    assert reconcile(Scope())[1] == []


def test_owed_credits_are_named_after_the_refund(bob, payment):
    post(bob, -900)

    answer = signed_in(superuser()).post(url(payment), form_of(), follow=True)

    assert "12.50 USD were refunded. 900 credits were spent before: they are owed." in text_of(answer)


def test_a_provider_that_says_no_is_quoted_and_nothing_is_done(bob, payment, monkeypatch):
    saying_no(monkeypatch)

    answer = signed_in(superuser()).post(url(payment), form_of(), follow=True)

    assert "Nothing was refunded, and no credits were taken back." in text_of(answer)
    assert "The charge is disputed." in text_of(answer)
    assert purchases(bob) == [1000]
    assert staff_log_of(payment)[1].endswith("was refused: The charge is disputed.")


def test_a_provider_that_is_silent_leaves_a_refund_under_way_which_no_second_one_doubles(bob, payment, monkeypatch):
    silent_before(monkeypatch)
    client, form = signed_in(superuser()), form_of()

    answers = [client.post(url(payment), form, follow=True), client.post(url(payment), form, follow=True)]
    other = client.post(url(payment), form_of())

    assert "The provider does not answer. The refund is recorded" in text_of(answers[0])
    assert "under way); nothing was refunded again" in text_of(answers[1])
    assert "A refund of this payment is under way" in text_of(other)
    assert StaffRefund.objects.count() == 1
    assert purchases(bob) == [1000]


def test_a_site_without_the_provider_refunds_nothing(payment, settings):
    settings.IN_PRODUCTION = True  # the fake provider is refused in production

    answer = signed_in(superuser()).post(url(payment), form_of())

    assert "Nothing was refunded. This site takes no payments." in text_of(answer)
    assert not StaffRefund.objects.exists()


def test_too_many_calls_of_the_provider_leave_the_form_to_be_sent_again(bob, payment, settings):
    settings.PROVIDER_CALLS_AT_ONCE = 0
    client, form = signed_in(superuser()), form_of()

    busy = client.post(url(payment), form)
    settings.PROVIDER_CALLS_AT_ONCE = 1
    client.post(url(payment), form)

    assert "Payments are slow just now" in text_of(busy)
    assert purchases(bob) == [1000, -1000]


@pytest.mark.parametrize(
    ("amount", "sentence"),
    [
        ("", "This field is required."),
        ("0", "More than nothing"),
        ("0.00", "More than nothing"),
        ("-5", "Write a number"),
        ("1e3", "Write a number"),
        ("NaN", "Write a number"),
        ("1,000", "Write a number"),
        ("１２", "Write a number"),
        ("5\0", "Null characters"),
        ("0.001", "at most 2 decimal places"),
        ("9" * 21, "at most 20 characters"),
    ],
)
@pytest.mark.parametrize("step", ["preview", "confirm"])
def test_an_invalid_amount_is_an_error_of_the_field(payment, amount, sentence, step):
    answer = signed_in(superuser()).post(url(payment), form_of(amount, step=step))

    assert sentence in " ".join(answer.context["form"].errors["amount"])
    assert not StaffRefund.objects.exists()


@pytest.mark.parametrize("amount", ["12.51", "999999999999"])
def test_more_than_is_left_is_refused_with_what_is(payment, amount):
    for step in ("preview", "confirm"):
        answer = signed_in(superuser()).post(url(payment), form_of(amount, step=step))

        assert "12.50 USD of this payment are left to refund." in text_of(answer)
    assert not StaffRefund.objects.exists()


def test_a_currency_without_decimals_is_refunded_in_whole_units(bob):
    package(currency="JPY")
    payment = bought(bob, cards.APPROVE)
    client = signed_in(superuser())

    assert "at most 0 decimal places" in text_of(client.post(url(payment), form_of("625.5")))
    client.post(url(payment), form_of("625"))

    assert purchases(bob) == [1000, -500]


def test_a_disputed_payment_offers_what_the_bank_left(bob, payment):
    note_dispute(payment_id=payment.pk, provider_dispute_id="d", amount_minor=1250, status="open", now=timezone.now())

    answer = signed_in(superuser()).post(url(payment), form_of("0.01"))

    assert "0.00 USD of this payment are left to refund." in text_of(answer)


def test_a_refund_of_an_automatic_purchase_says_that_auto_reload_goes_off():
    user = low(50, now=timezone.now())
    run_all(timezone.now())
    payment = Payment.objects.get(user=user, kind="auto_reload", state="succeeded")

    answer = signed_in(superuser()).post(url(payment), form_of("1", step="preview"))

    assert ("Auto-reload", "is turned off") in answer.context["preview"]
    assert reload_of(user).enabled


@pytest.mark.parametrize("permissions", [(), (MAY[0], "ledger.settle_payment"), (MAY[1],)])
def test_refunding_is_a_permission_of_its_own(payment, permissions):
    client = signed_in(staff_with(*permissions))

    assert [client.get(url(payment)).status_code, client.post(url(payment), form_of()).status_code] == [403, 403]
    assert not StaffRefund.objects.exists()


def test_nobody_refunds_a_payment_of_their_own():
    boss = superuser()
    clerk = StaffFactory(email="buyer@example.com")
    own, colleagues = bought(boss, cards.APPROVE), bought(clerk, cards.APPROVE)

    codes = [
        signed_in(boss).post(url(own), form_of()).status_code,
        signed_in(staff_with(*MAY)).post(url(colleagues), form_of()).status_code,
    ]

    assert codes == [403, 403]


@pytest.mark.parametrize("wrong", [{"note": ""}, {"form_key": ""}, {"form_key": "x"}])
def test_a_form_without_a_reason_or_key_refunds_nothing(payment, wrong):
    answer = signed_in(superuser()).post(url(payment), form_of() | wrong)

    assert answer.status_code == 200
    assert not StaffRefund.objects.exists()


def test_refunds_by_staff_are_listed_and_cannot_be_edited(bob, payment):
    refund = refunded(payment)
    client = signed_in(superuser())

    assert bob.email in text_of(client.get(list_of("ledger_staffrefund")))
    for address in (
        page_of("ledger_staffrefund", refund.pk),
        reverse("admin:ledger_staffrefund_delete", args=[refund.pk]),
    ):
        assert client.post(address, {"state": "asked"}).status_code == 403


@pytest.mark.django_db(transaction=True)
def test_a_form_confirmed_sixteen_times_at_once_refunds_once(bob, payment, settings):
    settings.PROVIDER_CALLS_AT_ONCE = 16
    boss, form = superuser(), form_of("6.25")

    codes = at_once(16, lambda: signed_in(boss).post(url(payment), form).status_code)

    assert codes == [302] * 16
    assert StaffRefund.objects.count() == 1
    assert purchases(bob) == [1000, -500]


@pytest.mark.django_db(transaction=True)
def test_two_of_the_staff_at_once_refund_no_more_than_was_paid(bob, payment, settings):
    settings.PROVIDER_CALLS_AT_ONCE = 16
    staff = iter([superuser() for _ in range(16)])

    at_once(16, lambda: signed_in(next(staff)).post(url(payment), form_of()).status_code)

    assert purchases(bob) == [1000, -1000]
    assert StaffRefund.objects.filter(state="made").count() == 1
