"""Adjusting credits in the back office: form, preview, confirmation, one entry."""

import re
import threading
from decimal import Decimal

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.urls import reverse

from ledger.models import Entry, EntryReason
from ledger.selectors import balance_of
from ledger.services.grants import grant_credits
from ledger.services.holds import open_hold
from tests.backoffice import page_of, signed_in, staff_log_of, staff_with
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
KEY = "0b0c4f5e-90f3-4b7e-8a3b-5d6f0e1c2a33"


@pytest.fixture
def customer():
    customer = UserFactory(email="alice@example.com")
    grant_credits(
        user_id=customer.pk, amount=Decimal(100), reason=EntryReason.PURCHASE, reference="pay-1", idempotency_key="k"
    )
    return customer


@pytest.fixture
def staff():
    return staff_with("ledger.adjust_credits", "accounts.view_user", "ledger.view_balance", "ledger.view_entry")


@pytest.fixture
def client(staff):
    return signed_in(staff)


def address(customer):
    return reverse("admin:accounts_user_adjust_credits", args=[customer.pk])


def sent(step="confirm", **changed):
    return {"amount": "25", "reason": "goodwill", "note": "Sorry", "form_key": KEY, "step": step, **changed}


def adjustments(customer):
    return Entry.objects.of(customer.pk).filter(type="adjustment")


def test_the_form_shows_what_the_customer_has_and_carries_a_key_of_its_own(client, customer):
    open_hold(user_id=customer.pk, credits=Decimal(30), expires_in_seconds=60, idempotency_key="h")

    pages = [client.get(address(customer)).content.decode() for _ in range(2)]

    assert "<strong>70</strong>" in pages[0]
    keys = [re.search(r'name="form_key" value="([0-9a-f-]{36})"', page)[1] for page in pages]
    assert keys[0] != keys[1]
    assert adjustments(customer).count() == 0


def test_the_first_submit_shows_the_result_and_posts_nothing(client, customer):
    open_hold(user_id=customer.pk, credits=Decimal(30), expires_in_seconds=60, idempotency_key="h")

    answer = client.post(address(customer), sent("preview", amount="-12.5"))

    assert answer.context["preview"] == [
        ("Balance now", "100"),
        ("Change", "-12.5"),
        ("Balance after", "87.5"),
        ("Available after", "57.5"),
    ]
    assert KEY in answer.content.decode()
    assert "Confirm" in answer.content.decode()
    assert adjustments(customer).count() == 0
    assert balance_of(user_id=customer.pk).balance == 100
    assert LogEntry.objects.count() == 0


def test_back_shows_the_form_with_all_values(client, customer):
    answer = client.post(address(customer), sent("edit", note="Two\r\nlines"))

    form = answer.context["form"]
    assert (form["amount"].value(), form["reason"].value()) == ("25", "goodwill")
    assert answer.context["form_key"] == KEY
    assert "Two\r\nlines" in answer.content.decode()
    assert adjustments(customer).count() == 0


def test_confirming_posts_one_entry_under_the_actors_name_and_redirects(client, staff, customer):
    answer = client.post(address(customer), sent(note="Two\r\nlines"), follow=True)

    entry = adjustments(customer).get()
    assert answer.redirect_chain == [(page_of("accounts_user", customer.pk), 302)]
    assert (entry.amount, entry.balance_after, entry.reason, entry.description) == (25, 125, "goodwill", "Two\nlines")
    assert entry.actor_id == staff.pk
    said = answer.content.decode()
    assert f'Credits adjusted: <a href="{page_of("ledger_entry", entry.pk)}">entry {entry.pk}</a> (+25 credits' in said


def test_the_admin_log_records_actor_and_adjustment(client, staff, customer):
    client.post(address(customer), sent())

    entry = adjustments(customer).get()
    assert set(LogEntry.objects.values_list("user_id", flat=True)) == {staff.pk}
    assert staff_log_of(entry) == [f"Adjusted credits by +25 (goodwill): entry {entry.pk}."]
    assert staff_log_of(customer) == [f"Adjusted credits: entry {entry.pk}."]


@pytest.mark.parametrize("step", ["confirm", "preview"])
def test_the_same_form_sent_again_posts_nothing_and_says_so(client, customer, step):
    client.post(address(customer), sent())

    answer = client.post(address(customer), sent(step), follow=True)

    assert "This form was already posted as" in answer.content.decode()
    assert adjustments(customer).count() == 1
    assert LogEntry.objects.count() == 2


@pytest.mark.parametrize("step", ["confirm", "preview"])
def test_a_used_form_with_other_answers_is_refused_and_gets_a_new_key(client, customer, step):
    client.post(address(customer), sent())

    answer = client.post(address(customer), sent(step, amount="26"))

    assert answer.status_code == 200
    assert "already posted another adjustment" in answer.content.decode()
    assert answer.context["form_key"] != KEY
    assert adjustments(customer).count() == 1


@pytest.mark.parametrize("step", ["confirm", "preview"])
def test_more_than_is_available_is_refused_in_the_ledgers_own_sentence(client, customer, step):
    answer = client.post(address(customer), sent(step, amount="-100.5"))

    said = answer.content.decode()
    assert answer.status_code == 200
    assert "You have 100 credit(s) remaining, but this request requires 100.5 credit(s)." in said
    assert "-100.5" in said
    assert answer.context["form_key"] == KEY
    assert adjustments(customer).count() == 0


def test_a_balance_beyond_its_bound_is_refused(client, customer):
    answer = client.post(address(customer), sent(amount="999999999"))

    assert "The balance may not exceed 999999999.999999 credits." in answer.content.decode()
    assert adjustments(customer).count() == 0


@pytest.mark.parametrize(
    ("amount", "sentence"),
    [
        ("0", "Credits must not be 0."),
        ("-0.000000", "Credits must not be 0."),
        ("0.0000001", "at most 6 decimal places"),
        ("1000000000", "Credits lie between"),
        ("9" * 40, "Credits lie between"),
        ("9" * 41, "Write a number"),
        ("", "This field is required."),
        ("1e3", "Write a number"),
        ("NaN", "Write a number"),
        ("1,000", "Write a number"),
        ("１２", "Write a number"),
        ("1_0", "Write a number"),
        ("5\0", "Write a number"),
    ],
)
@pytest.mark.parametrize("step", ["confirm", "preview"])
def test_an_invalid_amount_is_an_error_of_the_field(client, customer, amount, sentence, step):
    answer = client.post(address(customer), sent(step, amount=amount))

    assert sentence in " ".join(answer.context["form"].errors["amount"])
    assert adjustments(customer).count() == 0


def test_a_plus_sign_is_understood(client, customer):
    client.post(address(customer), sent(amount=" +5 "))

    assert adjustments(customer).get().amount == 5


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("note", ""),
        ("note", "   "),
        ("note", "a\0b"),
        ("note", "x" * 1001),
        ("reason", ""),
        ("reason", "purchase"),
        ("reason", "usage"),
    ],
)
def test_reason_and_note_are_required(client, customer, field, value):
    answer = client.post(address(customer), sent(**{field: value}))

    assert field in answer.context["form"].errors
    assert adjustments(customer).count() == 0


@pytest.mark.parametrize("form_key", ["", "stale", "x" * 300, "a\0b"])
def test_a_form_without_its_key_gets_a_new_one_and_posts_nothing(client, customer, form_key):
    answer = client.post(address(customer), sent(form_key=form_key))

    assert (
        "please check it and send it again" in answer.content.decode() or "Null characters" in answer.content.decode()
    )
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.context["form_key"])
    assert adjustments(customer).count() == 0


def test_the_same_key_for_another_customer_is_another_adjustment(client, customer):
    other = UserFactory()

    for person in (customer, other):
        client.post(address(person), sent())

    assert (adjustments(customer).count(), adjustments(other).count()) == (1, 1)


def test_a_note_is_shown_as_text_not_as_markup(client, customer):
    answer = client.post(address(customer), sent("preview", note="<script>alert(1)</script></textarea>"))

    assert "<script>alert" not in answer.content.decode()


def test_without_the_permission_button_and_page_are_refused(customer):
    client = signed_in(staff_with("accounts.view_user", "accounts.change_user", "ledger.view_balance"))

    assert "Adjust credits" not in client.get(page_of("accounts_user", customer.pk)).content.decode()
    assert client.get(address(customer)).status_code == 403
    assert client.post(address(customer), sent()).status_code == 403
    assert adjustments(customer).count() == 0


def test_with_the_permission_the_customers_page_has_the_button(client, customer):
    assert f'href="{address(customer)}"' in client.get(page_of("accounts_user", customer.pk)).content.decode()


def test_the_permission_alone_is_enough(customer):
    client = signed_in(staff_with("ledger.adjust_credits"))

    answer = client.post(address(customer), sent(), follow=True)

    assert answer.redirect_chain == [(address(customer), 302)]
    assert "Credits adjusted: entry" in answer.content.decode()
    assert adjustments(customer).count() == 1


@pytest.mark.parametrize("named", ["999999", "99999999999999999999999", "x", "1.5", "%00"])
def test_an_unknown_customer_is_not_found(client, named):
    answer = client.get(f"/admin/accounts/user/{named}/adjust-credits/")

    assert answer.status_code == 404


def test_a_post_from_another_site_is_refused(staff, customer):
    client = Client(enforce_csrf_checks=True)
    client.force_login(staff)

    answer = client.post(address(customer), sent())

    assert answer.status_code == 403
    assert adjustments(customer).count() == 0


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_other_methods_are_not_allowed(client, customer, method):
    assert getattr(client, method)(address(customer)).status_code == 405


@pytest.mark.django_db(transaction=True)
def test_a_form_confirmed_eight_times_at_once_posts_once(staff, customer):
    clients, barrier, codes = [signed_in(staff) for _ in range(8)], threading.Barrier(8), []

    def confirm(client):
        barrier.wait()
        try:
            codes.append(client.post(address(customer), sent()).status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=confirm, args=[client]) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert codes == [302] * 8
    assert adjustments(customer).count() == 1
    assert LogEntry.objects.count() == 2
