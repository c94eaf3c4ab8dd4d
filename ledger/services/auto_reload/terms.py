"""The terms of auto-reload, as customers set them: nothing is bought without consent to one sentence."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.db import transaction

from config.values.credits import LARGEST
from config.values.money import NotInThisCurrency, in_minor_units, shown_money
from ledger import errors
from ledger.models import AutoReload, OffReason, PaymentMethod, ReloadEventKind
from ledger.providers.registry import chosen_provider
from ledger.services.agreement.locking import THRESHOLD, lock_balance, locked_reload, note_event, turn_off
from ledger.services.agreement.pricing import LARGEST_CHARGE_MINOR, Rate, Terms, offered_rate, smallest_charge, terms_of
from ledger.services.agreement.words import consent_sentence
from ledger.services.payments.cards import is_disputed, saved_card
from ledger.services.thresholds import watch_available

COOL_DOWN = dt.timedelta(seconds=60)  # between the starts of two payments, however fast credits are spent
TERMS = ("threshold", "amount", "target", "monthly_cap_minor", "method_id")
_TICK = dt.timedelta(microseconds=1)


@transaction.atomic
def change_auto_reload(*, user_id: int, changes: Mapping[str, Any], now: dt.datetime) -> AutoReload | None:
    """Change the terms, or turn auto-reload on or off; terms that `changes` does not name stay.

    `threshold`, `amount` and `target` are credits, `monthly_cap` whole units of the site's currency. Setting one of
    `amount` and `target` clears the other. Turning it on, or changing terms while it is on, requires `consent`: True in
    the same call; a `sentence` in that call has to be the one of these terms. Turning it off works at once: a payment
    in progress is completed, and only the customer can turn it on again. Return the resulting terms, None if none were
    ever set; repeating the call changes nothing.

    :raises ReloadTermsRefused: with the invalid terms
    :raises ConsentRequired: with the sentence to consent to
    :raises AutoReloadNotOffered, PaymentsOff: if the site does not offer auto-reload
    :raises PaymentMethodNotFound: if the customer has no such card
    """
    lock_balance(user_id=user_id)
    known = locked_reload(user_id=user_id)
    reload = known or AutoReload(user_id=user_id, created_at=now)
    before = {name: getattr(reload, name) for name in TERMS}
    _take(reload, changes)
    is_new = before != {name: getattr(reload, name) for name in TERMS}
    if not changes.get("enabled", reload.enabled):
        return _off(reload, now) if is_new or reload.enabled else known
    if reload.enabled and not is_new:
        return reload
    has_consent = changes.get("consent") is True
    _turn_on(reload, before["method_id"], now, has_consent=has_consent, agreed_to=changes.get("sentence"))
    return reload


def _take(reload: AutoReload, changes: Mapping[str, Any]) -> None:
    """Set the requested terms on the row; nothing is written yet."""
    if changes.get("amount") is not None and changes.get("target") is not None:
        raise errors.ReloadTermsRefused({"target": ["Give either amount or target."]})
    for name, other in (("amount", "target"), ("target", "amount")):
        if name in changes:
            setattr(reload, name, changes[name])
            if changes[name] is not None:
                setattr(reload, other, None)
    if "threshold" in changes:
        reload.threshold = changes["threshold"]
    if "monthly_cap" in changes:
        reload.monthly_cap_minor = _in_minor(changes["monthly_cap"])
    if "payment_method_id" in changes:
        reload.method = _chosen_card(reload.pk, changes["payment_method_id"])


def _in_minor(money: Decimal | None) -> int | None:
    if money is None:
        return None
    rate = _rate()
    try:
        return in_minor_units(money, rate.currency)
    except NotInThisCurrency as error:
        raise errors.ReloadTermsRefused({"monthly_cap": [str(error)]}) from error


def _rate() -> Rate:
    rate = offered_rate()
    if rate is None:
        raise errors.AutoReloadNotOffered
    return rate


def _chosen_card(user_id: int, payment_method_id: int | None) -> PaymentMethod | None:
    if payment_method_id is None:
        return None
    return saved_card(user_id=user_id, payment_method_id=payment_method_id, provider_name=chosen_provider().name)


def _off(reload: AutoReload, now: dt.datetime) -> AutoReload:
    """Save terms that are not in force; they are validated when it is turned on."""
    reload.updated_at = now
    if reload.enabled:
        turn_off(reload, reason=OffReason.CUSTOMER, now=now, actor_id=reload.pk)
    else:
        reload.save()
    return reload


def _turn_on(
    reload: AutoReload, card_before: int | None, now: dt.datetime, *, has_consent: bool, agreed_to: str | None
) -> None:
    rate = _rate()
    sentence = consent_sentence(_agreeable_terms(reload, rate, chosen_provider().name), rate)
    if not has_consent or agreed_to not in (None, sentence):
        raise errors.ConsentRequired(sentence)
    was_on = reload.enabled
    if not was_on or reload.method_id != card_before:
        reload.declines_in_a_row = 0  # another card, or a new attempt by the customer
    if not was_on or reload.method_id != card_before or reload.cap_reached_in is not None:
        reload.next_attempt_at = None if reload.last_attempt_at is None else reload.last_attempt_at + COOL_DOWN
    reload.enabled = True
    reload.off_reason = reload.turned_off_at = reload.cap_reached_in = None
    reload.consented_at = now if reload.consented_at is None else max(now, reload.consented_at + _TICK)
    reload.consented_by_id = reload.pk
    reload.sentence = sentence
    reload.price_minor, reload.currency = rate
    reload.updated_at = now
    reload.save()
    watch_available(user_id=reload.pk, name=THRESHOLD, below=reload.threshold)
    kind = ReloadEventKind.CHANGED if was_on else ReloadEventKind.ENABLED
    note_event(reload, kind, now=now, actor_id=reload.pk)


def _agreeable_terms(reload: AutoReload, rate: Rate, provider_name: str) -> Terms:
    given = {
        "threshold": reload.threshold,
        "amount": reload.amount if reload.target is None else reload.target,
        "monthly_cap": reload.monthly_cap_minor,
        "payment_method_id": reload.method_id,
    }
    refused = {name: ["Auto-reload needs this to be on."] for name, term in given.items() if term is None}
    if not refused:
        terms = terms_of(reload)
        refused = _impossible(terms, rate)
        if terms.method.removed_at is not None or terms.method.provider != provider_name:
            refused["payment_method_id"] = ["This card cannot be charged any more: choose another one."]
        elif is_disputed(terms.method):
            refused["payment_method_id"] = ["A payment by this card is disputed: choose another one."]
    if refused:
        raise errors.ReloadTermsRefused(refused)
    return terms


def _impossible(terms: Terms, rate: Rate) -> dict[str, list[str]]:
    """Return the terms that contradict each other, or that no provider accepts."""
    name = "amount" if terms.amount is not None else "target"
    if terms.least <= 0:
        return {"target": ["The target must be more than the threshold."]}
    if name == "amount" and terms.threshold + terms.least > LARGEST:
        return {name: [f"Threshold and amount must not exceed {LARGEST} together."]}
    least, price = smallest_charge(rate.currency), rate.price_of(terms.least)
    if price < least:
        return {name: [_TOO_SMALL[name].format(least=shown_money(least, rate.currency))]}
    if price > LARGEST_CHARGE_MINOR:
        return {name: [f"One payment must not exceed {shown_money(LARGEST_CHARGE_MINOR, rate.currency)}."]}
    if terms.monthly_cap_minor < price:
        return {"monthly_cap": [f"The cap must be at least {shown_money(price, rate.currency)}: one payment."]}
    return {}


_TOO_SMALL = {
    "amount": "The amount must cost at least {least}, the smallest payment.",
    "target": "From threshold to target it must cost at least {least}, the smallest payment.",
}
