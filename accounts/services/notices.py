"""Notices: what customers are told, noted with the thing itself and sent afterwards."""

from __future__ import annotations

import datetime as dt
import logging
import smtplib
from collections.abc import Mapping
from typing import Any

from django.core.mail import send_mail
from django.db import connection, transaction

from accounts.models import NOTICE_TYPES, Notice
from config.http.renderers import exact_json

LONGEST_SUBJECT = 200
EMAILS_GIVE_UP_AFTER = dt.timedelta(days=5)
_FIRST_PAUSE, _LONGEST_PAUSE = dt.timedelta(minutes=2), dt.timedelta(hours=6)

logger = logging.getLogger(__name__)

# Nothing is emailed to people who were deactivated, nor to names that RFC 2606 keeps from being addresses.
_TELL = """
    INSERT INTO accounts_notice (user_id, type, key, data, subject, body, created_at, email_due_at)
    VALUES (%(user_id)s, %(type)s, %(key)s, %(data)s::jsonb, %(subject)s, %(body)s, %(now)s,
        (SELECT %(now)s FROM accounts_user u
         WHERE u.id = %(user_id)s AND u.is_active AND u.email NOT ILIKE '%%.invalid' AND %(subject)s::text IS NOT NULL))
    ON CONFLICT (user_id, type, key) DO NOTHING
    RETURNING id
"""
_CLAIM = """
    UPDATE accounts_notice SET email_tries = email_tries + 1,
        email_due_at = %(now)s + least(%(first)s * power(2, least(email_tries, 20)), %(longest)s)
    WHERE id = (
        SELECT id FROM accounts_notice WHERE email_due_at <= %(now)s
        ORDER BY email_due_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING id
"""


def tell_customer(
    *,
    user_id: int,
    type: str,
    key: str,
    data: Mapping[str, Any],
    subject: str | None,
    body: str | None,
    now: dt.datetime,
) -> bool:
    """Note, in the caller's transaction, that a customer is to be told something; answers whether it is news.

    Whatever has the same user, type and key is told once. The email goes out later (`send_notice_emails`); without
    subject and body there is none. `data` may hold decimals and instants; they are written as the API writes them.

    :raises ValueError: if the type stands in no registry, or only one of subject and body is given
    """
    if type not in NOTICE_TYPES:
        raise ValueError(f"{type} is no type of notice: add it to NOTICE_TYPES.")
    if (subject is None) != (body is None):
        raise ValueError("An email has both a subject and a body.")
    values = {
        "user_id": user_id,
        "type": type,
        "key": key,
        "data": exact_json(dict(data)),
        "subject": None if subject is None else " ".join(subject.split())[:LONGEST_SUBJECT],
        "body": body,
        "now": now,
    }
    with connection.cursor() as cursor:
        cursor.execute(_TELL, values)
        return cursor.fetchone() is not None


def send_notice_emails(*, now: dt.datetime, most: int) -> int:
    """Send at most so many of the emails that are due, oldest first; answers how many were sent.

    Each is claimed by a transaction of its own before it is sent, so several may do this at once. It is sent at least
    once: when its sender is killed after the mail server took it, it goes out again. What could not be sent is tried
    again after 2 minutes, 4, 8 and so on, at most 6 hours apart, for 5 days. A server that is away ends the round.
    """
    sent = 0
    for _ in range(most):
        notice = _claim(now)
        if notice is None:
            break
        try:
            send_mail(notice.subject or "", notice.body or "", None, [notice.user.email])
        except (smtplib.SMTPException, OSError, ValueError) as error:
            _note_failure(notice, error, now)
            if _is_about_the_server(error):
                break
        else:
            Notice.objects.filter(pk=notice.pk).update(emailed_at=now, email_due_at=None)
            sent += 1
    return sent


def _claim(now: dt.datetime) -> Notice | None:
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(_CLAIM, {"now": now, "first": _FIRST_PAUSE, "longest": _LONGEST_PAUSE})
        claimed = cursor.fetchone()
    return None if claimed is None else Notice.objects.select_related("user").get(pk=claimed[0])


def _note_failure(notice: Notice, error: Exception, now: dt.datetime) -> None:
    logger.warning("The email of notice %s could not be sent: %s", notice.pk, error)
    if now - notice.created_at >= EMAILS_GIVE_UP_AFTER:
        Notice.objects.filter(pk=notice.pk).update(email_due_at=None)
        logger.warning("The email of notice %s is given up after %s tries.", notice.pk, notice.email_tries)


def _is_about_the_server(error: Exception) -> bool:
    """Tell whether the next email would fare no better; a refused address or text is a matter of that email alone."""
    if isinstance(error, smtplib.SMTPResponseException):
        return isinstance(error, smtplib.SMTPConnectError | smtplib.SMTPHeloError | smtplib.SMTPAuthenticationError)
    return isinstance(error, OSError) and not isinstance(
        error, smtplib.SMTPRecipientsRefused | smtplib.SMTPNotSupportedError
    )
