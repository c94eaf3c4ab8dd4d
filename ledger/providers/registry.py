"""The payment providers. A line in PROVIDERS adds one; the setting PAYMENT_PROVIDER chooses one for new payments.

config/settings.py imports this module, so it imports no models, and a provider's module only when it is used.
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
    """A provider: the modules of its two halves, each with a function `from_settings`, and the settings they need."""

    module: str  # its `from_settings` returns the `Provider`
    needs: tuple[str, ...] = ()  # settings without which payments by it are off
    webhooks: str | None = None  # returns the `ProviderWebhooks`; None: it sends no webhooks
    webhooks_need: tuple[str, ...] = ()  # settings without which all its webhooks are rejected
    takes_money: bool = True  # False: refused in production


PROVIDERS = {
    "fake": Registered("ledger.providers.fake", takes_money=False),
    "stripe": Registered(
        "ledger.providers.stripe", ("STRIPE_SECRET_KEY",),
        "ledger.providers.stripe_webhooks", ("STRIPE_WEBHOOK_SECRETS",),
    ),
}  # fmt: skip


def chosen_provider() -> Provider:
    """Return the provider of new payments.

    :raises PaymentsOff: if this site takes none
    """
    return provider_named(settings.PAYMENT_PROVIDER)


def provider_named(name: str) -> Provider:
    """Return the provider with this name, to which a payment went.

    :raises PaymentsOff: if this site does not use it, or no longer
    """
    registered = PROVIDERS.get(name)
    if registered is None or (settings.IN_PRODUCTION and not registered.takes_money):
        raise PaymentsOff
    if not all(getattr(settings, need) for need in registered.needs):
        raise PaymentsOff
    provider: Provider = import_module(registered.module).from_settings()
    return provider


def webhook_senders() -> list[str]:
    """Return the names of the providers that send webhooks, each to /webhooks/<name>."""
    return [name for name, registered in PROVIDERS.items() if registered.webhooks is not None]


def webhooks_of(name: str) -> ProviderWebhooks:
    """Return the incoming half of a provider. Without the settings of `webhooks_need` it rejects every webhook.

    :raises PaymentsOff: if this provider sends no webhooks
    """
    registered = PROVIDERS.get(name)
    if registered is None or registered.webhooks is None:
        raise PaymentsOff
    webhooks: ProviderWebhooks = import_module(registered.webhooks).from_settings()
    return webhooks
