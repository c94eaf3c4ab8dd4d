"""Subscriptions in the back office: started, changed and ended by forms with a preview; each is recorded once."""

import re

import pytest
from django.urls import reverse

from ledger.admin.subscriptions.actions import ACTIONS
from ledger.models import Entry, SubscriptionChange
from ledger.selectors import balance_of
from tests.backoffice import list_of, page_of, signed_in, staff_log_of, staff_with
from tests.factories import SubscriptionFactory, customer_with
from tests.ledger.subscribing import let_time_pass, move, pause, plan, subscribe, subscription_of

pytestmark = pytest.mark.django_db
KEY = "0b0c4f5e-90f3-4b7e-8a3b-5d6f0e1c2a33"
PERMISSIONS = {action.permission for action in ACTIONS.values()}


@pytest.fixture
def alice():
    return customer_with(100, email="alice@example.com")


@pytest.fixture
def staff():
    return staff_with(
        *PERMISSIONS, "accounts.view_user", "accounts.view_subscription", "ledger.view_balance",
        "ledger.view_subscriptionchange", "ledger.view_subscriptionperiod", email="sam@example.com",
    )  # fmt: skip


@pytest.fixture
def client(staff):
    return signed_in(staff)


def address(customer, name):
    return reverse("admin:accounts_user_subscription", args=[customer.pk, name])


def sent(step="confirm", **more):
    return {"note": "As agreed by telephone", "form_key": KEY, "step": step, **more}


def started(to, **more):
    return sent(plan=to.pk, interval="monthly", **more)


def available(customer):
    return balance_of(user_id=customer.pk).available


def words(answer):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", answer.content.decode()))


def test_a_preview_shows_the_credits_to_be_granted_and_changes_nothing(client, alice):
    answer = client.post(address(alice, "start"), started(plan(1000, cap=300, name="Growth"), step="preview"))

    assert answer.status_code == 200
    assert "Plan now –" in words(answer)
    assert "Started a subscription to Growth (monthly)" in words(answer)
    assert "Plan after Growth (monthly), active" in words(answer)
    assert re.search(r"Credits now 700 until \d{4}-", words(answer))
    assert re.search(r"Credits now 300 until \d{4}-", words(answer))
    assert re.search(r"Credits next 1,000 on \d{4}-", words(answer))
    assert "Available after 1,100" in words(answer)
    assert (available(alice), SubscriptionChange.objects.count(), Entry.objects.count()) == (100, 0, 1)


def test_confirming_starts_it_once_however_often_it_is_sent(client, alice, staff):
    to = plan(1000, name="Growth")

    answers = [client.post(address(alice, "start"), started(to), follow=True) for _ in range(2)]

    change = SubscriptionChange.objects.get()
    assert (change.kind, change.actor, change.note) == ("start", staff, "As agreed by telephone")
    assert available(alice) == 1100
    assert "Started a subscription to Growth (monthly)." in words(answers[0])
    assert "This form was sent before" in words(answers[1])
    assert staff_log_of(change) == ["Started a subscription to Growth (monthly): As agreed by telephone"]
    assert staff_log_of(alice) == [f"Start subscription: change of subscription {change.pk}."]


def test_a_form_carries_a_key_of_its_own_and_offers_plans_on_sale(client, alice):
    plan(code="sold", name="Sold")
    plan(code="gone", name="Gone", is_active=False)

    pages = [client.get(address(alice, "start")).content.decode() for _ in range(2)]

    keys = {re.search(r'name="form_key" value="([0-9a-f-]{36})"', page)[1] for page in pages}
    assert len(keys) == 2
    assert "Sold" in pages[0]
    assert "Gone" not in pages[0]


def test_it_is_upgraded_paused_resumed_and_canceled(client, alice, staff):
    subscribe(alice, plan(100))
    big = plan(1000, code="big")
    for number, (name, more) in enumerate([
        ("plan", {"plan": big.pk, "interval": "monthly"}), ("pause", {}), ("resume", {}), ("cancel", {}),
        ("resume", {}), ("cancel", {"at_once": "on"}),
    ]):  # fmt: skip
        answer = client.post(address(alice, name), sent(**more, form_key=f"{KEY[:-1]}{number}"))
        assert answer.status_code == 302

    kinds = list(SubscriptionChange.objects.order_by("id").values_list("kind", flat=True))
    assert kinds == ["start", "upgrade", "pause", "resume", "cancel_later", "cancel_kept", "cancel"]
    assert set(SubscriptionChange.objects.exclude(kind="start").values_list("actor", flat=True)) == {staff.pk}
    assert subscription_of(alice).status == "canceled"


def test_back_from_a_preview_keeps_an_unchecked_box_unchecked(client, alice):
    subscribe(alice, plan(100))
    page = client.post(address(alice, "cancel"), sent("preview")).content.decode()
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))

    answer = client.post(address(alice, "cancel"), {**hidden, "step": "edit"})

    assert hidden["at_once"] == "False"
    assert not re.search(r'name="at_once"[^>]*checked', answer.content.decode())
    assert answer.context["form_key"] == KEY


@pytest.mark.parametrize("step", ["preview", "confirm"])
def test_a_refusal_of_the_service_is_shown_on_the_page(client, alice, step):
    subscribe(alice, plan(100))

    answer = client.post(address(alice, "start"), started(plan(1000), step=step))

    assert answer.status_code == 200
    assert "Nothing was changed. The customer has a running subscription already" in words(answer)


@pytest.mark.parametrize(
    ("name", "changed", "field"),
    [
        ("start", {"note": ""}, "note"), ("start", {"note": "a\0"}, "note"), ("start", {"plan": "0"}, "plan"),
        ("start", {"plan": "x"}, "plan"), ("start", {"interval": "weekly"}, "interval"),
        ("start", {"last_day": "soon"}, "last_day"), ("start", {"last_day": "9999-12-31"}, "last_day"),
        ("plan", {"interval": ""}, "interval"), ("cancel", {"form_key": "x"}, "form_key"),
    ],
)  # fmt: skip
def test_an_error_is_shown_at_its_field(client, alice, name, changed, field):
    answer = client.post(address(alice, name), {**started(plan(1000)), **changed})

    assert answer.status_code == 200
    assert list(answer.context["form"].errors) == [field]
    assert not SubscriptionChange.objects.exists()


@pytest.mark.parametrize("name", ACTIONS)
def test_each_button_has_a_permission_of_its_own(alice, name):
    others = PERMISSIONS - {ACTIONS[name].permission}
    client = signed_in(staff_with(*others, "accounts.view_user"))

    assert client.get(address(alice, name)).status_code == 403
    assert client.post(address(alice, name), started(plan())).status_code == 403
    assert not SubscriptionChange.objects.exists()


def test_a_customer_or_an_action_that_is_not_there_is_a_404(client, alice):
    assert client.get(address(alice, "nothing")).status_code == 404
    alice.pk += 1
    assert client.get(address(alice, "start")).status_code == 404


def test_the_customers_page_offers_the_actions_that_fit(client, alice):
    def offered():
        page = client.get(page_of("accounts_user", alice.pk)).content.decode()
        return [name for name in ACTIONS if f'"{address(alice, name)}"' in page]

    assert offered() == ["start"]
    subscribe(alice, plan(100))
    assert offered() == ["plan", "pause", "cancel"]
    pause(alice)
    assert offered() == ["resume", "cancel"]


def test_the_customers_page_shows_the_next_change(client, alice):
    subscribe(alice, plan(100))
    move(alice, plan(50, name="Less"))

    assert ", then Less (monthly) begins." in words(client.get(page_of("accounts_user", alice.pk)))


def test_a_record_kept_by_hand_is_only_canceled(client):
    bob = SubscriptionFactory().user

    page = client.get(page_of("accounts_user", bob.pk)).content.decode()
    answer = client.post(address(bob, "cancel"), sent())

    assert address(bob, "pause") not in page
    assert answer.status_code == 302
    assert subscription_of(bob).status == "canceled"


def test_its_page_shows_its_periods_and_changes_with_their_entries(client, alice):
    subscription = subscribe(alice, plan(100, name="Small"))
    move(alice, plan(1000, name="Big"))

    page = client.get(page_of("accounts_subscription", subscription.pk))

    for entry in Entry.objects.filter(operation="subscription"):
        assert page_of("ledger_entry", entry.pk) in page.content.decode()
    assert "Started a subscription to Small (monthly)" in words(page)
    assert "Upgraded to Big (monthly)" in words(page)
    assert address(alice, "pause") in page.content.decode()


def test_the_list_of_changes_shows_actor_and_action(client, alice):
    client.post(address(alice, "start"), started(plan(1000, name="Growth")))

    page = client.get(list_of("ledger_subscriptionchange") + "?q=telephone")

    assert "Started a subscription to Growth (monthly)" in words(page)
    assert "sam@example.com" in words(page)


@pytest.mark.django_db(transaction=True)
def test_the_customers_page_shows_the_current_period_before_a_job_has_run(client, alice):
    subscribe(alice, plan(100))
    let_time_pass(alice, months=1)

    page = words(client.get(page_of("accounts_user", alice.pk)))

    assert f"period ends {subscription_of(alice).current_period_end:%Y-%m-%d}" in page
    assert available(alice) == 200
