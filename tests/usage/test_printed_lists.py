"""Lists printed from rows equal, byte for byte, the output of their serializers for the models."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import SubscriptionStatus, User
from config.values.json import exact_json
from ledger.models import EntryReason, EntryType
from ledger.selectors import grants_of, holds_of, ledger_of
from ledger.serializers.account import AccountHoldSerializer, EntrySerializer, GrantSerializer
from ledger.services.grants import GrantTerms, grant_credits
from tests.account import client_of, requested
from tests.factories import SubscriptionFactory, UserFactory
from tests.ledger.posting import hold
from tests.module_data import module_data
from tests.usage.metering import price
from usage.models import RequestLog
from usage.request_pages import RequestPages
from usage.selectors import overview_of
from usage.serializers.account import SUMMARY, AccountSummary, AccountSummarySerializer, RequestSerializer
from usage.services.charges.calls import AskedCharge
from usage.services.charges.charge import charge_request
from usage.views.account import stats_of
from usage.windows import start_of_period

pytestmark = pytest.mark.django_db


def busy_customer() -> int:
    """Create a customer with some of everything, including unusual texts and amounts."""
    price("*", "0.25")
    customer = UserFactory()
    tomorrow = timezone.now() + dt.timedelta(days=1)
    for n, terms in enumerate([GrantTerms(), GrantTerms(expires_at=tomorrow, priority=7)]):
        grant_credits(
            user_id=customer.pk,
            amount=Decimal("100.000001"),
            reason=EntryReason.GRANT,
            reference=f'"{n}" \\ \u2028',
            idempotency_key=f"grant {n}",
            terms=terms,
        )
    hold(customer, "0.5", metadata={"a b": 1.50, "c": [None, {"d": "e, f"}]}, reference="é\t")
    hold(customer, 4, seconds=0)
    for n in range(4):
        charge_request(
            AskedCharge(
                user_id=customer.pk,
                endpoint="/v1/é/\u2029",
                units=Decimal("1.5") * (n + 1),
                status=(200, 404, 429, 200)[n],
                latency_ms=n or None,
                metadata={"n": n, "text": 'a "b"'} if n % 2 else {},
                idempotency_key=f"charge {n}",
            )
        )
    requested(customer, [(timezone.now() - dt.timedelta(days=40), "x", 500)], charge=False)
    return customer.pk


@pytest.fixture(scope="module")
def shared_busy(django_db_setup, django_db_blocker) -> Iterator[int]:
    yield from module_data(django_db_blocker, busy_customer)


@pytest.fixture
def busy(shared_busy: int, db: None) -> User:
    return User.objects.get(pk=shared_busy)


def results_of(customer: User, path: str, **query: Any) -> str:
    """Return the printed results of a list."""
    content = client_of(customer).get(f"/auth/account/{path}", query).content.decode()
    return content[content.index('"results":') + len('"results":') : content.rindex(',"next_cursor":')]


@pytest.mark.parametrize(
    "asked",
    [{}, {"type": "credit"}, {"type": "debit"}, {"reference": '"0" \\ \u2028'}, {"limit": 1, "offset": 1}],
    ids=str,
)
def test_the_ledger_is_printed_as_by_its_serializer(busy, asked):
    pages = ledger_of(user_id=busy.pk, type=asked.get("type"), reference=asked.get("reference"))
    entries = pages.page(limit=asked.get("limit", 50), offset=asked.get("offset", 0))

    assert entries
    assert results_of(busy, "ledger", **asked) == exact_json(EntrySerializer(entries, many=True).data)


@pytest.mark.parametrize("status", [None, "open", "expired"])
def test_holds_are_printed_as_by_their_serializer(busy, status):
    holds = list(holds_of(user_id=busy.pk, now=timezone.now(), status=status))

    assert holds
    asked = {} if status is None else {"status": status}
    assert results_of(busy, "holds", **asked) == exact_json(AccountHoldSerializer(holds, many=True).data)


def test_grants_are_printed_as_by_their_serializer(busy):
    printed = results_of(busy, "grants")  # which settles them

    grants = list(grants_of(user_id=busy.pk, now=timezone.now()))
    assert len(grants) == 2
    assert printed == exact_json(GrantSerializer(grants, many=True).data)


@pytest.mark.parametrize("asked", [{}, {"status": "rejected"}, {"endpoint": "*", "limit": 2, "offset": 1}], ids=str)
def test_requests_are_printed_as_by_their_serializer(busy, asked):
    pages = RequestPages(busy.pk, timezone.now(), asked.get("endpoint"), asked.get("status"))
    logs = pages.page(limit=asked.get("limit", 50), offset=asked.get("offset", 0))

    assert logs
    assert results_of(busy, "requests", **asked) == exact_json(RequestSerializer(logs, many=True).data)
    assert RequestLog.objects.filter(user=busy).count() == 5


@pytest.mark.parametrize("subscribed", [False, True])
def test_the_summary_is_printed_as_by_its_serializer(busy, subscribed):
    if subscribed:
        SubscriptionFactory(user=busy, status=SubscriptionStatus.ACTIVE, credits_per_period=Decimal("2500.5"))
    now = timezone.now()
    start = start_of_period("monthly", now)
    overview = overview_of(user_id=busy.pk, start=start, end=now, now=now)
    summary = AccountSummary(busy, overview, stats_of(busy.pk, "monthly", start, now, overview.usage))

    assert exact_json(SUMMARY.of(summary)) == exact_json(AccountSummarySerializer(summary).data)
    assert (overview.subscription is not None) == subscribed
    assert overview.usage.by_endpoint == {"*": 3}
    assert overview.life.total_requests == 4


@pytest.mark.parametrize(
    ("path", "most"), [("summary", 1), ("ledger", 2), ("requests", 2), ("holds", 2), ("grants", 3), ("credits", 1)]
)
def test_a_read_asks_the_database_no_more_than_it_must(busy, path, most):
    client = client_of(busy)
    client.get(f"/auth/account/{path}")

    with CaptureQueriesContext(connection) as asked:
        client.get(f"/auth/account/{path}")

    statements = [each["sql"] for each in asked if not each["sql"].startswith(("SAVEPOINT", "RELEASE"))]
    assert len(statements) <= 1 + most, statements  # one finds out who is calling


def test_entries_of_a_type_are_read_by_a_statement_that_names_it(busy):
    with CaptureQueriesContext(connection) as asked:
        results_of(busy, "ledger", type=EntryType.CREDIT)

    assert any("\"type\" = 'credit'" in each["sql"] for each in asked)


@pytest.mark.parametrize("path", ["ledger", "requests", "holds", "grants", "summary", "usage"])
def test_a_head_is_answered_as_the_get_without_its_body(busy, path):
    client = client_of(busy)

    whole, head = client.get(f"/auth/account/{path}"), client.head(f"/auth/account/{path}")

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Type"] == whole.headers["Content-Type"] == "application/json"
