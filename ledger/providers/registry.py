"""Which payment providers there are, and the one that the settings choose: a provider is added by a line in PROVIDERS.

The settings read this module, so it imports neither models nor any provider before one is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from django.conf import settings

from ledger.errors import PaymentsOff

if TYPE_CHECKING:
    from ledger.providers.base import Provider
    from ledger.providers.webhooks import ProviderWebhooks


@dataclass(frozen=True)
class Registered:
    """A provider's modules, each with a function `from_settings` that makes its half, and the settings they need."""

    module: str  # makes the `Provider`
    needs: tuple[str, ...] = ()  # settings without which it is not asked anything
    webhooks: str | None = None  # makes the `ProviderWebhooks`, at /webhooks/<name>; None: it sends no webhooks
    webhooks_need: tuple[str, ...] = ()
    takes_money: bool = True  # False: refused in production


PROVIDERS = {
    "fake": Registered("ledger.providers.fake", takes_money=False),
    "stripe": Registered(
        "ledger.providers.stripe", ("STRIPE_SECRET_KEY",),
        "ledger.providers.stripe_webhooks", ("STRIPE_WEBHOOK_SECRETS",),
    ),
}  # fmt: skip


def chosen_provider() -> Provider:
    """Return the provider that new payments go to.

    :raises PaymentsOff: if this site takes none
    """
    return provider_named(settings.PAYMENT_PROVIDER)


def provider_named(name: str) -> Provider:
    """Return the provider that a payment went to.

    :raises PaymentsOff: if this site does not use it (any more)
    """
    registered = PROVIDERS.get(name)
    if registered is None or (settings.IN_PRODUCTION and not registered.takes_money):
        raise PaymentsOff
    if not all(getattr(settings, need) for need in registered.needs):
        raise PaymentsOff
    provider: Provider = import_module(registered.module).from_settings()
    return provider


def webhook_senders() -> list[str]:
    """Name the providers that send webhooks."""
    return [name for name, registered in PROVIDERS.items() if registered.webhooks is not None]


def webhooks_of(name: str) -> ProviderWebhooks:
    """Return the reader of a provider's webhooks. It refuses all of them where `webhooks_need` is not set.

    :raises PaymentsOff: if this provider sends none
    """
    registered = PROVIDERS.get(name)
    if registered is None or registered.webhooks is None:
        raise PaymentsOff
    webhooks: ProviderWebhooks = import_module(registered.webhooks).from_settings()
    return webhooks
