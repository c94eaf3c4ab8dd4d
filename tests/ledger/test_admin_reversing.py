"""Reversing an entry in the back office."""

import uuid

import pytest
from django.urls import reverse

from ledger.models import AdjustmentRequest, Entry
from ledger.providers.fake import APPROVE
from ledger.selectors import balance_of
from tests.backoffice import page_of, signed_in, staff_log_of, staff_with
from tests.factories import StaffFactory, customer_with
from tests.ledger.adjusting import ask, limited
from tests.ledger.paying import bought
from tests.usage.metering import charge

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice():
    return customer_with(100)


@pytest.fixture
def clerk():
    return limited(staff_with("ledger.reverse_entry", "ledger.view_entry"), single=50, daily=80)


@pytest.fixture
def debit(alice):
    return Entry.objects.get(pk=charge(alice, credits=40).entry_id)


def address(entry):
    return reverse("admin:ledger_entry_reverse", args=[entry.pk])


def sent(step="confirm", **changed):
    return {
        "credits": "15",
        "note": "It never worked",
        "reference": "",
        "form_key": uuid.uuid4(),
        "step": step,
    } | changed


def test_the_form_begins_with_all_that_is_left(clerk, debit):
    client = signed_in(clerk)
    client.post(address(debit), sent())

    answer = client.get(address(debit))

    assert ("Left to reverse", "25") in answer.context["figures"]
    assert answer.context["form"]["credits"].value() == "25"
    assert "the statistics of the request are lowered" in answer.content.decode()


def test_a_part_is_given_back_and_the_entry_says_so(alice, clerk, debit):
    client = signed_in(clerk)
    preview = client.post(address(debit), sent("preview")).context["preview"]

    answer = client.post(address(debit), sent(), follow=True)

    entry = Entry.objects.get(reverses=debit)
    assert preview[:3] == [("Balance now", "60"), ("Change", "+15"), ("Balance after", "75")]
    assert (entry.amount, entry.reason, entry.actor_id, entry.description) == (
        15, "reversal", clerk.pk, "It never worked",
    )  # fmt: skip
    assert f">{entry.pk}</a> (+15)" in answer.content.decode()
    assert staff_log_of(debit) == [f"Reversed by +15: entry {entry.pk}."]
    assert balance_of(user_id=alice.pk).balance == 75


@pytest.mark.parametrize("step", ["confirm", "preview"])
def test_more_than_is_left_is_refused(clerk, debit, step):
    answer = signed_in(clerk).post(address(debit), sent(step, credits="40.000001"))

    assert "Only 40 credit(s) of this entry are left to reverse." in answer.content.decode()
    assert not AdjustmentRequest.objects.exists()


def test_above_the_limit_it_waits(clerk, alice):
    debit = Entry.objects.get(pk=charge(alice, credits=60).entry_id)

    answer = signed_in(clerk).post(address(debit), sent(credits="60"), follow=True)

    assert "Nothing was posted yet" in answer.content.decode()
    assert AdjustmentRequest.objects.get().reverses_id == debit.pk
    assert not Entry.objects.filter(reverses=debit).exists()


def test_what_gave_credits_takes_them(alice, clerk):
    gave = ask(alice, 30, by=clerk).entry

    signed_in(clerk).post(address(gave), sent(credits="30"))

    assert balance_of(user_id=alice.pk).balance == 100


def test_what_was_paid_for_is_refused_with_its_own_way(alice, clerk):
    entry = Entry.objects.get(pk=bought(alice, APPROVE).entry_id)

    answer = signed_in(clerk).post(address(entry), sent())

    assert "Nothing was posted. These credits were paid for: refund the payment" in answer.content.decode()


def test_the_page_of_an_entry_offers_it_to_those_who_may(clerk, debit):
    reader = staff_with("ledger.view_entry")

    assert address(debit) in signed_in(clerk).get(page_of("ledger_entry", debit.pk)).content.decode()
    assert address(debit) not in signed_in(reader).get(page_of("ledger_entry", debit.pk)).content.decode()


def test_without_the_permission_nothing_is_reversed(debit):
    client = signed_in(staff_with("ledger.view_entry", "ledger.adjust_credits"))

    assert client.get(address(debit)).status_code == 403
    assert client.post(address(debit), sent()).status_code == 403


def test_entries_of_ones_own_and_of_colleagues_are_refused(clerk):
    for person in (clerk, StaffFactory()):
        entry = ask(person, 5, by=limited(StaffFactory(), single=100, daily=100)).entry

        assert signed_in(clerk).post(address(entry), sent(credits="5")).status_code == 403


def test_a_double_click_reverses_once(clerk, debit):
    client, form = signed_in(clerk), sent()

    for _ in range(2):
        client.post(address(debit), form)

    assert Entry.objects.filter(reverses=debit).count() == 1
