"""Claiming deliveries and recording their attempts."""

from __future__ import annotations

import datetime as dt

import pytest
from django.core import mail

from accounts.models import Notice, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from accounts.providers.webhook_post import Answer
from accounts.services.notices import send_notice_emails
from accounts.services.webhooks import deliveries as webhook_deliveries
from accounts.services.webhooks.deliveries import (
    KEPT_FOR,
    LEASE,
    claim_deliveries,
    fail_deliveries_of_disabled,
    note_attempt,
    remove_old_deliveries,
)
from accounts.services.webhooks.endpoints import change_endpoint, delete_endpoint, rotate_secret, send_test
from config.rounds import Round
from tests.accounts.races import at_once
from tests.accounts.webhooks import NOW, deliveries, delivery_of, endpoint_of, tell
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
OK, BAD, GONE = Answer(204, None, 1), Answer(500, "Answered 500.", 1), Answer(410, "Answered 410.", 1)
SECOND, HOUR, DAY = dt.timedelta(seconds=1), dt.timedelta(hours=1), dt.timedelta(days=1)


@pytest.fixture
def alice():
    return UserFactory(email="alice@example.com")


@pytest.fixture
def endpoint(alice):
    return endpoint_of(alice)


def note(prepared, answer, now=NOW):
    return note_attempt(prepared=prepared, answer=answer, at=now, now=now, jitter=0)


def try_once(answer, now):
    """Try the due deliveries once."""
    for prepared in claim_deliveries(now=now, most=100):
        note(prepared, answer, now)


def try_until_given_up(endpoint, answer=BAD):
    """Fail the endpoint's one delivery whenever it is due; return those times."""
    moments = []
    while (due := delivery_of(endpoint).next_attempt_at) is not None:
        moments.append(due)
        try_once(answer, due)
    return moments


def test_a_claim_takes_one_of_each_endpoint_the_longest_due_first(alice, endpoint):
    other = endpoint_of(UserFactory())
    tell(alice, now=NOW - SECOND)
    tell(alice, now=NOW - 2 * SECOND)
    tell(other.user, now=NOW - 3 * SECOND)

    claimed = claim_deliveries(now=NOW, most=10)

    assert {prepared.endpoint_id for prepared in claimed} == {endpoint.pk, other.pk}
    assert len(claimed) == 2
    later = deliveries(endpoint)[1]
    assert later.pk in {prepared.delivery_id for prepared in claimed}


def test_a_claim_leaves_the_busy_the_claimed_and_the_later(alice, endpoint):
    tell(alice)
    assert claim_deliveries(now=NOW - SECOND, most=10) == []
    assert claim_deliveries(now=NOW, most=10, busy=[endpoint.pk]) == []

    (prepared,) = claim_deliveries(now=NOW, most=10)

    assert claim_deliveries(now=NOW + LEASE - SECOND, most=10) == []
    (again,) = claim_deliveries(now=NOW + LEASE, most=10)  # its sender was killed
    assert (again.delivery_id, again.message_id) == (prepared.delivery_id, prepared.message_id)


def test_an_endpoint_with_many_deliveries_hides_no_other_once_it_is_busy(alice, endpoint, monkeypatch):
    monkeypatch.setattr(webhook_deliveries, "_LOOKED_AT", 3)
    other = endpoint_of(UserFactory())
    for _ in range(5):
        tell(alice, now=NOW - HOUR)
    tell(other.user)

    first = claim_deliveries(now=NOW, most=10)
    second = claim_deliveries(now=NOW, most=10, busy=[endpoint.pk])

    assert [prepared.endpoint_id for prepared in first] == [endpoint.pk]
    assert [prepared.endpoint_id for prepared in second] == [other.pk]


def test_a_late_failure_changes_nothing_but_the_log(alice, endpoint):
    tell(alice)
    (slow,) = claim_deliveries(now=NOW, most=1)
    (quick,) = claim_deliveries(now=NOW + LEASE, most=1)

    note(slow, BAD, NOW + LEASE)

    assert delivery_of(endpoint).claim == quick.claim
    assert delivery_of(endpoint).failures == 0
    assert WebhookAttempt.objects.count() == 1
    assert note(quick, OK, NOW + LEASE) == "delivered"


def test_a_late_success_counts_as_delivered(alice, endpoint):
    tell(alice)
    (slow,) = claim_deliveries(now=NOW, most=1)
    (quick,) = claim_deliveries(now=NOW + LEASE, most=1)

    assert note(slow, OK, NOW + LEASE) == "delivered"
    assert note(quick, BAD, NOW + LEASE) == "delivered"


def test_a_delivery_is_tried_eight_times_within_a_day_and_then_given_up(alice, endpoint):
    tell(alice)

    moments = try_until_given_up(endpoint)

    given_up = delivery_of(endpoint)
    assert (len(moments), given_up.state, given_up.attempts) == (8, "failed", 8)
    assert moments[:3] == [NOW, NOW + 5 * SECOND, NOW + 305 * SECOND]
    assert WebhookAttempt.objects.filter(delivery=given_up).count() == 8
    assert WebhookEndpoint.objects.get().is_active


def test_an_endpoint_that_asks_to_wait_is_left_alone(alice, endpoint):
    tell(alice)

    try_once(Answer(429, "Answered 429.", 1, retry_after="3600"), NOW)

    assert delivery_of(endpoint).next_attempt_at == NOW + HOUR


def test_an_endpoint_is_turned_off_and_its_owner_told_after_five_days_of_failures(alice, endpoint):
    for day in range(6):
        tell(alice, now=NOW + day * DAY)
        for delivery in deliveries(endpoint):
            while (due := WebhookDelivery.objects.get(pk=delivery.pk).next_attempt_at) is not None:
                assert WebhookEndpoint.objects.get().is_active
                try_once(BAD, due)
                if not WebhookEndpoint.objects.get().is_active:
                    break
        if not WebhookEndpoint.objects.get().is_active:
            break

    off = WebhookEndpoint.objects.get()
    assert (off.is_active, off.disabled_reason, off.failing_since) == (False, "failing", NOW)
    assert 5 * DAY <= off.disabled_at - NOW < 6 * DAY
    send_notice_emails(Round(), now=off.disabled_at, most=10)
    assert [(email.to, email.subject) for email in mail.outbox] == [
        (["alice@example.com"], "A webhook endpoint was turned off")
    ]


def test_one_success_restarts_the_five_days(alice, endpoint):
    tell(alice)
    try_until_given_up(endpoint)
    assert WebhookEndpoint.objects.get().failing_since == NOW

    tell(alice, now=NOW + 4 * DAY)
    try_once(OK, NOW + 4 * DAY)

    assert WebhookEndpoint.objects.get().failing_since is None


def test_a_410_turns_an_endpoint_off_at_once(alice, endpoint):
    tell(alice)

    try_once(GONE, NOW)

    off = WebhookEndpoint.objects.get()
    assert (off.is_active, off.disabled_reason, off.disabled_at) == (False, "gone", NOW)
    assert delivery_of(endpoint).state == "failed"
    assert Notice.objects.filter(type="webhook.disabled").count() == 1


def test_a_410_of_an_address_that_was_changed_meanwhile_turns_nothing_off(alice, endpoint):
    tell(alice)
    (prepared,) = claim_deliveries(now=NOW, most=1)
    changes = {"url": "https://example.org/new"}
    change_endpoint(user_id=alice.pk, endpoint_id=endpoint.pk, changes=changes, now=NOW)

    note(prepared, GONE)

    assert WebhookEndpoint.objects.get().is_active
    assert delivery_of(endpoint).state == "pending"


def test_due_deliveries_fail_when_their_endpoint_is_off(alice, endpoint):
    tell(alice)
    delete_endpoint(user_id=alice.pk, endpoint_id=endpoint.pk, now=NOW)

    assert claim_deliveries(now=NOW, most=10) == []
    assert [
        fail_deliveries_of_disabled(Round("endpoint"), now=NOW - SECOND),
        fail_deliveries_of_disabled(Round("endpoint"), now=NOW),
        fail_deliveries_of_disabled(Round("endpoint"), now=NOW),
    ] == [0, 1, 0]
    assert (delivery_of(endpoint).state, delivery_of(endpoint).last_error) == ("failed", "The endpoint is off.")


def test_deliveries_fail_when_their_customer_was_deactivated(alice, endpoint):
    tell(alice)
    alice.is_active = False
    alice.save()

    assert claim_deliveries(now=NOW, most=10) == []
    assert fail_deliveries_of_disabled(Round("endpoint"), now=NOW) == 1


def test_a_new_address_has_not_failed_yet(alice, endpoint):
    tell(alice)
    try_once(BAD, NOW)

    change_endpoint(user_id=alice.pk, endpoint_id=endpoint.pk, changes={"url": "https://example.org/"}, now=NOW)

    assert WebhookEndpoint.objects.get().failing_since is None


def test_both_secrets_sign_for_a_day_after_a_change(alice, endpoint):
    tell(alice)
    old = endpoint.secret
    new = rotate_secret(user_id=alice.pk, endpoint_id=endpoint.pk, now=NOW).secret

    (first,) = claim_deliveries(now=NOW + DAY - SECOND, most=1)
    (second,) = claim_deliveries(now=NOW + DAY + LEASE, most=1)

    assert (first.secrets, second.secrets) == ((new, old), (new,))


def test_deliveries_are_deleted_after_thirty_days_with_rows_kept_only_for_them(alice, endpoint):
    deleted = endpoint_of(alice)
    send_test(user_id=alice.pk, endpoint_id=deleted.pk, now=NOW)
    tell(alice)
    try_once(OK, NOW)
    delete_endpoint(user_id=alice.pk, endpoint_id=deleted.pk, now=NOW)

    removed = [remove_old_deliveries(now=NOW + KEPT_FOR), remove_old_deliveries(now=NOW + KEPT_FOR + SECOND)]

    assert removed == [0, 3]
    assert not WebhookAttempt.objects.exists()
    assert list(WebhookEndpoint.objects.all()) == [endpoint]
    assert [notice.type for notice in Notice.objects.all()] == ["balance.low"]  # so the notice is not written again


@pytest.mark.django_db(transaction=True)
def test_many_who_claim_at_once_take_each_delivery_once():
    alice = UserFactory()
    for number in range(3):
        endpoint_of(alice, f"https://example.com/{number}")
    for _ in range(4):
        tell(alice)

    def claim_all():
        taken = []
        while claimed := claim_deliveries(now=NOW, most=2):
            taken += [prepared.delivery_id for prepared in claimed]
        return taken

    taken = at_once(6, claim_all)

    every = sorted(delivery_id for each in taken for delivery_id in each)
    assert every == sorted(WebhookDelivery.objects.values_list("pk", flat=True))
    assert len(every) == 12
