"""The effect of a payment's outcome on the auto-reload that began it.

Each function is called in the transaction that moves the payment on, with the balance locked, and so once for each
outcome, however often and through whichever channel it is reported.
"""

from __future__ import annotations

import datetime as dt

from ledger.models import AutoReload, OffReason, Payment, PaymentState
from ledger.providers.base import Answer
from ledger.services.agreement.locking import lock_balance, locked_reload, turn_off
from ledger.services.agreement.notices import notify_failed, notify_requires_action, notify_succeeded

NEVER_SENT = "never_sent"  # a payment's failure code: the provider never received it
MOST_DECLINES = 3  # in a row
AFTER_DECLINES = (dt.timedelta(minutes=15), dt.timedelta(hours=1))
AFTER_SILENCE = dt.timedelta(minutes=5)  # the provider was away, and the card was not tried
AFTER_NOBODY_CONFIRMED = dt.timedelta(hours=6)


def note_success(payment: Payment, *, now: dt.datetime) -> None:
    """Reset the count of declines, and arm the threshold again. Auto-reload that is off stays off."""
    lock_balance(user_id=payment.user_id)
    reload = locked_reload(user_id=payment.user_id)
    if reload is not None:
        AutoReload.objects.filter(pk=reload.pk).update(declines_in_a_row=0, updated_at=now)
    notify_succeeded(payment, now=now)


def note_change(payment: Payment, state: PaymentState, answer: Answer, *, now: dt.datetime) -> None:
    """Count a decline, or set the time of the next attempt."""
    reload = locked_reload(user_id=payment.user_id)
    if state == PaymentState.REQUIRES_ACTION:
        notify_requires_action(payment, action_url=answer.action_url, now=now)
    if reload is None or state in (PaymentState.REQUIRES_ACTION, PaymentState.PENDING):
        return
    if state == PaymentState.EXPIRED or answer.failure_code == NEVER_SENT:
        pause = AFTER_NOBODY_CONFIRMED if state == PaymentState.EXPIRED else AFTER_SILENCE
        reload.next_attempt_at = now + pause
        reload.updated_at = now
        reload.save(update_fields=["next_attempt_at", "updated_at"])
        return
    _note_decline(payment, reload, answer, now)


def _note_decline(payment: Payment, reload: AutoReload, answer: Answer, now: dt.datetime) -> None:
    if payment.method_id == reload.method_id:  # a decline of a replaced card does not count for the new one
        reload.declines_in_a_row += 1
        reload.next_attempt_at = now + AFTER_DECLINES[min(reload.declines_in_a_row, len(AFTER_DECLINES)) - 1]
    reload.updated_at = now
    is_end = reload.enabled and reload.declines_in_a_row >= MOST_DECLINES
    if is_end:
        turn_off(reload, reason=OffReason.DECLINED, now=now)
    else:
        reload.save(update_fields=["declines_in_a_row", "next_attempt_at", "updated_at"])
    notify_failed(payment, reload, code=answer.failure_code, why=answer.failure_message, now=now)
