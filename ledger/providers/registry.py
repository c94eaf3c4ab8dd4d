"""Which provider takes the money: the one that the settings name."""

from __future__ import annotations

from functools import cache

from django.conf import settings

from ledger.errors import PaymentsOff
from ledger.providers.base import Provider
from ledger.providers.fake import FakeProvider

PROVIDERS = ("fake", "stripe")


def chosen_provider() -> Provider:
    """Give the provider that new payments go to.

    :raises PaymentsOff: if this site takes none
    """
    return provider_named(settings.PAYMENT_PROVIDER)


def provider_named(name: str) -> Provider:
    """Give the provider that a payment went to.

    :raises PaymentsOff: if this site does not use it (any more)
    """
    if name == "fake" and not settings.IN_PRODUCTION:
        return _fake(settings.TOP_UP_URL)
    if name == "stripe" and settings.STRIPE_SECRET_KEY:
        return _stripe(settings.STRIPE_SECRET_KEY, settings.TOP_UP_URL, settings.STRIPE_API_URL)
    raise PaymentsOff


@cache
def _fake(page_url: str) -> Provider:
    return FakeProvider(page_url=page_url)


@cache
def _stripe(secret_key: str, return_url: str, api_url: str) -> Provider:
    from ledger.providers.stripe import StripeProvider  # noqa: PLC0415  half a second that only its users wait

    return StripeProvider(secret_key, return_url=return_url, api_url=api_url)
