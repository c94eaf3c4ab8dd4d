"""Freezing balances and setting overdraft limits in the back office: form, preview, confirmation, one record."""

import re
import uuid
from decimal import Decimal

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from ledger.models import TermsChange
from ledger.selectors import terms_of
from tests.backoffice import list_of, page_of, signed_in, staff_log_of, staff_with
from tests.factories import customer_with
from tests.ledger.posting import allow_overdraft, freeze, post

pytestmark = pytest.mark.django_db
KEY = "0b0c4f5e-90f3-4b7e-8a3b-5d6f0e1c2a33"
WAYS = ("freeze", "overdraft")
PERMISSIONS = {"freeze": "ledger.freeze_balance", "overdraft": "ledger.set_overdraft"}


@pytest.fixture
def customer():
    return customer_with(100, email="alice@example.com")


@pytest.fixture
def staff():
    return staff_with(*PERMISSIONS.values(), "accounts.view_user", "ledger.view_balance", "ledger.view_termschange")


@pytest.fixture
def client(staff):
    return signed_in(staff)


def address(customer, way):
    return reverse(f"admin:accounts_user_{way}", args=[customer.pk])


def sent(way, step="confirm", **changed):
    own = {"frozen": "yes"} if way == "freeze" else {"limit": "25"}
    return {**own, "note": "Chargeback", "form_key": KEY, "step": step, **changed}


def is_frozen(customer):
    return terms_of(user_id=customer.pk).frozen_at is not None


def limit(customer):
    return terms_of(user_id=customer.pk).overdraft_limit


@pytest.mark.parametrize("way", WAYS)
def test_the_form_carries_a_key_of_its_own_and_changes_nothing(client, customer, way):
    pages = [client.get(address(customer, way)).content.decode() for _ in range(2)]

    keys = [re.search(r'name="form_key" value="([0-9a-f-]{36})"', page)[1] for page in pages]
    assert keys[0] != keys[1]
    assert "<strong>100</strong>" in pages[0]
    assert not TermsChange.objects.exists()


@pytest.mark.parametrize(
    ("way", "lines"),
    [
        ("freeze", [("Spending now", "allowed"), ("Spending after", "frozen"), ("Available", "100")]),
        (
            "overdraft",
            [("Limit now", "0"), ("Limit after", "25"), ("Available", "100"), ("May be spent after", "125")],
        ),
    ],
)
def test_the_first_submit_shows_the_result_and_changes_nothing(client, customer, way, lines):
    answer = client.post(address(customer, way), sent(way, "preview", note="Two\r\nlines <b>"))

    said = answer.content.decode()
    assert answer.context["preview"] == lines
    assert f'name="form_key" value="{KEY}"' in said
    assert "Two<br>lines &lt;b&gt;" in said
    assert (is_frozen(customer), limit(customer)) == (False, 0)
    assert (TermsChange.objects.count(), LogEntry.objects.count()) == (0, 0)


@pytest.mark.parametrize("way", WAYS)
def test_the_hidden_fields_of_the_preview_are_those_that_confirming_sends(client, customer, way):
    page = client.post(address(customer, way), sent(way, "preview", note='"Two"\nlines')).content.decode()

    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))
    assert set(hidden) >= set(sent(way)) - {"step"}
    assert hidden["note"] == "&quot;Two&quot;\nlines"


@pytest.mark.parametrize("way", WAYS)
def test_back_shows_the_form_with_all_values(client, customer, way):
    answer = client.post(address(customer, way), sent(way, "edit", note="Two\r\nlines"))

    assert answer.context["form_key"] == KEY
    assert "Two\r\nlines" in answer.content.decode()
    assert not TermsChange.objects.exists()


def test_confirming_freezes_once_and_says_so_on_the_customers_page(client, staff, customer):
    answer = client.post(address(customer, "freeze"), sent("freeze", note="Two\r\nlines"), follow=True)

    change = TermsChange.objects.get()
    said = answer.content.decode()
    assert is_frozen(customer)
    assert answer.redirect_chain == [(page_of("accounts_user", customer.pk), 302)]
    assert (change.kind, change.note, change.actor) == ("freeze", "Two\nlines", staff)
    assert set(LogEntry.objects.values_list("user_id", flat=True)) == {staff.pk}
    assert staff_log_of(change) == ["Froze the balance: Two\nlines"]
    assert staff_log_of(customer) == [f"Frozen: change of terms {change.pk}."]
    assert "Froze the balance." in said
    assert "Frozen since" in said
    assert ">Unfreeze</a>" in said


def test_the_history_of_a_person_has_no_reasons_and_no_amounts(client, customer):
    client.post(address(customer, "freeze"), sent("freeze", note="Suspected of fraud"))
    client.post(
        address(customer, "overdraft"), sent("overdraft", note="Suspected of fraud", form_key=str(uuid.uuid4()))
    )

    history = reverse("admin:accounts_user_history", args=[customer.pk])
    said = signed_in(staff_with("accounts.view_user")).get(history).content.decode()

    assert "Frozen: change of terms" in said
    assert "Overdraft limit: change of terms" in said
    assert "fraud" not in said
    assert " 25" not in said


def test_a_frozen_balance_is_offered_to_be_unfrozen(client, customer):
    freeze(customer)

    page = client.get(address(customer, "freeze")).content.decode()
    client.post(address(customer, "freeze"), sent("freeze", frozen="no"))

    assert "Unfreeze balance" in page
    assert 'name="frozen" value="no"' in page
    assert not is_frozen(customer)
    assert staff_log_of(TermsChange.objects.latest("pk")) == ["Unfroze the balance: Chargeback"]


def test_confirming_sets_the_limit_and_says_what_it_was(client, customer):
    allow_overdraft(customer, "7.5")

    answer = client.post(address(customer, "overdraft"), sent("overdraft"), follow=True)

    assert limit(customer) == 25
    assert staff_log_of(TermsChange.objects.latest("pk")) == ["Set the overdraft limit from 7.5 to 25: Chargeback"]
    assert "Set the overdraft limit from 7.5 to 25." in answer.content.decode()
    assert "<dt>Overdraft limit</dt><dd><strong>25</strong>" in answer.content.decode()


@pytest.mark.parametrize("step", ["confirm", "preview"])
@pytest.mark.parametrize("way", WAYS)
def test_the_same_form_sent_again_changes_nothing_and_says_so(client, customer, way, step):
    client.post(address(customer, way), sent(way))

    answer = client.post(address(customer, way), sent(way, step), follow=True)

    assert "This form was sent before" in answer.content.decode()
    assert (TermsChange.objects.count(), LogEntry.objects.count()) == (1, 2)


@pytest.mark.parametrize("step", ["confirm", "preview"])
@pytest.mark.parametrize("way", WAYS)
def test_a_used_form_with_other_answers_is_refused_and_gets_a_new_key(client, customer, way, step):
    client.post(address(customer, way), sent(way))

    answer = client.post(address(customer, way), sent(way, step, note="Another reason"))

    assert "already made another change" in answer.content.decode()
    assert answer.context["form_key"] != KEY
    assert TermsChange.objects.count() == 1


@pytest.mark.parametrize("step", ["confirm", "preview"])
def test_a_form_whose_change_was_made_meanwhile_is_refused_in_the_ledgers_own_sentence(client, customer, step):
    freeze(customer)
    allow_overdraft(customer, 25)

    said = [client.post(address(customer, way), sent(way, step)).content.decode() for way in WAYS]

    assert "Nothing was changed. The balance is frozen already." in said[0]
    assert "Nothing was changed. That is the overdraft limit already." in said[1]
    assert LogEntry.objects.count() == 0


@pytest.mark.parametrize("step", ["confirm", "preview"])
def test_a_limit_below_what_is_overdrawn_is_refused_with_how_much_that_is(client, customer, step):
    allow_overdraft(customer, 50)
    post(customer, -130)

    said = client.post(address(customer, "overdraft"), sent("overdraft", step)).content.decode()

    assert "The customer is overdrawn by 30 credit(s), holds included" in said
    assert limit(customer) == 50


@pytest.mark.parametrize(
    ("way", "field", "value"),
    [
        *(("overdraft", "limit", value) for value in ("", "-1", "x", "1e3", "0.0000001", "9999999999", "NaN", "a\0")),
        *((way, "note", value) for way in WAYS for value in ("", "   ", "a\0b", "x" * 1001)),
        *((way, "form_key", value) for way in WAYS for value in ("", "x", "a\0")),
        *(("freeze", "frozen", value) for value in ("", "maybe", "a\0")),
    ],
)
def test_an_invalid_form_changes_nothing(client, customer, way, field, value):
    answer = client.post(address(customer, way), sent(way, **{field: value}))

    assert answer.status_code == 200
    assert 'role="alert"' in answer.content.decode() or field in answer.context["form"].errors
    assert not TermsChange.objects.exists()


@pytest.mark.parametrize("way", WAYS)
def test_each_needs_a_permission_of_its_own(customer, way):
    other = next(permission for name, permission in PERMISSIONS.items() if name != way)
    client = signed_in(staff_with(other, "accounts.view_user", "ledger.view_balance", "ledger.adjust_credits"))

    offered = [
        client.get(page_of(model, customer.pk)).content.decode() for model in ("accounts_user", "ledger_balance")
    ]

    assert all(address(customer, way) not in page for page in offered)
    assert client.get(address(customer, way)).status_code == 403
    assert client.post(address(customer, way), sent(way)).status_code == 403
    assert not TermsChange.objects.exists()


def test_the_pages_of_customer_and_balance_link_to_the_forms_with_the_permissions(client, customer):
    for model in ("accounts_user", "ledger_balance"):
        page = client.get(page_of(model, customer.pk)).content.decode()

        assert all(f'href="{address(customer, way)}"' in page for way in WAYS)


@pytest.mark.parametrize("way", WAYS)
def test_the_permission_alone_is_enough(customer, way):
    client = signed_in(staff_with(PERMISSIONS[way]))

    answer = client.post(address(customer, way), sent(way), follow=True)

    assert answer.redirect_chain == [(address(customer, way), 302)]
    assert TermsChange.objects.count() == 1


def test_the_history_of_all_customers_is_a_searchable_list(client, customer):
    freeze(customer, note="Stolen card")
    allow_overdraft(customer, "12.5")

    everything = client.get(list_of("ledger_termschange")).content.decode()
    found = client.get(list_of("ledger_termschange"), {"q": "stolen"}).content.decode()
    one = client.get(page_of("ledger_termschange", TermsChange.objects.latest("id").pk)).content.decode()

    assert "Set the overdraft limit from 0 to 12.5" in everything
    assert ("Stolen card" in found, "12.5" in found) == (True, False)
    assert "Set the overdraft limit from 0 to 12.5" in one
    assert f"{list_of('ledger_termschange')}?user={customer.pk}" in (
        client.get(page_of("accounts_user", customer.pk)).content.decode()
    )


@pytest.mark.parametrize("way", ["freeze", "overdraft-limit"])
@pytest.mark.parametrize("named", ["999999", "9" * 30, "x", "%00"])
def test_an_unknown_customer_is_not_found(client, way, named):
    assert client.get(f"/admin/accounts/user/{named}/{way}/").status_code == 404


@pytest.mark.parametrize("way", WAYS)
def test_a_post_from_another_site_is_refused(staff, customer, way):
    client = Client(enforce_csrf_checks=True)
    client.force_login(staff)

    assert client.post(address(customer, way), sent(way)).status_code == 403
    assert not TermsChange.objects.exists()


def test_a_limit_is_exact(client, customer):
    client.post(address(customer, "overdraft"), sent("overdraft", limit="0.000001"))

    assert limit(customer) == Decimal("0.000001")
