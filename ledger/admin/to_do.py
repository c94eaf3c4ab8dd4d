"""What of money and credits waits for staff."""

from __future__ import annotations

import datetime as dt

from config.backoffice.links import list_url
from config.backoffice.to_do import ToDo, register_to_dos
from ledger.models import (
    AdjustmentRequest,
    AdjustmentState,
    AutoReload,
    DisputeStatus,
    EntryDispute,
    EntryDisputeState,
    Hold,
    HoldStatus,
    OffReason,
    Payment,
    PaymentDispute,
    PaymentState,
)

DAYS = 7
HOLD_AGE = dt.timedelta(minutes=30)
"""How long a hold may have been over before somebody looks: `expire_holds` runs every ten minutes."""


def _since(now: dt.datetime) -> dt.datetime:
    """Return the midnight from which on failures are shown."""
    return (now - dt.timedelta(days=DAYS)).astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)


TO_DOS = (
    ToDo(
        name="approvals",
        title="Adjustments that wait for approval",
        permission="ledger.view_adjustmentrequest",
        rows=lambda _: AdjustmentRequest.objects.filter(state=AdjustmentState.PENDING),
        since="created_at",
        url=lambda _: list_url("ledger_adjustmentrequest", state=AdjustmentState.PENDING.value),
        advice="A second person approves or rejects each.",
        is_urgent=True,
    ),
    ToDo(
        name="entry_disputes",
        title="Disputes of debits that wait for an answer",
        permission="ledger.view_entrydispute",
        rows=lambda _: EntryDispute.objects.filter(state=EntryDisputeState.OPEN),
        since="created_at",
        url=lambda _: list_url("ledger_entrydispute", state__exact=EntryDisputeState.OPEN.value),
        advice="The oldest first: answer, return credits, or reject with words.",
        is_urgent=True,
    ),
    ToDo(
        name="payment_disputes",
        title="Payments disputed at the bank",
        permission="ledger.view_payment",
        rows=lambda _: PaymentDispute.objects.filter(status=DisputeStatus.OPEN),
        since="created_at",
        url=lambda _: list_url("ledger_payment", state="disputed"),
        advice="Answer at the provider before its deadline.",
        is_urgent=True,
    ),
    ToDo(
        name="failed_payments",
        title="Payments that failed",
        permission="ledger.view_payment",
        rows=lambda now: Payment.objects.filter(state=PaymentState.FAILED, created_at__gte=_since(now)),
        since="created_at",
        url=lambda now: list_url(
            "ledger_payment", state=PaymentState.FAILED.value, created_at__gte=_since(now).isoformat()
        ),
        advice=f"Of the last {DAYS} days: ask the provider again, or the customer for another card.",
    ),
    ToDo(
        name="failed_reloads",
        title="Auto-reloads that declined cards stopped",
        permission="ledger.view_autoreload",
        rows=lambda now: AutoReload.objects.filter(off_reason=OffReason.DECLINED, turned_off_at__gte=_since(now)),
        since="turned_off_at",
        url=lambda now: list_url(
            "ledger_autoreload", off_reason__exact=OffReason.DECLINED.value, turned_off_at__gte=_since(now).isoformat()
        ),
        advice=f"Of the last {DAYS} days: these customers will run out of credits.",
    ),
    ToDo(
        name="holds",
        title="Holds that are over and not settled",
        permission="ledger.view_hold",
        rows=lambda now: Hold.objects.filter(status=HoldStatus.OPEN, expires_at__lte=now - HOLD_AGE),
        since="expires_at",
        url=lambda now: list_url("ledger_hold", expiry="unsettled", expires_at__lte=(now - HOLD_AGE).isoformat()),
        advice="They hold nothing any more, but expire_holds should have tidied up: see whether jobs run.",
    ),
)
register_to_dos(*TO_DOS)
