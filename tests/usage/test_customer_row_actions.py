"""What staff may do to the rows on a customer's page: links in the last column, by permission and state."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from ledger.models import Payment
from ledger.providers import fake as cards
from tests.backoffice import page_of, signed_in, staff_with, superuser
from tests.factories import ApiKeyFactory, UserFactory
from tests.ledger.granting import granted
from tests.ledger.paying import bought
from tests.ledger.posting import hold
from tests.ledger.reloading import agreed

pytestmark = pytest.mark.django_db
VIEWS = (
    "accounts.view_user", "accounts.view_apikey", "ledger.view_grant", "ledger.view_hold", "ledger.view_payment",
    "ledger.view_autoreload",
)  # fmt: skip


@pytest.fixture
def bob():
    return UserFactory(email="bob@example.com")


@pytest.fixture
def addresses(bob):
    """Return the address of each action on a row of Bob's."""
    rows = {
        "grant": granted(bob, 50, days=5).pk,
        "hold": hold(bob, 10).hold.pk,
        "paid": bought(bob, cards.APPROVE).pk,
        "unpaid": bought(bob, cards.TIME_OUT).pk,
        "key": ApiKeyFactory(user=bob).api_key.pk,
        "reload": agreed(bob).pk,
    }
    of_rows = {
        "ledger.end_grant": ("ledger_grant_end", "grant"),
        "ledger.extend_grant": ("ledger_grant_extend", "grant"),
        "ledger.release_hold": ("ledger_hold_release", "hold"),
        "ledger.refund_payment": ("ledger_payment_refund", "paid"),
        "ledger.resend_receipt": ("ledger_payment_resend_receipt", "paid"),
        "ledger.settle_payment": ("ledger_payment_settle", "unpaid"),
        "accounts.revoke_apikey": ("accounts_apikey_revoke", "key"),
        "ledger.switch_off_auto_reload": ("ledger_autoreload_switch_off", "reload"),
    }
    return {permission: reverse(f"admin:{name}", args=[rows[row]]) for permission, (name, row) in of_rows.items()}


def offered(client, bob, addresses):
    page = client.get(page_of("accounts_user", bob.pk)).content.decode()
    return {permission for permission, address in addresses.items() if f'href="{address}"' in page}


def test_each_row_offers_what_the_viewer_may_do_to_it(bob, addresses):
    assert offered(signed_in(superuser()), bob, addresses) == set(addresses)
    assert offered(signed_in(staff_with(*VIEWS)), bob, addresses) == set()
    for permission in addresses:
        assert offered(signed_in(staff_with(*VIEWS, permission)), bob, addresses) == {permission}


def test_a_row_offers_only_what_fits_its_state(bob, addresses):
    page = signed_in(superuser()).get(page_of("accounts_user", bob.pk)).content.decode()
    paid, unpaid = Payment.objects.order_by("pk")

    assert reverse("admin:ledger_payment_settle", args=[paid.pk]) not in page
    assert reverse("admin:ledger_payment_refund", args=[unpaid.pk]) not in page
    assert reverse("admin:ledger_payment_resend_receipt", args=[unpaid.pk]) not in page


def test_colleagues_rows_offer_nothing_to_staff():
    colleague = UserFactory(is_staff=True)
    held = hold(granted(colleague, 5).user_id, 1).hold

    page = signed_in(staff_with(*VIEWS, "ledger.release_hold")).get(page_of("accounts_user", colleague.pk))

    assert reverse("admin:ledger_hold_release", args=[held.pk]) not in page.content.decode()


def test_more_rows_ask_for_no_more_statements(bob, addresses):
    client = signed_in(superuser())
    client.get(page_of("accounts_user", bob.pk))  # records the look, which further ones do not

    def statements():
        with CaptureQueriesContext(connection) as made:
            client.get(page_of("accounts_user", bob.pk))
        return len(made)

    few = statements()
    for _ in range(4):
        granted(bob, 5, days=9)
        hold(bob, 1)
        bought(bob, cards.APPROVE)

    assert statements() == few
