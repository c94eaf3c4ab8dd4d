"""What of notices and webhooks waits for staff."""

from __future__ import annotations

import datetime as dt

from accounts.models import DeliveryState
from accounts.selectors import deliveries_given_up
from config.backoffice.links import list_url
from config.backoffice.to_do import ToDo, register_to_dos

DAYS = 7


def _since(now: dt.datetime) -> dt.datetime:
    """Return the midnight from which on failed deliveries are shown."""
    return (now - dt.timedelta(days=DAYS)).astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)


TO_DOS = (
    ToDo(
        name="webhooks",
        title="Webhook deliveries that failed for good",
        permission="accounts.view_webhookdelivery",
        rows=lambda now: deliveries_given_up(since=_since(now)),
        since="created_at",
        url=lambda now: list_url(
            "accounts_webhookdelivery", state__exact=DeliveryState.FAILED.value, created_at__gte=_since(now).isoformat()
        ),
        advice=f"Of the last {DAYS} days: see what the endpoint said, and send them again.",
    ),
)
register_to_dos(*TO_DOS)
