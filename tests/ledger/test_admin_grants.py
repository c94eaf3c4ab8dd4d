"""Ending and extending grants in the back office: reason, preview, once, and the history of each grant."""

from __future__ import annotations

import datetime as dt

import pytest
from django.urls import reverse
from django.utils import timezone

from ledger.models import Entry, Grant, GrantTermsChange
from ledger.selectors import balance_of
from tests.accounts.races import at_once
from tests.backoffice import new_form, page_of, signed_in, staff_log_of, staff_with, superuser
from tests.factories import StaffFactory
from tests.ledger.granting import ended, extended, granted
from tests.ledger.paying import bought
from tests.ledger.posting import hold
from tests.usage.metering import charge
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db
END = ("ledger.view_grant", "ledger.end_grant")
EXTEND = ("ledger.view_grant", "ledger.extend_grant")
FAR = "2099-12-31"


@pytest.fixture
def grant(bob):
    return granted(bob, 50, days=5)


def url(grant, way):
    return reverse(f"admin:ledger_grant_{way}", args=[grant.pk])


def text_of(answer):
    return answer.content.decode().replace("&#x27;", "'")


def test_staff_end_a_grant_and_the_customer_reads_why(bob, grant):
    hold(bob, 10)
    charge(bob, credits=20)
    clerk = staff_with(*END)
    client = signed_in(clerk)
    assert url(grant, "end") in text_of(client.get(page_of("ledger_grant", grant.pk)))
    assert dict(client.get(url(grant, "end")).context["figures"])["Left"] == "30"

    preview = client.post(url(grant, "end"), new_form("Campaign is over", step="preview"))
    before = balance_of(user_id=bob.pk).balance
    client.post(url(grant, "end"), new_form("Campaign is over"))

    assert preview.context["preview"] == [
        ("Expires now", "20"), ("Stays for open holds", "10"), ("Available now", "20"), ("Available after", "0"),
    ]  # fmt: skip
    assert before == 30
    entry = Entry.objects.of(bob.pk).latest("seq")
    assert (entry.reason, entry.amount, entry.description, entry.actor_id) == (
        "expiry", -20, "Campaign is over", clerk.pk,
    )  # fmt: skip
    assert staff_log_of(Grant.objects.get(pk=grant.pk))[-1].endswith("Reason: Campaign is over")
    assert staff_log_of(bob) == [f"End grant: change of terms {GrantTermsChange.objects.get().pk} of grant {grant.pk}."]
    page = text_of(client.get(page_of("ledger_grant", grant.pk)))
    assert "Ended early at" in page
    assert url(grant, "end") not in page
    assert reconcile(Scope())[1] == []


def test_staff_extend_a_grant_to_the_end_of_a_day(bob, grant):
    client = signed_in(staff_with(*EXTEND))
    before = Grant.objects.get(pk=grant.pk).expires_at

    preview = client.post(url(grant, "extend"), new_form("They waited", last_day=FAR, step="preview"))
    untouched = Grant.objects.get(pk=grant.pk).expires_at
    client.post(url(grant, "extend"), new_form("They waited", last_day=FAR))

    after = Grant.objects.get(pk=grant.pk).expires_at
    assert preview.context["preview"] == [
        ("Left", "50"), ("Ends now", f"{before:%Y-%m-%d %H:%M}"), ("Ends after", "2100-01-01 00:00"),
    ]  # fmt: skip
    assert (untouched, after) == (before, dt.datetime(2100, 1, 1, tzinfo=dt.UTC))
    page = text_of(client.get(page_of("ledger_grant", grant.pk)))
    assert "to 2100-01-01 00:00, with 50 credits left. They waited" in page
    assert reconcile(Scope())[1] == []


def test_a_grant_of_paid_credits_is_ended_with_a_hint_at_refunds(bob):
    payment = bought(bob, "fake_card_approve")
    paid = Entry.objects.get(pk=payment.entry_id)
    extended_or_ended = granted(bob, 1, days=1)
    ended(extended_or_ended)  # settles the purchase's own grant, which has a row since

    assert "refund the payment instead" in text_of(signed_in(superuser()).get(url(paid, "end")))


@pytest.mark.parametrize(
    ("last_day", "sentence"),
    [
        ("", "This field is required."),
        ("2000-01-01", "This grant ends later than that already, or never."),
        ("x", "Enter a valid date."),
        ("9999-12-31", "At most to the year 2100."),
        ("1999-12-31", "At most to the year 2100."),
        ("2026-02-30", "Enter a valid date."),
    ],
)
@pytest.mark.parametrize("step", ["preview", "confirm"])
def test_an_invalid_day_is_refused_with_what_is_wrong(grant, last_day, sentence, step):
    answer = signed_in(superuser()).post(url(grant, "extend"), new_form(last_day=last_day, step=step))

    assert sentence in text_of(answer)
    assert not GrantTermsChange.objects.exists()


@pytest.mark.parametrize("way", ["end", "extend"])
@pytest.mark.parametrize("wrong", [{"note": ""}, {"form_key": ""}, {"form_key": "x"}, {"note": "a\0b"}])
def test_a_form_without_a_reason_or_key_changes_nothing(grant, way, wrong):
    answer = signed_in(superuser()).post(url(grant, way), new_form(last_day=FAR) | wrong)

    assert answer.status_code == 200
    assert not GrantTermsChange.objects.exists()


@pytest.mark.parametrize(
    ("permissions", "codes"),
    [
        ((), (403, 403)),
        (END, (302, 403)),
        (EXTEND, (403, 302)),
        (("ledger.end_grant", "ledger.extend_grant"), (403, 403)),
    ],
)
def test_each_way_is_a_permission_of_its_own_beside_that_of_viewing(bob, permissions, codes):
    client = signed_in(staff_with(*permissions))

    answers = [
        client.post(url(granted(bob, 1, days=1), way), new_form(last_day=FAR)).status_code for way in ("end", "extend")
    ]

    assert tuple(answers) == codes


def test_nobody_changes_a_grant_of_their_own_or_a_colleagues():
    boss, clerk = superuser(), staff_with(*END)
    own, colleagues = granted(boss, 1, days=1), granted(StaffFactory(), 1, days=1)

    assert signed_in(boss).post(url(own, "end"), new_form()).status_code == 403
    assert signed_in(clerk).post(url(colleagues, "end"), new_form()).status_code == 403


def test_a_form_sent_again_says_so_and_one_with_other_words_is_refused(grant):
    client, form = signed_in(superuser()), new_form(last_day=FAR)
    client.post(url(grant, "extend"), form)

    again = client.post(url(grant, "extend"), form, follow=True)
    other = client.post(url(grant, "extend"), form | {"note": "Another"})

    assert "This form was sent before" in text_of(again)
    assert "has already made another change" in text_of(other)
    assert GrantTermsChange.objects.count() == 1


def test_a_grant_without_an_end_offers_to_end_it_alone(alice):
    entry = Entry.objects.get(user=alice)
    ended(granted(alice, 1, days=1))
    page = text_of(signed_in(superuser()).get(page_of("ledger_grant", entry.pk)))

    assert url(entry, "end") in page
    assert url(entry, "extend") not in page


@pytest.mark.django_db(transaction=True)
def test_a_form_confirmed_sixteen_times_at_once_ends_once(bob, grant):
    boss, form = superuser(), new_form()

    codes = at_once(16, lambda: signed_in(boss).post(url(grant, "end"), form).status_code)

    assert codes == [302] * 16
    assert GrantTermsChange.objects.count() == 1
    assert balance_of(user_id=bob.pk).balance == 0


@pytest.mark.django_db(transaction=True)
def test_ending_and_extending_at_once_leave_one_end(bob, grant):
    boss = superuser()
    ways = iter(["end", "extend"] * 8)

    at_once(16, lambda: signed_in(boss).post(url(grant, next(ways)), new_form(last_day=FAR)).status_code)

    assert GrantTermsChange.objects.filter(kind="end").count() == 1
    assert balance_of(user_id=bob.pk).balance == 0
    assert reconcile(Scope())[1] == []


def test_the_history_of_a_grant_is_newest_first(bob, grant):
    for note in ("Earlier reason", "Later reason"):
        extended(grant, days=1, note=note)

    page = text_of(signed_in(superuser()).get(page_of("ledger_grant", grant.pk)))

    assert page.index("Later reason") < page.index("Earlier reason")
    assert timezone.now() < Grant.objects.get(pk=grant.pk).expires_at
