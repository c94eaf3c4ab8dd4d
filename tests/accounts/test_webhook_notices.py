"""Emails about webhooks come from the company: strangers cannot put text into one, nor cause many of them."""

from __future__ import annotations

import datetime as dt

import pytest
from django.core import mail

from accounts.models import Notice, User, WebhookEndpoint
from accounts.providers.webhook_post import Answer
from accounts.services.notices import send_notice_emails
from accounts.services.webhooks.deliveries import claim_deliveries, note_attempt
from config.rounds import Round
from tests.accounts.webhooks import NOW, endpoint_of, tell
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
GONE = Answer(410, "Answered 410.", 1)
URL = "https://hooks.example.com/buy-cheap-pills?now=1"


@pytest.fixture
def alice():
    return UserFactory(email="alice@example.com")


def turn_off(user, url=URL, now=NOW):
    endpoint = endpoint_of(user, url)
    tell(user, now=now)
    for prepared in claim_deliveries(now=now, most=100):
        note_attempt(prepared=prepared, answer=GONE, at=now, now=now, jitter=0)
    assert not WebhookEndpoint.objects.get(pk=endpoint.pk).is_active
    return endpoint


def body():
    send_notice_emails(Round(), now=NOW, most=100)
    return "\n".join(f"{email.subject}\n{email.body}" for email in mail.outbox)


def test_an_unverified_address_is_not_sent_the_url_of_the_webhook(alice):
    endpoint = turn_off(alice)

    said = body()

    assert f"endpoint number {endpoint.pk} was turned off" in said
    assert "example.com" not in said
    assert "pills" not in said


def test_a_verified_address_gets_the_host_alone(alice):
    User.objects.filter(pk=alice.pk).update(email_verified_at=NOW)
    turn_off(alice)

    said = body()

    assert "endpoint at hooks.example.com was turned off" in said
    assert "pills" not in said


def test_a_few_emails_a_day_are_sent_whatever_is_turned_off(alice):
    for number in range(9):
        turn_off(alice, f"https://hooks.example.com/{number}", now=NOW + dt.timedelta(minutes=number))
    send_notice_emails(Round(), now=NOW + dt.timedelta(hours=1), most=100)

    assert len(mail.outbox) == 5
    assert Notice.objects.filter(type="webhook.disabled").count() == 9
    turn_off(alice, "https://hooks.example.com/later", now=NOW + dt.timedelta(hours=24, minutes=9))
    send_notice_emails(Round(), now=NOW + dt.timedelta(hours=25), most=100)
    assert len(mail.outbox) == 6
