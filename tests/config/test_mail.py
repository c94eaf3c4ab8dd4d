"""Sending an email: every failure is one error with its kind."""

from __future__ import annotations

import re
import smtplib
import socket
from pathlib import Path

import pytest
from django.conf import settings as site
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend

from config.mail import EmailNotSent, send_email

BASE = Path(site.BASE_DIR)
LETTER = {"to": "alice@example.com", "subject": "Receipt", "body": "Thank you."}
CANNOT_BE_MAILED = (
    "a@" + "é" * 60 + ".example", "a@\udcff.example", "a\r\nBcc: b@example.com", "é\n@example.com", "é@", "é,",
)  # fmt: skip


def test_an_email_is_handed_to_the_server():
    send_email(**LETTER)

    assert [(email.to, email.subject, email.body) for email in mail.outbox] == [
        (["alice@example.com"], "Receipt", "Thank you.")
    ]


@pytest.mark.parametrize("address", CANNOT_BE_MAILED)
def test_an_address_that_cannot_be_encoded_is_hopeless_and_opens_no_connection(address, settings, monkeypatch):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    monkeypatch.setattr(socket, "create_connection", lambda *args, **named: pytest.fail("it connected"))

    with pytest.raises(EmailNotSent) as refusal:
        send_email(**{**LETTER, "to": address})

    assert (refusal.value.is_hopeless, refusal.value.is_about_server) == (True, False)


@pytest.mark.parametrize(
    ("error", "is_about_server"),
    [
        (ConnectionRefusedError(), True),
        (TimeoutError(), True),
        (smtplib.SMTPServerDisconnected(), True),
        (smtplib.SMTPConnectError(421, b"busy"), True),
        (smtplib.SMTPHeloError(501, b"who"), True),
        (smtplib.SMTPAuthenticationError(535, b"no"), True),
        (smtplib.SMTPSenderRefused(550, b"no", "us@example.com"), True),
        (smtplib.SMTPRecipientsRefused({"a@example.com": (421, b"closing")}), True),
        (smtplib.SMTPDataError(421, b"closing"), True),
        (smtplib.SMTPRecipientsRefused({"a@example.com": (550, b"nobody")}), False),
        (smtplib.SMTPDataError(554, b"no"), False),
        (smtplib.SMTPNotSupportedError(), False),
        (UnicodeEncodeError("idna", "é", 0, 1, "label too long"), False),
        (IndexError(), False),
    ],
    ids=repr,
)
def test_a_failure_says_whether_it_is_about_the_server(monkeypatch, error, is_about_server):
    def refuse(self, messages):
        raise error

    monkeypatch.setattr(EmailBackend, "send_messages", refuse)

    with pytest.raises(EmailNotSent) as refusal:
        send_email(**LETTER)

    assert (refusal.value.is_hopeless, refusal.value.is_about_server) == (False, is_about_server)


def test_only_the_round_of_notices_sends_emails():
    sources = [path for app in ("accounts", "config", "ledger", "usage") for path in (BASE / app).rglob("*.py")]

    senders = {
        str(path.relative_to(BASE))
        for path in sources
        if re.search(r"\bsend_email\(|\bsend_mail\(|\.send\(\)|smtplib\.SMTP\(|email_user\(", path.read_text())
    }

    assert senders == {"accounts/services/notices.py", "config/mail.py"}
