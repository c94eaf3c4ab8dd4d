"""Every page of the back office, at most fifteen statements each."""

import datetime as dt
from decimal import Decimal

import pytest
from django.apps import apps
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from ledger.models import Entry
from ledger.providers.fake import APPROVE
from ledger.services.grants import settle_grants
from ledger.services.holds import open_hold
from tests.accounts.webhooks import webhook_tried
from tests.backoffice import (
    EXPORTED,
    audit,
    export_of,
    found,
    list_of,
    models,
    pages_of_staff_actions,
    signed_in,
    staff_with,
    superuser,
)
from tests.factories import (
    ApiKeyFactory,
    PlanFactory,
    ServiceKeyFactory,
    StaffFactory,
    SubscriptionFactory,
    customer_with,
)
from tests.ledger.adjusting import ask, limited, send
from tests.ledger.disputing import disputed
from tests.ledger.paying import bought
from tests.ledger.posting import allow_overdraft
from tests.ledger.refunding import refunded
from tests.ledger.reloading import agreed
from tests.ledger.subscribing import move, plan, subscribe
from tests.module_data import module_data
from tests.usage.metering import charge, price
from usage.models import AlertKind, ImportedCustomer
from usage.services.alerts.actions import create_alert

pytestmark = pytest.mark.django_db
MOST_STATEMENTS = 15


def several_of_everything():
    """Make a customer with several rows of everything."""
    price("search", 1)
    alice, clerk = customer_with(100), limited(StaffFactory(), single=0, daily=0)
    send(*(f"{alice.pk},5,goodwill,line {number}," for number in range(12)), by=clerk)
    subscribe(alice, plan(), starts_at=timezone.now() - dt.timedelta(days=400))
    for number in range(12):
        SubscriptionFactory(user=customer_with(number + 1))
        open_hold(user_id=alice.pk, credits=Decimal(1), expires_in_seconds=900, idempotency_key=f"h{number}")
        disputed(alice, charge(alice, reference=f"r{number}").id)
        ask(customer_with(1), 5, by=clerk)
        create_alert(user_id=alice.pk, kind=AlertKind.RUNWAY_BELOW, threshold=number + 1, now=timezone.now())
        allow_overdraft(alice, number + 1)
        ImportedCustomer.objects.create(source="edge", value=f"203.0.113.{number}", user=alice)
        ApiKeyFactory(user=alice)
        move(alice, plan(2000 + number))
        ServiceKeyFactory()
        PlanFactory()
        Group.objects.create(name=f"Role {number}")
        audit()
        found(alice, number)
        refunded(bought(alice, APPROVE), 100)
        webhook_tried(customer_with(1))
        agreed(customer_with(1))
    agreed(alice)
    settle_grants(user_id=alice.pk)
    LogEntry.objects.log_actions(alice.pk, [alice], CHANGE, "Seen.")
    return alice.pk


@pytest.fixture(scope="module")
def shared_alice(django_db_setup, django_db_blocker):
    yield from module_data(django_db_blocker, several_of_everything)


@pytest.fixture
def alice(shared_alice, db):
    return User.objects.get(pk=shared_alice)


def addresses(alice):
    """Return all addresses that respond to a GET with a page."""
    today = timezone.now().astimezone(dt.UTC)
    yield reverse("admin:index")
    yield reverse("admin:password_change")
    yield from pages_of_staff_actions(alice)
    for name in ("start", "plan", "pause", "resume", "cancel"):
        yield reverse("admin:accounts_user_subscription", args=[alice.pk, name])
    yield reverse("admin:accounts_apikey_issue")
    for entry in Entry.objects.of(alice.pk).order_by("reason", "pk").distinct("reason"):
        yield reverse("admin:ledger_entry_explain", args=[entry.pk])
    yield reverse("admin:auth_user_password_change", args=[alice.pk])
    for app in ("accounts", "ledger", "usage", "auth", "config"):
        yield reverse("admin:app_list", args=[app])
    for model in EXPORTED:
        yield export_of(model)
        yield f"{export_of(model)}?q=r3"
    for model in models():
        yield list_of(model)
        yield f"{list_of(model)}?q={alice.email}"
        yield f"{list_of(model)}?q=r3"
        for field in ("created_at", "occurred_at"):
            yield f"{list_of(model)}?{field}__year={today.year}&{field}__month={today.month}"
        subject = apps.get_model(model.replace("_", ".", 1)).objects.order_by("pk").first()
        subject = alice if model == "accounts_user" else subject
        for action in ("add", "change", "delete", "history"):
            yield reverse(f"admin:{model}_{action}", args=[] if action == "add" else [subject.pk])


def _walk(client, alice):
    client.get(reverse("admin:password_change_done"))  # the first page notes when the session began
    for address in addresses(alice):
        with CaptureQueriesContext(connection) as statements:
            answer = client.get(address)
        yield address, answer.status_code, [statement["sql"] for statement in statements]


def test_every_page_takes_few_statements(alice):
    walked = list(_walk(signed_in(superuser()), alice))

    assert {code for _, code, _ in walked} <= {200, 302, 403}
    assert sum(code == 200 for _, code, _ in walked) > 60
    assert {address: said for address, _, said in walked if len(said) > MOST_STATEMENTS} == {}


def test_every_page_takes_few_statements_with_roles_and_permissions(alice):
    staff = staff_with(
        *(f"{model.replace('_', '.view_', 1)}" for model in models()), "ledger.adjust_credits", "accounts.add_apikey"
    )
    staff.groups.set(Group.objects.all())

    walked = list(_walk(signed_in(staff), alice))

    assert {address: said for address, _, said in walked if len(said) > MOST_STATEMENTS} == {}
