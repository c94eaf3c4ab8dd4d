"""How often a customer's payments may come to nothing, and how many new cards they may bring.

Stolen cards are tried out where each try is free. What counts are rows, so it is counted over all
processes; the customer's balance is held meanwhile, so many tries at once do not all find the same place free. A try
whose outcome is not known yet holds its place, and a success gives it back.
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
    """Refuse a top-up after too many of the customer's came to nothing; the balance is held.

    Of a saved card what was declined counts, or may have been; of all, what was not paid. What auto-reload begins has
    its own bounds.

    :raises TooManyTopUps: saying in how many seconds the next may be tried
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
    """Take one of the day's places for a new card, before the provider is asked.

    :raises TooManyNewCards: if there is none left, saying in how many seconds there is
    """
    lock_balance(user_id=user_id)
    mine = CardSaving.objects.filter(user_id=user_id)
    wait = seconds_to_wait(mine, settings.NEW_CARDS_PER_DAY, DAY, now)
    if wait > 0:
        raise errors.TooManyNewCards(retry_after_seconds=wait)
    mine.filter(created_at__lte=now - DAY).delete()
    return CardSaving.objects.create(user_id=user_id, created_at=now)


def give_place_back(place: CardSaving) -> None:
    """Let a card that the provider would not begin to save count no more: nobody has tried it."""
    CardSaving.objects.filter(pk=place.pk).delete()
