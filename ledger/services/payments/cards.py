"""Saved cards, and who a customer is at a provider."""

from __future__ import annotations

import datetime as dt
import logging
import uuid

from django.db import transaction
from django.db.models import Q

from accounts.emails import is_mailbox
from ledger import errors
from ledger.models import DisputeStatus, PaymentCustomer, PaymentDispute, PaymentMethod
from ledger.providers.base import CardSaving, NoAnswer, Provider, Refused
from ledger.providers.registry import chosen_provider, provider_named
from ledger.providers.turns import turn
from ledger.services.agreement.locking import turn_off_for_card
from ledger.services.payments.limits import give_place_back, take_place_for_card

logger = logging.getLogger(__name__)


def customer_at(*, provider: Provider, user_id: int, email: str) -> str:
    """Give the provider's name for a customer, making them known there on their first payment.

    Of two first payments at once one name is kept; the other stands at the provider unused.

    :raises PaymentProviderAway: if that takes an answer that does not come
    """
    known = PaymentCustomer.objects.filter(user_id=user_id, provider=provider.name).first()
    if known is not None:
        return known.provider_customer_id
    try:
        # An address that no mail can be sent to is refused there, too, and would keep its customer from ever paying.
        mailbox = email if is_mailbox(email) else ""
        made = provider.create_customer(user_id=user_id, email=mailbox, key=uuid.uuid4())
    except (NoAnswer, Refused) as error:
        logger.exception("A customer could not be made known to %s.", provider.name)
        raise errors.PaymentProviderAway from error
    fresh = PaymentCustomer(user_id=user_id, provider=provider.name, provider_customer_id=made)
    PaymentCustomer.objects.bulk_create([fresh], ignore_conflicts=True)
    return PaymentCustomer.objects.get(user_id=user_id, provider=provider.name).provider_customer_id


def start_saving_card(*, user_id: int, email: str, now: dt.datetime) -> CardSaving:
    """Begin to save a card: the customer goes on with the provider's own script, and a webhook tells the end.

    :raises PaymentsOff: if this site takes no payments
    :raises TooManyNewCards: if the customer has begun as many today as anybody may
    :raises PaymentProviderAway, PaymentProviderBusy: if the provider does not answer, or too many ask it now
    """
    provider = chosen_provider()
    with turn():
        place = take_place_for_card(user_id=user_id, now=now)
        try:
            customer_id = customer_at(provider=provider, user_id=user_id, email=email)
            return provider.start_saving_card(customer_id=customer_id, key=uuid.uuid4())
        except (NoAnswer, Refused, errors.PaymentProviderAway) as error:
            give_place_back(place)
            raise errors.PaymentProviderAway from error


def remember_card(*, user_id: int, provider_name: str, method_id: str) -> PaymentMethod | None:
    """Keep a card that the provider has saved; answers it, or None when the provider knows no such card (any more).

    Repetition keeps it once, and a card that its customer removed stays removed.

    :raises PaymentProviderAway: if the provider does not say
    """
    known = PaymentMethod.objects.filter(provider=provider_name, provider_method_id=method_id).first()
    if known is not None:
        return known
    try:
        card = provider_named(provider_name).card(method_id)
    except NoAnswer as silence:
        raise errors.PaymentProviderAway from silence
    except (Refused, errors.PaymentsOff) as error:
        logger.warning("A saved card of customer %s is not known: %s", user_id, error)
        return None
    fresh = PaymentMethod(
        user_id=user_id,
        provider=provider_name,
        provider_method_id=method_id,
        brand=card.brand,
        last4=card.last4,
        expiry_month=card.expiry_month,
        expiry_year=card.expiry_year,
        fingerprint=card.fingerprint,
    )
    PaymentMethod.objects.bulk_create([fresh], ignore_conflicts=True)
    return PaymentMethod.objects.get(provider=provider_name, provider_method_id=method_id)


def saved_card(*, user_id: int, payment_method_id: int, provider_name: str) -> PaymentMethod:
    """Return a card that the customer has saved at this provider, and not removed.

    :raises PaymentMethodNotFound: if the customer has no such card
    """
    cards = PaymentMethod.objects.filter(user_id=user_id, provider=provider_name, removed_at__isnull=True)
    card = cards.filter(pk=payment_method_id).first()
    if card is None:
        raise errors.PaymentMethodNotFound
    return card


def is_disputed(card: PaymentMethod) -> bool:
    """Tell whether a payment by this card, whichever customer saved it, is in a dispute or was lost in one."""
    same = Q(pk=card.pk)
    if card.fingerprint:
        same |= Q(provider=card.provider, fingerprint=card.fingerprint)
    names = list(PaymentMethod.objects.filter(same).values_list("provider_method_id", flat=True))
    disputes = PaymentDispute.objects.exclude(status=DisputeStatus.WON)
    paid_with_it = Q(payment__paid_with__in=names) | Q(payment__method__provider_method_id__in=names)
    return disputes.filter(paid_with_it, payment__provider=card.provider).exists()


def remove_card(*, user_id: int, payment_method_id: int, now: dt.datetime) -> None:
    """Let a card be charged no more, here at once and then at the provider. Repetition does nothing.

    :raises PaymentMethodNotFound: if the customer has no such card
    """
    cards = PaymentMethod.objects.filter(user_id=user_id, pk=payment_method_id, removed_at__isnull=True)
    card = cards.first()
    if card is None or not _note_removal(card, now):
        raise errors.PaymentMethodNotFound
    try:
        provider_named(card.provider).forget_card(card.provider_method_id)
    except (NoAnswer, Refused, errors.PaymentsOff, errors.PaymentProviderBusy) as error:
        logger.warning("Card %s is removed here, but not at the provider: %s", card.pk, error)


def forget_card(*, provider_name: str, method_id: str, now: dt.datetime) -> bool:
    """Note that the provider has removed a card; answers whether it was one of ours."""
    cards = PaymentMethod.objects.filter(provider=provider_name, provider_method_id=method_id)
    card = cards.filter(removed_at__isnull=True).first()
    return card is not None and _note_removal(card, now)


@transaction.atomic
def _note_removal(card: PaymentMethod, now: dt.datetime) -> bool:
    """Let a card be charged no more, nor by auto-reload; answers whether it was there until now."""
    turn_off_for_card(user_id=card.user_id, payment_method_id=card.pk, now=now)  # first, since it holds the balance
    return bool(PaymentMethod.objects.filter(pk=card.pk, removed_at__isnull=True).update(removed_at=now))
