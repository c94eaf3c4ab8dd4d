"""The back office's long lists: searched by every id that support gets, in a fixed number of statements."""

import datetime as dt
from decimal import Decimal
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from config.backoffice.paginator import CappedPaginator
from ledger.admin.credits.entries import EntryAdmin
from ledger.models import Entry, EntryReason, Hold
from ledger.providers.fake import APPROVE
from ledger.services.adjustments.posting import adjust_credits
from ledger.services.grants import grant_credits, settle_grants
from ledger.services.holds import open_hold
from tests.accounts.webhooks import webhook_tried
from tests.backoffice import audit, list_of, models, page_of, rows_of, signed_in, staff_with, superuser
from tests.factories import ApiKeyFactory, UserFactory
from tests.ledger.paying import bought
from tests.ledger.posting import allow_overdraft
from tests.ledger.refunding import refunded
from tests.ledger.reloading import agreed
from tests.ledger.subscribing import plan, subscribe
from tests.module_data import module_data
from usage.models import AlertKind, ImportedCustomer, RequestLog
from usage.services.alerts.actions import create_alert
from usage.services.charges.calls import AskedCharge
from usage.services.charges.charge import charge_request
from usage.services.prices import set_price

pytestmark = pytest.mark.django_db
MOST_STATEMENTS = 15
ODD_QUERIES = (
    "user=x", "user=99999999999999999999999", "user=%00", "q=%00", "type__exact=%00", "reason__exact=nothing",
    "outcome=nothing", "p=0", "p=999999", "p=x", "o=1.-2.99", "all=", "id__exact=99999999999999999999999", "metadata=x",
    "seal=x", "created_at__gte=yesterday", "nothing=1", "%ff=%ff", "q=%ed%a0%80",
)  # fmt: skip


@pytest.fixture
def client(db):
    return signed_in(superuser())


def customer_with_history(name, rows=3):
    """Make a customer of whom each list has `rows` rows."""
    customer = UserFactory(email=f"{name}@example.com")
    subscribe(customer, plan(0))
    grant_credits(
        user_id=customer.pk,
        amount=Decimal(1000),
        reason=EntryReason.PURCHASE,
        reference=f"pay-{name}",
        idempotency_key=f"grant-{name}",
    )
    agreed(customer)
    for number in range(rows):
        bought(customer)
        webhook_tried(customer)
        create_alert(user_id=customer.pk, kind=AlertKind.RUNWAY_BELOW, threshold=number + 1, now=timezone.now())
        ImportedCustomer.objects.create(source="edge", value=f"{name}-{number}", user=customer)
        open_hold(
            user_id=customer.pk,
            credits=Decimal(1),
            expires_in_seconds=900,
            reference=f"work-{name}-{number}",
            idempotency_key=f"hold-{name}-{number}",
        )
        key = ApiKeyFactory(user=customer)
        charge_request(
            AskedCharge(
                key_hash=bytes(key.api_key.key_hash),
                endpoint="echo",
                reference=f"call-{name}-{number}",
                idempotency_key=f"charge-{name}-{number}",
            )
        )
        allow_overdraft(customer, number + 1)
    return customer


def alice_and_bob():
    Group.objects.create(name="Support")
    audit()
    set_price(endpoint="echo", credits=Decimal(2), effective_from=timezone.now() - dt.timedelta(days=1))
    customer_with_history("bob")
    return customer_with_history("alice").pk


@pytest.fixture(scope="module", autouse=True)
def shared_alice(django_db_setup, django_db_blocker):
    yield from module_data(django_db_blocker, alice_and_bob)


@pytest.fixture
def alice(shared_alice, db):
    return User.objects.get(pk=shared_alice)


def found(client, model, term):
    answer = client.get(f"{list_of(model)}?{urlencode({'q': term})}")
    assert answer.status_code == 200
    return rows_of(answer)


def test_an_entry_is_found_by_its_id_reference_key_and_customer(client, alice):
    entry = Entry.objects.get(reference="pay-alice")

    assert found(client, "ledger_entry", str(entry.pk)) == [entry]
    assert found(client, "ledger_entry", "pay-alice") == [entry]
    assert found(client, "ledger_entry", " grant-alice ") == [entry]
    assert {row.user_id for row in found(client, "ledger_entry", "ALICE@example.com")} == {alice.pk}
    assert len(found(client, "ledger_entry", "alice@example.com")) == 4
    assert found(client, "ledger_entry", "pay-ali") == []


def test_a_hold_is_found_by_its_id_reference_key_and_customer(client, alice):
    hold = Hold.objects.get(reference="work-alice-1")

    assert found(client, "ledger_hold", str(hold.pk)) == [hold]
    assert found(client, "ledger_hold", "work-alice-1") == [hold]
    assert found(client, "ledger_hold", "hold-alice-1") == [hold]
    assert len(found(client, "ledger_hold", "alice@example.com")) == 3


def test_a_request_is_found_by_its_id_request_id_reference_and_customer(client, alice):
    log = RequestLog.objects.get(reference="call-alice-1")

    assert found(client, "usage_requestlog", str(log.pk)) == [log]
    assert found(client, "usage_requestlog", str(log.request_id)) == [log]
    assert found(client, "usage_requestlog", "call-alice-1") == [log]
    assert len(found(client, "usage_requestlog", "alice@example.com")) == 3


def test_a_balance_is_found_by_its_customers_email_or_id(client, alice):
    assert found(client, "ledger_balance", "alice@example.com") == [alice.balance]
    assert found(client, "ledger_balance", str(alice.pk)) == [alice.balance]
    assert found(client, "ledger_balance", "alice") == []


@pytest.mark.parametrize("model", ["ledger_balance", "ledger_entry", "ledger_hold", "usage_requestlog"])
def test_a_search_for_an_unknown_id_finds_nothing(client, alice, model):
    for term in ("9" * 30, "’; DROP TABLE", "a@b@c", "%", "\\", "x" * 5000, "½"):
        assert found(client, model, term) == [], term


@pytest.mark.parametrize("model", ["ledger_entry", "ledger_hold", "usage_requestlog", "ledger_balance"])
def test_a_list_narrowed_to_a_customer_names_them_and_shows_no_other(client, alice, model):
    answer = client.get(f"{list_of(model)}?user={alice.pk}")

    assert {row.user_id for row in rows_of(answer)} == {alice.pk}
    assert "By customer" in answer.content.decode()


def test_entries_come_newest_first(client, alice):
    seqs = [row.seq for row in rows_of(client.get(f"{list_of('ledger_entry')}?user={alice.pk}"))]

    assert seqs == [4, 3, 2, 1]


@pytest.mark.parametrize("model", models())
def test_an_address_typed_by_hand_is_never_a_server_error(client, alice, model):
    for query in ODD_QUERIES[models().index(model) % 3 :: 3]:  # each list has others
        answer = client.get(f"{list_of(model)}?{query}")

        assert answer.status_code in (200, 302, 400), (model, query)


@pytest.mark.parametrize("many", [1, 12])
def test_each_list_takes_a_fixed_number_of_statements(client, alice, many):
    for number in range(many):
        customer_with_history(f"more{number}", rows=1)

    for model in models():
        with CaptureQueriesContext(connection) as statements:
            answer = client.get(list_of(model))

        assert answer.status_code == 200, model
        assert len(statements) <= MOST_STATEMENTS, [statement["sql"] for statement in statements]
        assert not [sql["sql"] for sql in statements if "count(*)" in sql["sql"].lower() and "LIMIT" not in sql["sql"]]


def test_each_page_takes_a_fixed_number_of_statements(client, alice):
    refunded(bought(alice, APPROVE), 100)
    settle_grants(user_id=alice.pk)
    client.post("/admin/accounts/plan/add/", {"code": "one", "name": "One", "credits_per_period": "1"})

    for model in models():
        rows = [alice] if model == "accounts_user" else rows_of(client.get(list_of(model)))
        if not rows:
            continue  # tests/usage/test_admin_statements.py has several of everything
        pk = rows[0].pk
        with CaptureQueriesContext(connection) as statements:
            answer = client.get(page_of(model, pk))

        assert answer.status_code == 200, model
        assert len(statements) <= MOST_STATEMENTS, [statement["sql"] for statement in statements]


def test_the_list_of_people_shows_available_credits_and_does_not_wait_for_expired_holds(client, alice, owner):
    hold = open_hold(user_id=alice.pk, credits=Decimal(100), expires_in_seconds=1, idempotency_key="short").hold
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_sleep(greatest(0, extract(epoch FROM %s - clock_timestamp())) + 0.05)", [hold.expires_at]
        )

    people = {row.pk: row for row in rows_of(client.get(list_of("accounts_user")))}
    balances = {row.pk: row for row in rows_of(client.get(list_of("ledger_balance")))}

    assert people[alice.pk].available_now == 1000 - 6 - 3
    assert balances[alice.pk].available_now == 1000 - 6 - 3
    assert "Expired (not yet settled)" in client.get(page_of("ledger_hold", hold.pk)).content.decode()


def test_people_without_a_balance_have_nothing_to_spend(client):
    person = UserFactory()

    people = {row.pk: row for row in rows_of(client.get(list_of("accounts_user")))}

    assert people[person.pk].available_now == 0


def test_the_list_of_people_hides_balances_from_staff_who_may_not_see_them(alice):
    client = signed_in(staff_with("accounts.view_user"))

    answer = client.get(list_of("accounts_user"))

    assert "available credits" not in answer.content.decode().lower()


def test_a_customers_page_shows_what_its_reader_may_see(alice):
    adjust_credits(
        user_id=alice.pk, amount=Decimal("-0.5"), reason="correction", note="Counted twice", actor_id=alice.pk,
        idempotency_key="a",
    )  # fmt: skip
    everything = signed_in(superuser()).get(page_of("accounts_user", alice.pk)).content.decode()
    little = signed_in(staff_with("accounts.view_user")).get(page_of("accounts_user", alice.pk)).content.decode()

    for text in (
        "Counted twice",
        "990.5",
        "993.5",
        "Open holds",
        "work-alice-1",
        "tb_live_",
        "its period ends",
    ):
        assert text in everything
        assert text not in little
    for model in ("ledger_entry", "ledger_hold", "usage_requestlog", "accounts_apikey", "accounts_subscription"):
        assert f"{list_of(model)}?user={alice.pk}" in everything


def test_a_list_ends_at_its_cap_and_says_so(client, alice, monkeypatch):
    monkeypatch.setattr(CappedPaginator, "cap", 3)
    monkeypatch.setattr(EntryAdmin, "list_per_page", 2)

    answer = client.get(f"{list_of('ledger_entry')}?p=2")

    assert len(rows_of(answer)) == 1
    assert "The list ends after 3 rows." in answer.content.decode()


def test_the_log_is_filtered_by_outcome(client, alice):
    charge_request(AskedCharge(user_id=alice.pk, endpoint="echo", status=429, idempotency_key="rejected"))
    charge_request(AskedCharge(user_id=alice.pk, endpoint="echo", status=500, idempotency_key="failed"))

    def statuses(outcome):
        return {row.status for row in rows_of(client.get(f"{list_of('usage_requestlog')}?outcome={outcome}"))}

    assert statuses("successful") == {200}
    assert statuses("failed") == {500}
    assert statuses("rejected") == {429}
    assert statuses("unpaid") == set()
