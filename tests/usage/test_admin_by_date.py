"""Lists by year, month and day, and searches of long tables: neither reads a whole table."""

import datetime as dt
import uuid
from decimal import Decimal
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from config.backoffice import exact_search
from config.backoffice.paginator import CappedPaginator
from ledger.admin.credits.entries import EntryAdmin
from ledger.models import Entry, Hold
from ledger.services.holds import open_hold
from tests.backoffice import audit, list_of, rows_of, signed_in, superuser
from tests.factories import SubscriptionFactory, customer_with, give
from tests.usage.metering import charge, price, report, request_at
from usage.admin import requests
from usage.models import RequestLog

pytestmark = pytest.mark.django_db
BY_DATE = {
    "accounts_user": "created_at",
    "accounts_subscription": "started_at",
    "ledger_entry": "created_at",
    "ledger_hold": "created_at",
    "usage_price": "effective_from",
    "usage_requestlog": "occurred_at",
    "usage_reconciliationrun": "finished_at",
}


@pytest.fixture
def client():
    return signed_in(superuser())


@pytest.fixture
def alice():
    price("search", 1)
    alice = SubscriptionFactory(user=customer_with(100, email="alice@example.com")).user
    open_hold(user_id=alice.pk, credits=Decimal(1), expires_in_seconds=900, reference="work", idempotency_key="h")
    charge(alice, reference="call-1", request_id=uuid.UUID(int=1))
    audit()
    return alice


def found(client, model, term, **more):
    answer = client.get(f"{list_of(model)}?{urlencode({'q': term, **more})}")
    assert answer.status_code == 200
    return rows_of(answer)


def _latest_only(monkeypatch, rows):
    monkeypatch.setattr(exact_search, "LATEST", rows)
    monkeypatch.setattr(requests, "LATEST", rows)


@pytest.mark.parametrize("model", BY_DATE)
def test_a_list_is_narrowed_by_year_month_and_day(client, alice, model):
    field = BY_DATE[model]
    row = rows_of(client.get(list_of(model)))[-1]
    day = getattr(row, field).astimezone(dt.UTC).date()
    parts = {"year": day.year, "month": day.month, "day": day.day}

    for last in ("year", "month", "day"):
        kept = dict(list(parts.items())[: list(parts).index(last) + 1])
        within = client.get(list_of(model), {f"{field}__{part}": value for part, value in kept.items()})
        before = client.get(
            list_of(model), {f"{field}__{part}": value for part, value in {**kept, "year": 2001}.items()}
        )

        assert row in rows_of(within)
        assert rows_of(before) == []


@pytest.mark.parametrize("model", BY_DATE)
def test_the_links_to_dates_cover_what_there_is(client, alice, model):
    field = BY_DATE[model]
    day = getattr(rows_of(client.get(list_of(model)))[-1], field).astimezone(dt.UTC).date()
    year, month = {f"{field}__year": day.year}, {f"{field}__year": day.year, f"{field}__month": day.month}

    everything, months, days = (client.get(list_of(model), asked).content.decode() for asked in ({}, year, month))

    assert f"?{field}__year={day.year}" in everything
    assert "All dates" in months
    assert f">{day:%Y-%m}</a>" in months
    assert f">{day:%m-%d}</a>" in days


def test_lists_of_several_years_begin_with_the_years_and_others_below(client):
    price("old", 1, effective_from=dt.datetime(2020, 5, 6, tzinfo=dt.UTC))
    of_one_day = client.get(list_of("usage_price")).content.decode()
    price("later", 1, effective_from=dt.datetime(2020, 7, 8, tzinfo=dt.UTC))
    of_one_year = client.get(list_of("usage_price")).content.decode()
    price("new", 1, effective_from=dt.datetime(2022, 1, 1, tzinfo=dt.UTC))
    of_three_years = client.get(list_of("usage_price")).content.decode()

    assert ">05-06</a>" in of_one_day
    assert [f">2020-{month}</a>" in of_one_year for month in ("05", "06", "07", "08")] == [True, True, True, False]
    assert all(f'?effective_from__year={year}">{year}</a>' in of_three_years for year in (2020, 2021, 2022))


@pytest.mark.parametrize("model", BY_DATE)
@pytest.mark.parametrize(
    "asked", ["year=x", "year=2026&{f}__month=13", "year=2026&{f}__month=2&{f}__day=30", "year=99999", "year=", "day=1"]
)
def test_an_invalid_date_is_never_a_server_error(client, alice, model, asked):
    field = BY_DATE[model]

    answer = client.get(f"{list_of(model)}?{field}__{asked.format(f=field)}")

    assert answer.status_code in (200, 302)


@pytest.mark.parametrize("model", BY_DATE)
def test_an_empty_list_has_no_links_to_dates(client, model):
    assert client.get(list_of(model)).status_code == 200


@pytest.mark.parametrize(
    ("model", "table"), [("ledger_entry", "ledger_entry"), ("usage_requestlog", "usage_requestlog")]
)
def test_the_links_ask_no_long_table_which_days_have_rows(client, alice, model, table):
    with CaptureQueriesContext(connection) as statements:
        client.get(list_of(model), {f"{BY_DATE[model]}__year": 2026})

    said = [statement["sql"].upper() for statement in statements if table.upper() in statement["sql"].upper()]
    assert said
    assert not [sql for sql in said if "DATE_TRUNC" in sql or "MIN(" in sql or "DISTINCT" in sql]


def test_references_and_keys_of_old_rows_are_found_by_their_indexes(client, alice, monkeypatch):
    _latest_only(monkeypatch, 0)

    assert found(client, "ledger_entry", "call-1") == [Entry.objects.get(reference="call-1")]
    assert found(client, "ledger_hold", "h") == [Hold.objects.get()]
    assert found(client, "usage_requestlog", "call-1") == [RequestLog.objects.get()]
    for model in ("ledger_entry", "ledger_hold", "usage_requestlog"):
        row = rows_of(client.get(list_of(model)))[0]
        assert found(client, model, str(row.pk)) == [row]


def test_terms_without_an_index_are_looked_for_among_the_latest_or_in_a_narrowed_list(client, alice, monkeypatch):
    log, entry, today = RequestLog.objects.get(), Entry.objects.get(reference="call-1"), timezone.now()
    names = {
        "usage_requestlog": (str(uuid.UUID(int=1)), log, "occurred_at"),
        "ledger_entry": (entry.idempotency_key, entry, "created_at"),
        "ledger_hold": ("work", Hold.objects.get(), "created_at"),
    }

    for model, (term, row, field) in names.items():
        _latest_only(monkeypatch, 100_000)
        assert found(client, model, term) == [row]
        assert found(client, model, f"{term} alice@example.com") == [row]
        _latest_only(monkeypatch, 0)
        assert found(client, model, term) == []
        assert found(client, model, term, **{f"{field}__year": today.year}) == [row]


def test_an_email_before_or_behind_a_reference_narrows_to_that_customer(client, alice):
    bob = customer_with(5, email="bob@example.com")
    charge(bob, reference="call-1")

    for term in ("bob@example.com call-1", "call-1 bob@example.com"):
        for model in ("ledger_entry", "usage_requestlog"):
            assert {row.user_id for row in found(client, model, term)} == {bob.pk}
    assert len(found(client, "ledger_entry", "call-1")) == 2
    assert found(client, "ledger_entry", "nobody@example.com call-1") == []


def test_one_customers_old_requests_are_not_all_read(client, alice, monkeypatch):
    report(alice, [request_at(timezone.now() - dt.timedelta(hours=2), reference="old")])
    charge(alice)
    charge(alice)
    _latest_only(monkeypatch, 2)

    assert found(client, "usage_requestlog", "alice@example.com old") == []
    _latest_only(monkeypatch, 100)
    assert len(found(client, "usage_requestlog", "alice@example.com old")) == 1


def test_many_customers_with_the_same_reference_are_all_found(client, alice):
    for number in range(3):
        charge(customer_with(2, email=f"c{number}@example.com"), reference="shared")

    assert len(found(client, "ledger_entry", "shared")) == 3
    assert len(found(client, "usage_requestlog", "shared")) == 3


def test_a_filter_and_a_search_narrow_together(client, alice):
    give(alice, 1)

    assert found(client, "ledger_entry", "call-1", type__exact="credit") == []
    assert len(found(client, "ledger_entry", "call-1", type__exact="debit")) == 1


def test_a_month_of_very_many_rows_is_listed_from_its_latest_hours(client, alice, monkeypatch):
    """The list ends at its cap: no more rows of the month are read and sorted."""
    monkeypatch.setattr(CappedPaginator, "cap", 2)
    monkeypatch.setattr(EntryAdmin, "list_per_page", 1)
    give(alice, 1)
    today = timezone.now().astimezone(dt.UTC)
    month = {"created_at__year": today.year, "created_at__month": today.month}

    with CaptureQueriesContext(connection) as statements:
        listed = rows_of(client.get(list_of("ledger_entry"), month))

    assert [row.seq for row in listed] == [3]
    page = next(sql["sql"] for sql in statements if "LIMIT 1" in sql["sql"] and "balance_after" in sql["sql"])
    assert page.count('"created_at" >=') == 2, "once for the month, once for its latest hours"


def test_a_month_of_few_rows_is_listed_wholly(client, alice):
    report(alice, [request_at(timezone.now() - dt.timedelta(minutes=1))])
    today = timezone.now().astimezone(dt.UTC)

    listed = rows_of(client.get(list_of("usage_requestlog"), {"occurred_at__year": today.year}))

    assert len(listed) == RequestLog.objects.filter(occurred_at__year=today.year).count()
