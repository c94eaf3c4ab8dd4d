"""The payments of the demo company's customers, failed ones too, and their expiring grants."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal

from django.conf import settings

from accounts.models import User
from ledger.models import AutoReload, DisputeStatus, EntryReason, Grant
from ledger.providers import fake
from ledger.services.agreement.pricing import offered_rate
from ledger.services.auto_reload.buying import reload_one
from ledger.services.auto_reload.terms import change_auto_reload
from ledger.services.grants import GrantTerms, open_grant
from ledger.services.payments.cards import remember_card, remove_card
from ledger.services.payments.reversals import note_dispute
from ledger.services.payments.top_ups import start_top_up

# One with a good card, one with a declined card, and one whose bank asks for authentication each time.
CARDS = {"alice": fake.APPROVE, "bob": fake.DECLINE, "dora": fake.AUTHENTICATE}
PROVIDER = fake.FakeProvider.name
WELCOME_CREDITS = Decimal(200)
WELCOME_DAYS = 10


def seed_money(people: Mapping[str, User], *, now: dt.datetime) -> None:
    """Save the cards, buy with each, and post a welcome grant that expires; a second run does nothing more."""
    for name, kind in CARDS.items():
        user = people[name]
        card = remember_card(user_id=user.pk, provider_name=PROVIDER, method_id=f"{kind}:{name}")
        if card is not None and settings.PAYMENT_PROVIDER == PROVIDER:
            start_top_up(
                user_id=user.pk, email=user.email, package_code="starter", payment_method_id=card.pk,
                idempotency_key="demo: top-up", now=now,
            )  # fmt: skip
    _dispute(people["alice"], now)
    _reload_charlie(people["charlie"], now)
    emil = people["emil"]
    if not Grant.objects.filter(user=emil).exists():
        open_grant(
            user_id=emil.pk, amount=WELCOME_CREDITS, reason=EntryReason.GRANT, description="Welcome to the demo",
            operation="grant", idempotency_key="demo: welcome",
            terms=GrantTerms(expires_at=now.replace(microsecond=0) + dt.timedelta(days=WELCOME_DAYS)),
        )  # fmt: skip


def _dispute(alice: User, now: dt.datetime) -> None:
    """Let one purchase be disputed, by a card that is no longer used, so that staff have a case to look into."""
    card = remember_card(user_id=alice.pk, provider_name=PROVIDER, method_id=f"{fake.APPROVE}:alice-before")
    if card is None or settings.PAYMENT_PROVIDER != PROVIDER:
        return
    payment = start_top_up(
        user_id=alice.pk, email=alice.email, package_code="starter", payment_method_id=card.pk,
        idempotency_key="demo: disputed", now=now,
    ).payment  # fmt: skip
    note_dispute(
        payment_id=payment.pk, provider_dispute_id="demo_dispute", amount_minor=payment.amount_minor,
        status=DisputeStatus.OPEN, now=now,
    )  # fmt: skip
    if card.removed_at is None:
        remove_card(user_id=alice.pk, payment_method_id=card.pk, now=now)


def _reload_charlie(charlie: User, now: dt.datetime) -> None:
    """Let one customer agree to auto-reload while their credits are low, so that it buys at once."""
    card = remember_card(user_id=charlie.pk, provider_name=PROVIDER, method_id=f"{fake.APPROVE}:charlie")
    is_sold = settings.PAYMENT_PROVIDER == PROVIDER and offered_rate() is not None
    if card is None or not is_sold or AutoReload.objects.filter(pk=charlie.pk).exists():
        return
    terms = {"threshold": Decimal(150), "amount": Decimal(500), "monthly_cap": Decimal(20)}
    agreed = {"enabled": True, "consent": True, "payment_method_id": card.pk}
    change_auto_reload(user_id=charlie.pk, changes=terms | agreed, now=now)
    reload_one(user_id=charlie.pk, now=now)
