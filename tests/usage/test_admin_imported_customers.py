"""The back office's list of names in logs: read-only, with the customer that each stands for."""

import pytest

from tests.backoffice import list_of, page_of, rows_of, signed_in, staff_with, superuser
from tests.factories import customer_with
from usage.models import ImportedCustomer

pytestmark = pytest.mark.django_db
MODEL = "usage_importedcustomer"


@pytest.fixture
def alice():
    alice = customer_with(1, email="alice@example.com")
    for value in ("203.0.113.7", "2001:db8::7", "acme"):
        ImportedCustomer.objects.create(source="edge", value=value, user=alice)
    return alice


@pytest.mark.parametrize(
    ("term", "value"),
    [
        *(("203.0.113.7", "203.0.113.7"), ("::ffff:203.0.113.7", "203.0.113.7"), ("2001:DB8:0::7", "2001:db8::7")),
        *(("ACME", "acme"), ("alice@example.com Acme", "acme")),
    ],
)
def test_a_name_is_found_in_any_spelling(alice, term, value):
    ImportedCustomer.objects.create(source="other", value="198.51.100.9", user=customer_with(1))

    found = rows_of(signed_in(superuser()).get(list_of(MODEL), {"q": term}))

    assert [(each.value, each.user) for each in found] == [(value, alice)]


def test_the_customers_page_leads_to_their_names_for_those_who_may_see_them(alice):
    link = f'href="{list_of(MODEL)}?user={alice.pk}"'

    staff = staff_with("accounts.view_user", "usage.view_importedcustomer")
    seen = signed_in(staff).get(page_of("accounts_user", alice.pk))
    not_seen = signed_in(staff_with("accounts.view_user")).get(page_of("accounts_user", alice.pk))

    assert link in seen.content.decode()
    assert link not in not_seen.content.decode()
