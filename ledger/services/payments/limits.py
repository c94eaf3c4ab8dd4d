"""Limits on a customer's unsuccessful payments and new cards.

Thieves test stolen cards where an attempt is free. Attempts are rows, so they are counted over all processes; the
balance is locked meanwhile, so concurrent attempts do not all pass. An attempt whose outcome is unknown counts, and a
success does not.
"""

from __future__ import annotations

import datetime as dt

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from config.db.waiting import seconds_to_wait
from ledger import errors
from ledger.models import CardSaving, Payment, PaymentKind, PaymentState
from ledger.services.agreement.locking import lock_balance
from ledger.services.agreement.outcomes import NEVER_SENT

HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)


def refuse_too_many_tries(*, user_id: int, now: dt.datetime) -> None:
    """Refuse a top-up after too many unsuccessful ones of this customer; the balance is locked.

    For each saved card, payments that were or may have been declined count; over all, those that were not paid.
    Auto-reload has its own limits.

    :raises TooManyTopUps: with the seconds until the next attempt
    """
    tries = Payment.objects.of(user_id).filter(kind=PaymentKind.TOP_UP, created_at__gt=now - HOUR)
    unpaid = tries.exclude(state=PaymentState.SUCCEEDED).exclude(failure_code=NEVER_SENT)
    may_be_declined = Q(state=PaymentState.FAILED) | Q(state=PaymentState.PENDING, method__isnull=False)
    waits = (
        seconds_to_wait(unpaid.filter(may_be_declined), settings.TOP_UP_DECLINES_PER_HOUR, HOUR, now),
        seconds_to_wait(unpaid, settings.UNPAID_TOP_UPS_PER_HOUR, HOUR, now),
    )
    if max(waits) > 0:
        raise errors.TooManyTopUps(retry_after_seconds=max(waits))


@transaction.atomic
def take_place_for_card(*, user_id: int, now: dt.datetime) -> CardSaving:
    """Count a new card towards the limit of the day, before the provider is asked.

    :raises TooManyNewCards: if the limit is reached, with the seconds until the next attempt
    """
    lock_balance(user_id=user_id)
    mine = CardSaving.objects.filter(user_id=user_id)
    wait = seconds_to_wait(mine, settings.NEW_CARDS_PER_DAY, DAY, now)
    if wait > 0:
        raise errors.TooManyNewCards(retry_after_seconds=wait)
    mine.filter(created_at__lte=now - DAY).delete()
    return CardSaving.objects.create(user_id=user_id, created_at=now)


def give_place_back(place: CardSaving) -> None:
    """Stop counting a card that the provider did not begin to save."""
    CardSaving.objects.filter(pk=place.pk).delete()
