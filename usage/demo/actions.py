"""What staff of the demo company have done: a payment refunded in part, an email verified by hand."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from contextlib import suppress

from accounts.errors import EmailIsVerified
from accounts.models import User
from accounts.services.people import verify_email
from ledger.models import Payment, PaymentState
from ledger.services.payments.refunds import begin_refund, carry_out_refund

REFUNDED_MINOR = 250


def seed_actions(people: Mapping[str, User], *, actor: User, now: dt.datetime) -> None:
    """Refund a part of one purchase, and verify one address; a second run does nothing more."""
    alice = people["alice"]
    with suppress(EmailIsVerified):
        verify_email(user_id=alice.pk, email=alice.email, now=now)
    payment = Payment.objects.of(alice.pk).filter(idempotency_key="demo: top-up", state=PaymentState.SUCCEEDED).first()
    if payment is None:  # this site takes no payments, or others
        return
    begun = begin_refund(
        user_id=alice.pk, payment_id=payment.pk, amount_minor=REFUNDED_MINOR, note="Bought by mistake, in part",
        actor_id=actor.pk, idempotency_key="demo: refund", now=now,
    )  # fmt: skip
    carry_out_refund(refund_id=begun.refund.pk, now=now)
