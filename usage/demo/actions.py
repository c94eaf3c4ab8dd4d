"""What staff of the demo company have done: a refund in part, an email verified by hand, a grant that ends later."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal

from accounts.errors import EmailIsVerified
from accounts.models import User
from accounts.services.people import verify_email
from ledger.models import EntryReason, GrantTermsChange, Payment, PaymentState
from ledger.services.grant_terms import extend_grant
from ledger.services.grants import GrantTerms, open_grant
from ledger.services.payments.refunds import begin_refund, carry_out_refund

REFUNDED_MINOR = 250


def seed_actions(people: Mapping[str, User], *, actor: User, now: dt.datetime) -> None:
    """Refund a part of a purchase, verify an address, extend a grant; a second run does nothing more."""
    alice = people["alice"]
    with suppress(EmailIsVerified):
        verify_email(user_id=alice.pk, email=alice.email, now=now)
    _extend(people["bob"], actor, now)
    _refund(alice, actor, now)


def _extend(bob: User, actor: User, now: dt.datetime) -> None:
    """Let one grant end in three days: it was to end in two."""
    if GrantTermsChange.objects.filter(user_id=bob.pk).exists():
        return
    ends_at = now.replace(microsecond=0) + dt.timedelta(days=2)
    trial = open_grant(
        user_id=bob.pk, amount=Decimal(100), reason=EntryReason.GRANT, description="Trial of new endpoints",
        operation="grant", idempotency_key="demo: trial", terms=GrantTerms(expires_at=ends_at),
    )  # fmt: skip
    extend_grant(
        user_id=bob.pk, grant_id=trial.entry.pk, expires_at=ends_at + dt.timedelta(days=1), actor_id=actor.pk,
        note="The new endpoints were down for a day", idempotency_key="demo: extend",
    )  # fmt: skip


def _refund(alice: User, actor: User, now: dt.datetime) -> None:
    payment = Payment.objects.of(alice.pk).filter(idempotency_key="demo: top-up", state=PaymentState.SUCCEEDED).first()
    if payment is None:  # this site takes no payments, or others
        return
    begun = begin_refund(
        user_id=alice.pk, payment_id=payment.pk, amount_minor=REFUNDED_MINOR, note="Bought by mistake, in part",
        actor_id=actor.pk, idempotency_key="demo: refund", now=now,
    )  # fmt: skip
    carry_out_refund(refund_id=begun.refund.pk, now=now)
