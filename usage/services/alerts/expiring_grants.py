"""Notify customers of grants that will expire with something left."""

from __future__ import annotations

import datetime as dt
from collections import Counter

from django.db import transaction

from config.db.prepared import read_prepared
from config.rounds import Round
from ledger.models import Grant
from ledger.selectors import balance_of
from ledger.services.grants import settle_grants
from usage.models import Alert, AlertKind
from usage.services.alerts.notices import notify_expiring

# As of their last settlement: each is settled before a notice is sent. A grant that was extended is told of again.
_EXPIRING = """
    SELECT g.user_id, g.entry_id
    FROM ledger_grant g
    JOIN usage_alert a ON a.user_id = g.user_id AND a.kind = 'grant_expiring' AND a.is_enabled
    WHERE g.expires_at > %s AND g.expires_at <= %s::timestamptz + a.days * interval '1 day' AND g.remaining > 0
        AND NOT EXISTS (
            SELECT FROM accounts_notice n
            WHERE n.user_id = g.user_id AND n.type = 'grant.expiring' AND n.key = 'grant-' || g.entry_id || coalesce(
                '-' || (SELECT max(c.id) FROM ledger_granttermschange c
                        WHERE c.user_id = g.user_id AND c.grant_id = g.entry_id), ''))
    ORDER BY g.user_id, g.expires_at, g.entry_id
"""


def grants_expiring(*, now: dt.datetime) -> list[tuple[int, int]]:
    """List the grants, by customer and entry, that expire within the days of their customer's alert, unannounced."""
    return [(user_id, entry_id) for user_id, entry_id in read_prepared(_EXPIRING, [now, now])]


def notify_expiring_grants(customers: Round, *, now: dt.datetime) -> Counter[str]:
    """Announce each grant that will expire with something left, once, and return the number of new notices.

    Each customer has a turn of their own; those whose turn failed in this round are left to the next.
    """
    sent: Counter[str] = Counter()
    grants: dict[int, list[int]] = {}
    for user_id, entry_id in grants_expiring(now=now):
        grants.setdefault(user_id, []).append(entry_id)
    for user_id, entry_ids in grants.items():
        if user_id not in customers.failed:
            with customers.turn(user_id):
                settle_grants(user_id=user_id)
                sent.update(_notify(user_id, entry_ids, now))
    return sent


@transaction.atomic
def _notify(user_id: int, entry_ids: list[int], now: dt.datetime) -> list[str]:
    alerts = Alert.objects.of(user_id).select_related("user").filter(kind=AlertKind.GRANT_EXPIRING, is_enabled=True)
    alert = alerts.select_for_update(no_key=True, of=("self",)).first()
    if alert is None:
        return []
    available = balance_of(user_id=user_id).available
    left = Grant.objects.of(user_id).filter(pk__in=entry_ids, remaining__gt=0).order_by("expires_at", "pk")
    sent = [notify_expiring(alert, grant, available=available, now=now) for grant in left if available > 0]
    return [type_ for type_ in sent if type_ is not None]
