"""Notices to customers: written in the transaction of their event, sent afterwards by email and webhook."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection, transaction

from accounts.models import NOTICE_TYPES, STAFF_NOTICE_TYPES, Notice
from accounts.reset_tokens import reset_link
from config.mail import EmailNotSent, send_email
from config.rounds import Round
from config.values.credits import plain
from config.values.json import exact_json

LONGEST_SUBJECT = 200
EMAILS_GIVE_UP_AFTER = dt.timedelta(days=5)
_FIRST_PAUSE, _LONGEST_PAUSE = dt.timedelta(minutes=2), dt.timedelta(hours=6)

RESET_LINK, RESET_LINK_HERE = "account.password_reset", "{link}"

logger = logging.getLogger(__name__)

# No email goes to deactivated people, nor to `.invalid` addresses, which RFC 2606 reserves.
_TELL = """
    WITH customer AS (
        SELECT is_active, coalesce(%(email_to)s, email) NOT ILIKE '%%.invalid' AND (
            %(most_emails)s::integer IS NULL OR %(most_emails)s > (
                SELECT count(*) FROM accounts_notice n
                WHERE n.user_id = %(user_id)s AND n.type = %(type)s AND n.email_to IS NULL AND n.subject IS NOT NULL
                    AND n.created_at > %(now)s - interval '1 day')) AS is_emailed
        FROM accounts_user WHERE id = %(user_id)s
    ), told AS (
        INSERT INTO accounts_notice (user_id, type, key, data, subject, body, email_to, created_at, email_due_at)
        VALUES (%(user_id)s, %(type)s, %(key)s, %(data)s::jsonb, %(subject)s, %(body)s, %(email_to)s, %(now)s,
            (SELECT %(now)s FROM customer WHERE is_active AND is_emailed AND %(subject)s::text IS NOT NULL))
        ON CONFLICT (user_id, type, key) DO NOTHING
        RETURNING id
    ), queued AS (
        INSERT INTO accounts_webhookdelivery
            (user_id, endpoint_id, notice_id, state, attempts, failures, due_since, next_attempt_at, created_at)
        SELECT %(user_id)s, e.id, told.id, 'pending', 0, 0, %(now)s, %(now)s, %(now)s
        FROM told, accounts_webhookendpoint e
        WHERE e.user_id = %(user_id)s AND e.is_active AND (SELECT is_active FROM customer)
            AND %(email_to)s::text IS NULL
            AND CASE WHEN %(endpoint_id)s::bigint IS NULL
                THEN cardinality(e.event_types) = 0 OR %(type)s = ANY(e.event_types)
                ELSE e.id = %(endpoint_id)s END
        RETURNING id
    )
    SELECT told.id, (SELECT min(id) FROM queued) FROM told
"""
_CLAIM = """
    UPDATE accounts_notice SET email_tries = email_tries + 1,
        email_due_at = %(now)s + least(%(first)s * power(2, least(email_tries, 20)), %(longest)s)
    WHERE id = (
        SELECT id FROM accounts_notice WHERE id = %(id)s AND email_due_at <= %(now)s FOR UPDATE SKIP LOCKED)
    RETURNING id
"""


class _Email(NamedTuple):
    subject: str | None
    body: str | None
    to: str | None
    most_a_day: int | None


def notify_customer(
    *,
    user_id: int,
    type: str,
    key: str,
    data: Mapping[str, Any],
    subject: str | None,
    body: str | None,
    now: dt.datetime,
    email_to: str | None = None,
    most_emails_a_day: int | None = None,
) -> bool:
    """Write a notice to a customer in the caller's transaction; return whether it is new.

    A notice with the same user, type and key is written once. It goes to those of the customer's webhook endpoints that
    want this type (`deliver_webhooks`), and by email (`send_notice_emails`) if it has a subject and body. `data`
    may contain decimals and datetimes; they are written as the API writes them.

    `email_to` sends the email there and to no webhook: for an address that the account no longer has. Beyond
    `most_emails_a_day` of this type to the account's own address, the rest of a day's notices have no email.

    :raises ValueError: if the type is not in NOTICE_TYPES, or only one of subject and body is given
    """
    email = _Email(subject, body, email_to, most_emails_a_day)
    return _tell(user_id, None, type, key, data, email, now) is not None


def notify_endpoint(
    *, user_id: int, endpoint_id: int, type: str, key: str, data: Mapping[str, Any], now: dt.datetime
) -> int:
    """Write a notice for one endpoint, which must be on, without an email; return the delivery's id."""
    told = _tell(user_id, endpoint_id, type, key, data, _Email(None, None, None, None), now)
    assert told is not None  # noqa: S101  for the type checker: the key is a new one
    return told[1]


def _tell(
    user_id: int,
    endpoint_id: int | None,
    type: str,
    key: str,
    data: Mapping[str, Any],
    email: _Email,
    now: dt.datetime,
) -> tuple[int, int] | None:
    subject, body = email.subject, email.body
    if type not in NOTICE_TYPES | STAFF_NOTICE_TYPES:
        raise ValueError(f"{type} is no type of notice: add it to NOTICE_TYPES.")
    if (subject is None) != (body is None):
        raise ValueError("An email has both a subject and a body.")
    values = {
        "user_id": user_id,
        "endpoint_id": endpoint_id,
        "type": type,
        "key": key,
        "data": exact_json(_without_trailing_zeros(data)),
        "subject": None if subject is None else " ".join(subject.split())[:LONGEST_SUBJECT],
        "body": body,
        "email_to": email.to,
        "most_emails": email.most_a_day,
        "now": now,
    }
    with connection.cursor() as cursor:
        cursor.execute(_TELL, values)
        told: tuple[int, int] | None = cursor.fetchone()
    return told


def notice_emails_due(*, now: dt.datetime, types: Collection[str]) -> int:
    """Return how many emails of these types of notices are due."""
    return Notice.objects.filter(email_due_at__lte=now, type__in=types).count()


def send_notice_emails(customers: Round, *, now: dt.datetime, most: int, types: Collection[str] | None = None) -> int:
    """Send at most `most` due emails, of all types or of these, oldest first; return how many were sent.

    Call it only in commands and jobs, outside of any lock: a mail server may be slow.

    Each email is claimed in its own transaction before it is sent, so several senders may run at once. It is sent at
    least once: if its sender is killed after the mail server accepted it, it is sent again. A failed email is tried
    again after 2 minutes, 4, 8 and so on, at most 6 hours apart, for 5 days; one that cannot be encoded is given up
    at once. An unreachable server ends the round; any other error ends only that customer's turn.
    """
    sent = 0
    due = Notice.objects.filter(email_due_at__lte=now).order_by("email_due_at", "pk")
    due = due if types is None else due.filter(type__in=types)
    for notice_id, user_id in list(due.values_list("pk", "user_id")[:most]):
        is_server_away = False
        with customers.turn(user_id):
            notice = _claim(notice_id, now)
            if notice is None:  # another sender claimed it first
                continue
            try:
                _send(notice, now)
            except EmailNotSent as error:
                _note_failure(notice, error, now)
                is_server_away = error.is_about_server
            else:
                Notice.objects.filter(pk=notice.pk).update(emailed_at=now, email_due_at=None)
                sent += 1
        if is_server_away:
            break
    return sent


def _send(notice: Notice, now: dt.datetime) -> None:
    body = notice.body or ""
    if notice.type == RESET_LINK:
        body = body.replace(RESET_LINK_HERE, reset_link(notice.user, now=now))
    send_email(to=notice.email_to or notice.user.email, subject=notice.subject or "", body=body)


def _without_trailing_zeros(value: Any) -> Any:
    """Return a value with its numbers as the API writes them: without trailing zeros."""
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, Mapping):
        return {name: _without_trailing_zeros(each) for name, each in value.items()}
    return [_without_trailing_zeros(each) for each in value] if isinstance(value, list | tuple) else value


def _claim(notice_id: int, now: dt.datetime) -> Notice | None:
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        values: dict[str, Any] = {"id": notice_id, "now": now, "first": _FIRST_PAUSE, "longest": _LONGEST_PAUSE}
        cursor.execute(_CLAIM, values)
        claimed = cursor.fetchone()
    return None if claimed is None else Notice.objects.select_related("user").get(pk=claimed[0])


def _note_failure(notice: Notice, error: EmailNotSent, now: dt.datetime) -> None:
    logger.warning("The email of notice %s could not be sent: %s", notice.pk, error)
    if error.is_hopeless or now - notice.created_at >= EMAILS_GIVE_UP_AFTER:
        Notice.objects.filter(pk=notice.pk).update(email_due_at=None)
        logger.warning("The email of notice %s is given up after %s tries.", notice.pk, notice.email_tries)
