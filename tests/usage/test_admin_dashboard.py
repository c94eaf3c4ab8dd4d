"""The front page: key figures, shown with the permission to view their lists, each linked to its list."""

import datetime as dt
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import ApiKey
from ledger.models import Payment
from ledger.providers import fake as cards
from ledger.services.holds import open_hold
from ledger.services.payments.reversals import note_dispute
from tests.backoffice import audit, rows_of, signed_in, staff_with, superuser
from tests.factories import ApiKeyFactory, StaffFactory, UserFactory, customer_with
from tests.ledger.paying import bought
from tests.usage.metering import charge, price, report, request_at
from usage.admin.dashboard import figures_now, forget_figures

pytestmark = pytest.mark.django_db
MOST_STATEMENTS = 14


@pytest.fixture(autouse=True)
def _counted_anew(db):
    forget_figures()
    yield
    forget_figures()


def tiles(client):
    answer = client.get("/admin/")
    assert answer.status_code == 200
    return {tile.title: tile for tile in answer.context["tiles"]}


@pytest.fixture
def company():
    """A small company with rows for every figure."""
    price("search", 2)
    alice = customer_with(100, email="alice@example.com")
    customer_with(1, email="bob@example.com")
    poor = customer_with(2, email="poor@example.com")
    UserFactory(email="new@example.com")
    charge(alice)
    charge(alice, status=500)
    charge(poor)
    charge(poor, status=429)
    report(poor, [request_at(timezone.now())], charged=True)  # cannot be paid any more
    open_hold(user_id=alice.pk, credits=Decimal(30), expires_in_seconds=900, idempotency_key="h")
    ApiKey.objects.filter(pk=ApiKeyFactory(user=alice).api_key.pk).update(last_used_at=timezone.now())
    ApiKeyFactory(user=alice)
    for method in (cards.TIME_OUT, None, cards.DECLINE):
        bought(alice, method)
    disputed = Payment.objects.of(alice.pk).get(state="failed")  # no credits to take back
    for name, status in (("dp_1", "open"), ("dp_2", "lost")):
        note_dispute(
            payment_id=disputed.pk, provider_dispute_id=name, amount_minor=1, status=status, now=timezone.now()
        )
    audit(findings=2)
    return alice


def test_the_numbers_are_right(company):
    shown = {title: tile.value for title, tile in tiles(signed_in(superuser())).items()}

    assert shown == {
        "Customers": "4",
        "Credits outstanding": "99",
        "At or below zero": "1",
        "Reserved by holds": "30",
        "Holds expired, not settled": "0",
        "Payments under way": "2",
        "Payments failed this month": "1",
        "Payments disputed": "1",
        "Credits used today": "4",
        "Credits used this month": "4",
        "Requests today": "5",
        "Failed today": "20.0 %",
        "Unpaid this month": "1",
        "Keys used in 24 hours": "1",
        "Reconciliation": "2 findings",
    }


def test_each_number_leads_to_a_list_that_has_as_many_rows(company):
    client = signed_in(superuser())
    shown = tiles(client)

    for title, number in {
        "Customers": 4, "At or below zero": 1, "Reserved by holds": 1, "Holds expired, not settled": 0,
        "Payments under way": 2, "Payments failed this month": 1, "Payments disputed": 1,
        "Requests today": 5, "Failed today": 1, "Unpaid this month": 1, "Keys used in 24 hours": 1,
    }.items():  # fmt: skip
        answer = client.get(shown[title].url)
        assert answer.status_code == 200, title
        assert len(rows_of(answer)) == number, title
    assert all(client.get(tile.url).status_code == 200 for tile in shown.values())


def test_a_hold_that_has_run_out_is_not_reserved_and_is_counted_as_unsettled(company):
    hold = open_hold(user_id=company.pk, credits=Decimal(20), expires_in_seconds=1, idempotency_key="short").hold
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_sleep(greatest(0, extract(epoch FROM %s - clock_timestamp())) + 0.05)", [hold.expires_at]
        )
    client = signed_in(superuser())

    shown = tiles(client)

    assert shown["Reserved by holds"].value == "30"
    assert shown["Holds expired, not settled"].value == "1"
    assert [row.pk for row in rows_of(client.get(shown["Holds expired, not settled"].url))] == [hold.pk]


@pytest.mark.parametrize(
    ("permission", "titles"),
    [
        ("accounts.view_user", {"Customers"}),
        ("ledger.view_balance", {"Credits outstanding", "At or below zero"}),
        ("ledger.view_hold", {"Reserved by holds", "Holds expired, not settled"}),
        ("ledger.view_payment", {"Payments under way", "Payments failed this month", "Payments disputed"}),
        (
            "usage.view_requestlog",
            {"Credits used today", "Credits used this month", "Requests today", "Failed today", "Unpaid this month"},
        ),
        ("accounts.view_apikey", {"Keys used in 24 hours"}),
        ("usage.view_reconciliationrun", {"Reconciliation"}),
        ("ledger.view_entry", set()),
    ],
)
def test_a_number_is_shown_to_those_who_may_see_its_list(company, permission, titles):
    client = signed_in(staff_with(permission))

    shown = tiles(client)

    assert set(shown) == titles
    assert all(client.get(tile.url).status_code == 200 for tile in shown.values())


def test_staff_without_permissions_see_no_number(company):
    assert tiles(signed_in(StaffFactory())) == {}


def test_a_company_without_customers_has_a_front_page_too():
    shown = tiles(signed_in(superuser()))

    assert shown["Failed today"].value == "–"
    assert shown["Reconciliation"].value == "never"
    assert shown["Reconciliation"].needs_care


def test_the_front_page_takes_few_statements_and_counts_at_most_once_a_minute(company):
    staff = staff_with("accounts.view_user", "ledger.view_balance", "usage.view_requestlog")
    client = signed_in(staff)
    client.get("/admin/password_change/")  # now and then a page notes that the sign-in is in use

    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as statements:
            client.get("/admin/")
        counts.append(len(statements))

    assert counts[0] <= MOST_STATEMENTS
    assert counts[1] <= 5


def test_the_page_says_how_old_its_numbers_are(company):
    at = figures_now().at

    said = signed_in(superuser()).get("/admin/").content.decode()

    assert f"Counted at {at:%H:%M:%S} UTC, at most every 60 seconds" in said


def test_a_run_of_reconciliation_shows_its_findings_readably(company):
    finding = {
        "check": "seal_fits_entry", "user_id": company.pk, "detail": "Entry 7 is not what was sealed.", "entry_id": 7,
    }  # fmt: skip
    run = audit(findings=1, report={"checked": {"entries": 1234567, "daily_sums": 3}, "findings": [finding]})
    client = signed_in(staff_with("usage.view_reconciliationrun"))

    said = client.get(f"/admin/usage/reconciliationrun/{run.pk}/change/").content.decode()

    for text in ("1,234,567 entries, 3 daily sums", "seal_fits_entry", "Entry 7 is not what was sealed.", "entry_id 7"):
        assert text in said
    assert f"/admin/accounts/user/{company.pk}/change/" in said


def test_runs_are_filtered_by_whether_they_found_anything():
    clean, dirty = audit(), audit(findings=3, finished_at=timezone.now() - dt.timedelta(days=1))
    client = signed_in(superuser())

    found = {
        name: rows_of(client.get(f"/admin/usage/reconciliationrun/?found={name}")) for name in ("some", "none", "x")
    }

    assert found == {"some": [dirty], "none": [clean], "x": [clean, dirty]}
