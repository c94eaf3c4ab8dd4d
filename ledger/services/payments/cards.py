"""Saved cards, and the ids of customers at providers."""

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
    """Return the provider's id of a customer, who is created there with the first payment.

    Of two concurrent first payments one id is kept; the other stays unused at the provider.

    :raises PaymentProviderAway: if the provider has to create it and does not answer
    """
    known = PaymentCustomer.objects.filter(user_id=user_id, provider=provider.name).first()
    if known is not None:
        return known.provider_customer_id
    try:
        # The provider rejects an address that no mail can be sent to, and the customer could never pay.
        mailbox = email if is_mailbox(email) else ""
        made = provider.create_customer(user_id=user_id, email=mailbox, key=uuid.uuid4())
    except (NoAnswer, Refused) as error:
        logger.exception("A customer could not be made known to %s.", provider.name)
        raise errors.PaymentProviderAway from error
    fresh = PaymentCustomer(user_id=user_id, provider=provider.name, provider_customer_id=made)
    PaymentCustomer.objects.bulk_create([fresh], ignore_conflicts=True)
    return PaymentCustomer.objects.get(user_id=user_id, provider=provider.name).provider_customer_id


def start_saving_card(*, user_id: int, email: str, now: dt.datetime) -> CardSaving:
    """Start to save a card: the provider's script continues in the browser, and a webhook reports the end.

    :raises PaymentsOff: if this site takes no payments
    :raises TooManyNewCards: if the customer has reached the limit of the day
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
    """Store a card that the provider has saved; return None if the provider has no such card, or no longer.

    Repeating it stores the card once, and a card that its customer removed stays removed.

    :raises PaymentProviderAway: if the provider does not answer
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
    """Return whether a payment by this card, saved by any customer, is in a dispute or was lost in one."""
    same = Q(pk=card.pk)
    if card.fingerprint:
        same |= Q(provider=card.provider, fingerprint=card.fingerprint)
    names = list(PaymentMethod.objects.filter(same).values_list("provider_method_id", flat=True))
    disputes = PaymentDispute.objects.exclude(status=DisputeStatus.WON)
    paid_with_it = Q(payment__paid_with__in=names) | Q(payment__method__provider_method_id__in=names)
    return disputes.filter(paid_with_it, payment__provider=card.provider).exists()


def remove_card(*, user_id: int, payment_method_id: int, now: dt.datetime) -> None:
    """Remove a card, here at once and then at the provider. Repeating it does nothing.

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
    """Record that the provider has removed a card; return whether it was one of ours."""
    cards = PaymentMethod.objects.filter(provider=provider_name, provider_method_id=method_id)
    card = cards.filter(removed_at__isnull=True).first()
    return card is not None and _note_removal(card, now)


@transaction.atomic
def _note_removal(card: PaymentMethod, now: dt.datetime) -> bool:
    """Mark a card as removed, and turn off auto-reload that uses it; return whether it was not removed before."""
    turn_off_for_card(user_id=card.user_id, payment_method_id=card.pk, now=now)  # first, since it locks the balance
    return bool(PaymentMethod.objects.filter(pk=card.pk, removed_at__isnull=True).update(removed_at=now))
