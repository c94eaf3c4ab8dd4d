"""Permissions in the back office, over all its pages."""

import datetime as dt
from decimal import Decimal

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group, Permission
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from ledger.admin.subscriptions.actions import ACTIONS as ACTIONS_ON_SUBSCRIPTIONS
from ledger.models import Balance, Entry, EntryReason, Hold
from ledger.providers.fake import APPROVE
from ledger.services.grants import grant_credits, settle_grants
from ledger.services.holds import open_hold
from tests.accounts.webhooks import webhook_tried
from tests.backoffice import (
    EXPORTED,
    READ_ONLY,
    audit,
    export_of,
    found,
    list_of,
    models,
    page_of,
    pages_of_staff_actions,
    signed_in,
    staff_with,
    superuser,
)
from tests.factories import ApiKeyFactory, StaffFactory, UserFactory
from tests.ledger.adjusting import ask, limited, send
from tests.ledger.disputing import disputed
from tests.ledger.paying import bought
from tests.ledger.posting import allow_overdraft
from tests.ledger.refunding import refunded
from tests.ledger.reloading import agreed
from tests.ledger.subscribing import plan, subscribe
from tests.module_data import module_data, quick_passwords
from usage.models import ImportedCustomer, Price, ReconciliationRun, RequestLog
from usage.services.alerts.actions import make_default_alerts
from usage.services.charges.calls import AskedCharge
from usage.services.charges.charge import charge_request
from usage.services.prices import set_price

pytestmark = pytest.mark.django_db
VIEWED = [*READ_ONLY, "accounts_apikey", "usage_price", "accounts_plan"]
ACTIONS = ("changelist", "add", "change", "delete", "history")


def everything_of_alice():
    """Create Alice, with a row for every page."""
    customer = UserFactory(email="alice@example.com")
    subscribe(customer, plan())
    ApiKeyFactory(user=customer)
    grant_credits(
        user_id=customer.pk, amount=Decimal(100), reason=EntryReason.GRANT, reference="r-1", idempotency_key="k-1"
    )
    open_hold(user_id=customer.pk, credits=Decimal(1), expires_in_seconds=60, idempotency_key="h-1")
    send(f"{customer.pk},5,goodwill,Sorry,", by=limited(StaffFactory(), single=0, daily=0))
    ask(customer, 5, by=limited(StaffFactory(), single=0, daily=0))
    make_default_alerts(user_id=customer.pk, now=timezone.now())
    ImportedCustomer.objects.create(source="edge", value="203.0.113.7", user=customer)
    set_price(endpoint="echo", credits=Decimal(1), effective_from=timezone.now() - dt.timedelta(days=1))
    disputed(customer, charge_request(AskedCharge(user_id=customer.pk, endpoint="echo", idempotency_key="c-1")).id)
    allow_overdraft(customer, 5)
    refunded(bought(customer, APPROVE), 100)
    agreed(customer)
    webhook_tried(customer)
    settle_grants(user_id=customer.pk)
    Group.objects.create(name="Support")
    audit(report={"checked": {}, "findings": [{"check": "seal", "user_id": customer.pk, "detail": "Altered."}]})
    found(customer)
    LogEntry.objects.log_actions(customer.pk, [customer], CHANGE, "Seen.", single_object=True)
    return customer.pk


@pytest.fixture(scope="module")
def shared_customer(django_db_setup, django_db_blocker):
    yield from module_data(django_db_blocker, everything_of_alice)


@pytest.fixture(scope="module")
def superusers_pages(shared_customer, django_db_blocker):
    """Every page as a superuser gets it, requested once."""
    with django_db_blocker.unblock(), quick_passwords():
        client = signed_in(superuser())
        return {(model, action): client.get(address) for model, action, address in addresses()}


@pytest.fixture
def customer(shared_customer, db):
    return User.objects.get(pk=shared_customer)


def addresses(*named):
    """Return every address of the pages of these models, or of all."""
    for model in named or models():
        subject = apps.get_model(model.replace("_", ".", 1)).objects.order_by("pk").first()
        for action in ACTIONS:
            yield (
                model,
                action,
                reverse(f"admin:{model}_{action}", args=[] if action in ("changelist", "add") else [subject.pk]),
            )


def pages_of_our_own(customer):
    """Return the addresses of the pages that are not Django's own."""
    return [
        *(export_of(model) for model in EXPORTED),
        *pages_of_staff_actions(customer),
        *(reverse("admin:accounts_user_subscription", args=[customer.pk, name]) for name in ACTIONS_ON_SUBSCRIPTIONS),
        reverse("admin:accounts_apikey_issue"),
    ]


def test_every_kind_of_thing_that_staff_look_at_has_pages():
    assert sorted(models()) == [
        "accounts_apikey",
        "accounts_notice",
        "accounts_plan",
        "accounts_subscription",
        "accounts_user",
        "accounts_webhookdelivery",
        "accounts_webhookendpoint",
        "auth_group",
        "config_staffrecord",
        "ledger_adjustmentrequest",
        "ledger_autoreload",
        "ledger_balance",
        "ledger_entry",
        "ledger_entrydispute",
        "ledger_grant",
        "ledger_hold",
        "ledger_payment",
        "ledger_staffrefund",
        "ledger_subscriptionchange",
        "ledger_termschange",
        "ledger_topuppackage",
        "usage_alert",
        "usage_importedcustomer",
        "usage_price",
        "usage_reconciliationfinding",
        "usage_reconciliationrun",
        "usage_requestlog",
    ]


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_customer_is_asked_to_sign_in_as_staff(customer, method):
    ways = [address for *_, address in addresses()]
    ways += [reverse("admin:index"), *pages_of_our_own(customer)]
    inactive = StaffFactory(is_superuser=True)
    clients = [signed_in(None), signed_in(customer), signed_in(inactive)]
    User.objects.filter(pk=inactive.pk).update(is_active=False)

    for client in clients:
        for address in ways:
            answer = getattr(client, method)(address)

            assert answer.status_code == 302, address
            assert answer.url.startswith("/admin/login/"), address


@pytest.mark.parametrize("method", ["get", "post"])
def test_staff_without_permissions_see_the_front_page_only(customer, method):
    client = signed_in(StaffFactory())

    ways = [*(address for *_, address in addresses()), *pages_of_our_own(customer)]
    refused = {address: getattr(client, method)(address).status_code for address in ways}

    assert set(refused.values()) == {403}, refused
    assert "You don’t have permission to view or edit anything." in client.get("/admin/").content.decode()


@pytest.mark.parametrize("model", READ_ONLY)
def test_read_only_rows_cannot_be_changed_even_by_a_superuser(customer, model):
    client = signed_in(superuser())
    subject = apps.get_model(model.replace("_", ".", 1)).objects.first()
    fields = {field.name: "1" for field in subject._meta.fields}
    tables = (Balance, Entry, Hold, RequestLog, ReconciliationRun, LogEntry)
    before = [list(table.objects.order_by("pk").values()) for table in tables]

    answers = {
        "view": client.get(page_of(model, subject.pk)),
        "list": client.get(list_of(model)),
        "add": client.get(reverse(f"admin:{model}_add")),
        "post add": client.post(reverse(f"admin:{model}_add"), fields),
        "post change": client.post(page_of(model, subject.pk), fields),
        "delete": client.get(reverse(f"admin:{model}_delete", args=[subject.pk])),
        "post delete": client.post(reverse(f"admin:{model}_delete", args=[subject.pk]), {"post": "yes"}),
        "bulk delete": client.post(
            list_of(model),
            {"action": "delete_selected", "_selected_action": [str(subject.pk)], "index": "0", "post": "yes"},
        ),
        "confirmed bulk delete": client.post(
            list_of(model), {"action": "delete_selected", "_selected_action": [str(subject.pk)], "post": "yes"}
        ),
        "post to the list": client.post(list_of(model), {"form-0-amount": "1", "_save": "Save"}),
    }

    codes = {name: answer.status_code for name, answer in answers.items()}
    assert codes == {name: 200 if name in ("view", "list") else 403 for name in answers}
    assert [list(table.objects.order_by("pk").values()) for table in tables] == before


@pytest.mark.parametrize("model", READ_ONLY)
def test_every_permission_there_is_does_not_change_what_is_read_only(customer, model):
    staff = StaffFactory()
    staff.user_permissions.set(Permission.objects.all())
    client = signed_in(staff)
    subject = apps.get_model(model.replace("_", ".", 1)).objects.first()

    assert client.get(page_of(model, subject.pk)).status_code == 200
    assert client.post(page_of(model, subject.pk), {}).status_code == 403
    assert client.post(reverse(f"admin:{model}_delete", args=[subject.pk]), {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("model", VIEWED)
def test_the_permission_to_view_shows_lists_and_pages_and_no_more(customer, model):
    codes = codes_of(signed_in(staff_with(may_view(model))), model)

    open_pages = {("get", action) for action in ("changelist", "change", "history")}
    open_pages.add(("post", "history"))  # shows the page, whatever is sent
    assert codes == {way: 200 if way in open_pages else 403 for way in codes}


@pytest.mark.parametrize("model", VIEWED)
def test_staff_without_the_permission_see_nothing_of_a_list(customer, model):
    codes = codes_of(signed_in(staff_with(*(may_view(other) for other in models() if other != model))), model)

    assert set(codes.values()) == {403}, codes


def may_view(model):
    app, name = model.split("_")
    return f"{app}.view_{name}"


def codes_of(client, model):
    """Request every page of a model by GET and POST, and return the status of each."""
    return {
        (method, action): getattr(client, method)(address).status_code
        for _, action, address in addresses(model)
        for method in ("get", "post")
    }


def test_prices_are_added_but_never_changed_or_deleted_by_superusers_either(customer):
    client = signed_in(superuser())
    price = Price.objects.get()

    assert client.get(reverse("admin:usage_price_add")).status_code == 200
    assert client.post(page_of("usage_price", price.pk), {"endpoint": "x", "credits": "9"}).status_code == 403
    assert client.post(reverse("admin:usage_price_delete", args=[price.pk]), {"post": "yes"}).status_code == 403
    assert Price.objects.get().credits == 1


def test_superusers_can_open_every_page_there_is(superusers_pages, customer):
    client = signed_in(superuser())
    closed = {(model, action) for model in READ_ONLY for action in ("add", "delete")}
    closed |= {("accounts_apikey", "add"), ("accounts_apikey", "delete"), ("usage_price", "delete")}
    closed |= {("accounts_user", "delete")}

    codes = {way: page.status_code for way, page in superusers_pages.items()}

    assert codes == {way: 403 if way in closed else 200 for way in codes}
    assert client.get("/admin/").status_code == 200
    assert client.get("/admin/password_change/").status_code == 200


@pytest.mark.parametrize("named", ["0", "99999999999999999999999", "x", "%00"])
def test_a_page_of_nothing_leads_home_with_a_message(named):
    client = signed_in(superuser())

    for model in models():
        answer = client.get(f"/admin/{model.replace('_', '/')}/{named}/change/")

        assert answer.status_code == 302, model


def test_hashes_are_shown_nowhere(superusers_pages, customer):
    key = customer.api_keys.get()

    pages = [page.content.decode() for page in superusers_pages.values()]

    for page in pages:
        assert bytes(key.key_hash).hex() not in page
        assert repr(bytes(key.key_hash)) not in page
        assert customer.password not in page


def test_the_site_is_called_by_its_name():
    said = signed_in(superuser()).get("/admin/").content.decode()

    assert "Tollbook back office" in said
    assert admin.site.site_title == "Tollbook"
    assert reverse("docs") in said
