"""Stripe's webhooks: their signature, and whether they are of this site's account. Stripe's client is not imported."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings

from ledger.errors import WebhookSignatureInvalid
from ledger.providers.news import News
from ledger.providers.stripe_events import news_of
from ledger.providers.stripe_shapes import field


class StripeWebhooks:
    """Stripe's webhooks, signed with one of `secrets`; `account` is the id of our account, where events name one."""

    name = "stripe"
    signature_header = "Stripe-Signature"
    tolerance_seconds = 300

    def __init__(self, secrets: Sequence[str], *, secret_key: str = "", account: str = "") -> None:
        self.secrets = secrets
        self.secret_key = secret_key
        self.account = account

    def verify_webhook(self, headers: Mapping[str, str], body: bytes, *, now: dt.datetime) -> None:
        """Verify `Stripe-Signature: t=<unix seconds>,v1=<HMAC-SHA-256 of "t.body">`, with any of the current secrets.

        Source: https://docs.stripe.com/webhooks (verifying signatures manually).

        :raises WebhookSignatureInvalid: if no secret has signed this body within five minutes
        """
        parts = [part.strip().partition("=") for part in headers.get(self.signature_header, "").split(",")[:20]]
        times = [value for name, _, value in parts if name == "t" and value.isascii() and value.isdigit()]
        signatures = [value for name, _, value in parts if name == "v1" and value.isascii()]
        if len(times) != 1 or len(times[0]) > 12 or abs(int(now.timestamp()) - int(times[0])) > self.tolerance_seconds:
            raise WebhookSignatureInvalid
        expected = [sign(body, secret, at=times[0]) for secret in self.secrets]
        if not any(hmac.compare_digest(one, other) for one in expected for other in signatures):
            raise WebhookSignatureInvalid

    def why_not_ours(self, event: Any) -> str | None:
        """Return why a signed event does not belong to this site; None if it does.

        A key of unknown kind accepts both live and test events. Events that name an account other than ours, or any
        account while ours is not set, come from connected accounts.
        Source: https://docs.stripe.com/api/events/object, https://docs.stripe.com/connect/webhooks.
        """
        is_live = is_live_key(self.secret_key)
        if is_live is not None and bool(field(event, "livemode")) is not is_live:
            return "it is of a test, and our key is live" if is_live else "it is live, and our key is of a test"
        named = field(event, "account")
        if named is not None and named != self.account:
            return f"it is of account {named}"
        return None

    def events_of(self, event: Any) -> Sequence[News]:
        news = news_of(event)
        return () if news is None else (news,)

    def label_of(self, event: Any) -> str:
        return f"{field(event, 'id')} of type {field(event, 'type')}"

    def key_problem(self) -> str | None:
        if is_live_key(self.secret_key) is True:
            return None
        return (
            "STRIPE_SECRET_KEY is not a live key (sk_live_… or rk_live_…): credits are given for payments that are "
            "only tests. Take the live key from Stripe's dashboard."
        )


def from_settings() -> StripeWebhooks:
    """Return the webhooks of this site's account; without secrets every one is rejected."""
    return StripeWebhooks(
        settings.STRIPE_WEBHOOK_SECRETS, secret_key=settings.STRIPE_SECRET_KEY, account=settings.STRIPE_ACCOUNT
    )


def sign(body: bytes, secret: str, *, at: str) -> str:
    """Return the signature of a body, at a time in Unix seconds."""
    return hmac.new(secret.encode(), at.encode() + b"." + body, hashlib.sha256).hexdigest()


def is_live_key(secret_key: str) -> bool | None:
    """Return whether a key of Stripe's is live; None if its prefix does not say.

    Source: https://docs.stripe.com/keys (`sk_live_…`, `rk_live_…`, `sk_test_…`, `rk_test_…`).
    """
    match secret_key.split("_")[:2]:
        case ["sk" | "rk", "live"]:
            return True
        case ["sk" | "rk", "test"]:
            return False
    return None
