"""Notices: each is written once, with its event, and sent by email at least once."""

from __future__ import annotations

import datetime as dt
import smtplib
from decimal import Decimal
from pathlib import Path

import pytest
from django.conf import settings
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.db import transaction
from django.utils import timezone

from accounts.models import NOTICE_TYPES, Notice
from accounts.services.notices import notify_customer, send_notice_emails
from config.rounds import Round
from tests.accounts.races import at_once
from tests.config.test_mail import CANNOT_BE_MAILED
from tests.factories import UserFactory

NOW = dt.datetime(2026, 11, 22, 5, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice():
    return UserFactory(email="alice@example.com")


def tell(user, **changes):
    told = {
        "user_id": user.pk,
        "type": "balance.low",
        "key": "2026-11-22",
        "data": {"available": Decimal("4.500000"), "at": NOW},
        "subject": "Few credits\nleft",
        "body": "4.5 credits are left.",
        "now": NOW,
    }
    return notify_customer(**told | changes)


def refuse_all(monkeypatch, error):
    def refuse(self, messages):
        raise error

    monkeypatch.setattr(EmailBackend, "send_messages", refuse)


def test_a_notice_with_the_same_key_is_written_once(alice):
    told = [tell(alice), tell(alice), tell(alice, key="2026-11-23"), tell(alice, type="balance.depleted")]

    assert told == [True, False, True, True]
    assert Notice.objects.of(alice.pk).count() == 3
    assert tell(UserFactory()) is True


def test_a_notice_keeps_numbers_and_instants_as_the_api_writes_them(alice):
    tell(alice)

    notice = Notice.objects.get()
    assert notice.data == {"available": 4.5, "at": "2026-11-22T05:00:00Z"}
    assert (notice.subject, notice.created_at, notice.email_due_at) == ("Few credits left", NOW, NOW)


@pytest.mark.parametrize("type", sorted(NOTICE_TYPES))
def test_every_type_is_documented_for_receivers(type):
    assert f"`{type}`" in (Path(settings.BASE_DIR) / "docs" / "webhooks.md").read_text(encoding="utf-8")


def test_a_notice_is_rolled_back_with_its_event(alice):
    with transaction.atomic():
        tell(alice)
        transaction.set_rollback(True)

    assert not Notice.objects.exists()
    assert tell(alice)


@pytest.mark.parametrize("changes", [{"type": "balance.funny"}, {"body": None}, {"subject": None}])
def test_a_notice_of_no_known_type_or_half_a_text_is_refused(alice, changes):
    with pytest.raises(ValueError, match=r"."):
        tell(alice, **changes)


def test_an_email_is_sent_once_to_the_customer(alice):
    tell(alice)

    sent = [send_notice_emails(Round(), now=NOW, most=10), send_notice_emails(Round(), now=NOW + 60 * MINUTE, most=10)]

    assert sent == [1, 0]
    (email,) = mail.outbox
    assert (email.to, email.subject, email.body) == (["alice@example.com"], "Few credits left", "4.5 credits are left.")
    assert Notice.objects.get().emailed_at == NOW


def test_a_notice_without_a_text_is_not_emailed(alice):
    tell(alice, subject=None, body=None)

    assert send_notice_emails(Round(), now=NOW, most=10) == 0


@pytest.mark.parametrize("fields", [{"is_active": False}, {"email": "alice@gateway.invalid"}])
def test_no_email_is_sent_to_an_unreachable_address_or_a_deactivated_person(fields):
    assert tell(UserFactory(**fields))

    assert send_notice_emails(Round(), now=NOW, most=10) == 0
    assert mail.outbox == []


def test_a_round_sends_no_more_than_it_may_and_the_oldest_first(alice):
    for number in range(3):
        tell(alice, key=str(number), subject=str(number), now=NOW - number * MINUTE)

    assert send_notice_emails(Round(), now=NOW, most=2) == 2
    assert [email.subject for email in mail.outbox] == ["2", "1"]


def test_a_server_that_is_away_is_asked_once_a_round_and_later_again(alice, monkeypatch):
    tell(alice)
    tell(alice, key="another", now=NOW + MINUTE / 60)
    with monkeypatch.context() as away:
        refuse_all(away, ConnectionRefusedError())
        assert send_notice_emails(Round(), now=NOW + MINUTE, most=10) == 0
    first, other = Notice.objects.order_by("id")
    assert (first.email_tries, first.email_due_at) == (1, NOW + 3 * MINUTE)
    assert other.email_tries == 0

    assert send_notice_emails(Round(), now=NOW + 2 * MINUTE, most=10) == 1
    assert send_notice_emails(Round(), now=NOW + 3 * MINUTE, most=10) == 1


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError(),
        smtplib.SMTPServerDisconnected(),
        smtplib.SMTPConnectError(421, b"busy"),
        smtplib.SMTPHeloError(501, b"who"),
        smtplib.SMTPAuthenticationError(535, b"no"),
        smtplib.SMTPSenderRefused(550, b"no", "us@example.com"),
        smtplib.SMTPRecipientsRefused({"a@example.com": (421, b"closing")}),
        smtplib.SMTPDataError(421, b"closing"),
    ],
)
def test_a_round_ends_at_the_first_error_of_the_server_itself(alice, monkeypatch, error):
    for number in range(2):
        tell(alice, key=str(number))
    refuse_all(monkeypatch, error)

    send_notice_emails(Round(), now=NOW, most=10)

    assert [notice.email_tries for notice in Notice.objects.order_by("id")] == [1, 0]


@pytest.mark.parametrize(
    "error",
    [
        smtplib.SMTPRecipientsRefused({"a@example.com": (550, b"nobody")}),
        smtplib.SMTPDataError(554, b"no"),
        ValueError(),
    ],
)
def test_a_refused_email_does_not_stop_the_others(alice, monkeypatch, error):
    for number in range(2):
        tell(alice, key=str(number))
    refuse_all(monkeypatch, error)

    send_notice_emails(Round(), now=NOW, most=10)

    assert [notice.email_tries for notice in Notice.objects.all()] == [1, 1]


@pytest.mark.parametrize("email", CANNOT_BE_MAILED)
def test_an_email_that_cannot_be_encoded_is_given_up_and_does_not_stop_the_others(alice, email):
    broken = UserFactory(email=email.replace("\udcff", "é" * 60))
    tell(broken)
    tell(alice)

    assert send_notice_emails(Round(), now=NOW, most=10) == 1
    assert [email.to for email in mail.outbox] == [["alice@example.com"]]
    assert Notice.objects.of(broken.pk).get().email_due_at is None


def test_pauses_double_up_to_six_hours_and_end_after_five_days(alice, monkeypatch):
    tell(alice)
    refuse_all(monkeypatch, smtplib.SMTPServerDisconnected())
    pauses, now = [], NOW
    while True:
        send_notice_emails(Round(), now=now, most=1)
        due = Notice.objects.get().email_due_at
        if due is None:
            break
        pauses.append(due - now)
        now = due

    assert pauses[:4] == [2 * MINUTE, 4 * MINUTE, 8 * MINUTE, 16 * MINUTE]
    assert pauses[-1] == dt.timedelta(hours=6)
    assert dt.timedelta(days=5) <= now - NOW < dt.timedelta(days=5, hours=6)


def test_an_email_whose_sender_was_killed_goes_out_again(alice, monkeypatch):
    tell(alice)
    with monkeypatch.context() as killed:
        refuse_all(killed, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            send_notice_emails(Round(), now=NOW, most=10)

    assert send_notice_emails(Round(), now=NOW + MINUTE, most=10) == 0
    assert send_notice_emails(Round(), now=NOW + 2 * MINUTE, most=10) == 1


@pytest.mark.django_db(transaction=True)
def test_one_of_many_concurrent_notices_with_one_key_is_new():
    alice = UserFactory()

    told = at_once(8, lambda: tell(alice))

    assert sorted(told) == [False] * 7 + [True]


@pytest.mark.django_db(transaction=True)
def test_many_senders_at_once_send_each_email_once():
    alice = UserFactory()
    for number in range(12):
        tell(alice, key=str(number), subject=str(number))

    sent = at_once(4, lambda: send_notice_emails(Round(), now=timezone.now(), most=100))

    assert sum(sent) == 12
    assert len({email.subject for email in mail.outbox}) == len(mail.outbox) == 12
