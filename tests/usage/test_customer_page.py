"""The customer page: how somebody stands, what happened, and only what its reader may see."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal

import pytest
from django.utils import timezone

from accounts.models import ApiKey, User
from config.templatetags.times import in_words
from ledger.providers.fake import APPROVE
from ledger.services.controls import freeze_balance
from ledger.services.holds import open_hold
from tests.backoffice import page_of, settings_of, signed_in, staff_with, superuser
from tests.factories import UserFactory, customer_with
from tests.ledger.paying import bought
from tests.ledger.posting import allow_overdraft
from tests.usage.key_limits import limited_key
from tests.usage.metering import charge, price
from usage.admin.customer.timeline import EVENTS_A_PAGE, timeline_of

pytestmark = pytest.mark.django_db
NOW = dt.datetime(2026, 11, 28, 12, tzinfo=dt.UTC)


@pytest.fixture
def alice():
    price("search", 2)
    return customer_with(100, full_name="Alice Abara")


def seen(customer: User, viewer: User | None = None, query: str = "") -> str:
    """Return the page's text as a reader sees it, without its tags."""
    answer = signed_in(viewer or superuser()).get(page_of("accounts_user", customer.pk) + query)
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


def test_page_shows_how_a_customer_stands(alice):
    charge(alice)
    open_hold(user_id=alice.pk, credits=Decimal(7), expires_in_seconds=900, idempotency_key="h")

    page = seen(alice)

    assert "Available 91 credits Balance 98 credits Reserved 7 credits by open holds Days left" in page
    assert "Auto-reload Never set up." in page
    assert "Budgets No key has a spending limit." in page
    assert "Usage by endpoint: 2 credits from" in page or "Usage by endpoint credits a day" in page


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"is_active": False}, "Inactive"),
        ({"email_verified_at": None}, "Email not verified"),
        ({"is_staff": True}, "Staff"),
        ({"email_verified_at": NOW}, "Active May sign in"),
    ],
)
def test_badges_name_each_state_that_is_not_ordinary(state, said):
    assert said in seen(UserFactory(**state))


def test_frozen_customer_is_marked_with_its_time(alice):
    staff = superuser()
    freeze_balance(user_id=alice.pk, note="Fraud", actor_id=staff.pk, idempotency_key="f")

    assert re.search(r"Frozen since \d{4}-\d\d-\d\d \d\d:\d\d UTC Nothing is charged or held\.", seen(alice))


def test_budget_sentence_names_the_key_that_is_nearest_to_its_limit(alice):
    limited_key(alice, 100)
    near = limited_key(alice, 4)
    near.charge(1)
    stored = ApiKey.objects.get(pk=near.id)

    assert f"2 keys with a spending limit; nearest to it is {stored}, with 1 of 4 credits spent until" in seen(alice)


def test_payments_say_what_happens_next(alice):
    bought(alice, APPROVE)

    assert "Succeeded Nothing." in seen(alice)


def test_tables_say_how_far_a_time_is_with_the_exact_one_behind_it(alice):
    open_hold(user_id=alice.pk, credits=Decimal(7), expires_in_seconds=900, idempotency_key="h")

    page = signed_in(superuser()).get(page_of("accounts_user", alice.pk)).content.decode()

    assert re.search(r'title="\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC">in 14 minutes</time>', page)


def test_reader_sees_only_what_their_role_may(alice):
    charge(alice)
    open_hold(user_id=alice.pk, credits=Decimal(7), expires_in_seconds=900, idempotency_key="h")

    little = seen(alice, staff_with("accounts.view_user"))
    entries = seen(alice, staff_with("accounts.view_user", "ledger.view_entry"))

    for text in (
        "Available",
        "Usage by endpoint",
        "Timeline",
        "Open holds",
        "API keys",
        "Payments",
        "Disputes of debits",
    ):
        assert text not in little.partition("Alice Abara")[2]
    assert "Grant Test" in entries or "Timeline" in entries
    assert "Usage of the day" not in entries
    assert "Holds opened" not in entries


def test_reader_without_permission_for_people_is_refused(alice):
    assert signed_in(staff_with("ledger.view_entry")).get(page_of("accounts_user", alice.pk)).status_code == 403


def test_settings_are_a_tab_of_their_own_and_lead_back(alice):
    client = signed_in(superuser())
    page = client.get(settings_of(alice))
    form = page.context["adminform"].form
    fields = {name: form[name].value() or "" for name in form.fields if name not in ("password", "groups")}

    saved = client.post(settings_of(alice), fields | {"full_name": "Alice B."})

    assert saved.url == page_of("accounts_user", alice.pk)
    assert User.objects.get(pk=alice.pk).full_name == "Alice B."
    assert "full_name" not in client.get(saved.url).content.decode()


# --- The timeline ---


def events_of(customer: User, before: str = "") -> list:
    return timeline_of(customer, viewer=superuser(), before=before).events


def test_timeline_folds_the_usage_of_a_day(alice):
    for number in range(5):
        charge(alice, reference=f"r{number}")

    usage = [event for event in events_of(alice) if event.is_whole_day]

    assert [(event.detail, event.credits) for event in usage] == [("5 requests", Decimal(-10))]


def test_timeline_is_merged_by_time_newest_first(alice):
    allow_overdraft(alice, 5)
    bought(alice, APPROVE)
    allow_overdraft(alice, 6)

    times = [event.at for event in events_of(alice) if not event.is_whole_day]

    assert times == sorted(times, reverse=True)
    assert len(times) >= 5


def test_turning_pages_shows_every_event_once(alice):
    for number in range(40):
        allow_overdraft(alice, number + 1)
        open_hold(user_id=alice.pk, credits=Decimal("0.1"), expires_in_seconds=900, idempotency_key=f"h{number}")
    staff, events, before = superuser(), [], ""
    for _ in range(20):
        page = timeline_of(alice, viewer=staff, before=before)
        events += page.events
        before = page.older
        if not before:
            break

    assert before == ""
    assert len(events) > EVENTS_A_PAGE
    assert sum(event.what.startswith("Terms") for event in events) == 40
    assert len({(event.url, event.at, event.what) for event in events}) == len(events)
    assert [event.at for event in events] == sorted((event.at for event in events), reverse=True)


def test_timeline_is_of_one_customer_only(alice):
    allow_overdraft(customer_with(3), 77)

    assert not [event for event in events_of(alice) if event.what.startswith("Terms")]


@pytest.mark.parametrize("junk", ["x", "c1.c", "c-1", "c" + "9" * 19, "é1", "c1." * 50, "\x00", "c1 or 1=1"])
def test_junk_in_the_address_begins_at_the_newest_event(alice, junk):
    allow_overdraft(alice, 5)

    assert events_of(alice, junk) == events_of(alice)
    assert "Terms" in seen(alice, query=f"?before={junk}")


def test_texts_of_others_are_escaped(alice):
    freeze_balance(user_id=alice.pk, note="<script>alert(1)</script>", actor_id=superuser().pk, idempotency_key="f")

    answer = signed_in(superuser()).get(page_of("accounts_user", alice.pk))

    assert "<script>alert(1)" not in answer.content.decode()


# --- Times ---


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "just now"), (-59, "just now"), (-60, "1 minute ago"), (-7_199, "1 hour ago"), (-172_800, "2 days ago"),
        (30, "in less than a minute"), (3_600, "in 1 hour"), (-40 * 86_400, "2026-10-19"),
    ],
)  # fmt: skip
def test_time_in_words_is_one_number_and_its_unit(seconds, said):
    assert in_words(NOW + dt.timedelta(seconds=seconds), now=NOW) == said


def test_page_of_today_counts_days_since_the_first(alice):
    User.objects.filter(pk=alice.pk).update(created_at=timezone.now() - dt.timedelta(days=400))

    assert "customer for 400 days" in seen(alice)
