"""The back office's list of alerts: read-only, with the customer and condition of each."""

from decimal import Decimal

import pytest
from django.utils import timezone

from tests.backoffice import list_of, page_of, rows_of, signed_in, staff_with, superuser
from tests.factories import customer_with
from usage.models import AlertKind
from usage.services.alerts.actions import create_alert

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice():
    alice = customer_with(100, email="alice@example.com")
    for kind, threshold in ((AlertKind.BALANCE_BELOW, Decimal("1250.5")), (AlertKind.RUNWAY_BELOW, 7)):
        create_alert(user_id=alice.pk, kind=kind, threshold=threshold, now=timezone.now())
    return alice


def test_the_list_shows_what_each_alert_looks_at(alice):
    page = signed_in(staff_with("usage.view_alert")).get(list_of("usage_alert")).content.decode()

    for shown in ("alice@example.com", "1,250.5 credits", "7 days", "Depleted", "Grant expiring"):
        assert shown in page


def test_alerts_are_found_by_email_and_by_id(alice):
    bob = customer_with(1)
    other = create_alert(user_id=bob.pk, kind=AlertKind.RUNWAY_BELOW, threshold=7, now=timezone.now())
    client = signed_in(superuser())

    by_email = rows_of(client.get(list_of("usage_alert"), {"q": "alice@example.com"}))
    by_id = rows_of(client.get(list_of("usage_alert"), {"q": str(other.pk)}))

    assert ({alert.user_id for alert in by_email}, len(by_email)) == ({alice.pk}, 4)
    assert by_id == [other]


def test_the_customers_page_leads_to_them_for_those_who_may_see_them(alice):
    link = f'href="{list_of("usage_alert")}?user={alice.pk}"'

    seen = signed_in(staff_with("accounts.view_user", "usage.view_alert")).get(page_of("accounts_user", alice.pk))
    not_seen = signed_in(staff_with("accounts.view_user")).get(page_of("accounts_user", alice.pk))

    assert link in seen.content.decode()
    assert link not in not_seen.content.decode()
