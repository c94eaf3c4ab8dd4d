"""Who sends webhooks: known by a signature over the raw body."""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import UnreadablePostError
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from ledger.errors import WebhookSignatureInvalid

TOLERANCE_SECONDS = 300
_HEADER = "HTTP_STRIPE_SIGNATURE"


@dataclass(frozen=True)
class Sender:
    """A provider, as a caller whose calls are not limited."""

    name: str
    pk: None = None
    user_id: None = None
    rate_limit_per_minute: None = None


class StripeSignature(BaseAuthentication):
    """`Stripe-Signature: t=<unix seconds>,v1=<HMAC-SHA-256 of "t.body">`, by any of the secrets in force.

    Source: https://docs.stripe.com/webhooks (verifying signatures manually).
    """

    def authenticate(self, request: Request) -> tuple[None, Sender] | None:
        """Let the message pass; None for what is no message, but a call by another method.

        :raises WebhookSignatureInvalid: if no secret has signed this body within five minutes
        """
        if request.method != "POST":
            return None
        verify(request.META.get(_HEADER, ""), _raw_body(request), now=int(time.time()))
        return None, Sender("stripe")

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002
        return "Stripe-Signature"


def _raw_body(request: Request) -> bytes:
    try:
        return request._request.body
    except (ValueError, UnreadablePostError):  # a length that is none, or a body that ended too early
        raise WebhookSignatureInvalid from None


def verify(header: str, body: bytes, *, now: int) -> None:
    """Check a signature.

    :raises WebhookSignatureInvalid: if it is missing, wrong or not of these five minutes
    """
    parts = [part.strip().partition("=") for part in header.split(",")[:20]]
    times = [value for name, _, value in parts if name == "t" and value.isascii() and value.isdigit()]
    signatures = [value for name, _, value in parts if name == "v1" and value.isascii()]
    if len(times) != 1 or len(times[0]) > 12 or abs(now - int(times[0])) > TOLERANCE_SECONDS:
        raise WebhookSignatureInvalid
    expected = [sign(body, secret, at=times[0]) for secret in settings.STRIPE_WEBHOOK_SECRETS]
    if not any(hmac.compare_digest(one, other) for one in expected for other in signatures):
        raise WebhookSignatureInvalid


def sign(body: bytes, secret: str, *, at: str) -> str:
    """Give the signature of a body at a moment, in Unix seconds."""
    return hmac.new(secret.encode(), at.encode() + b"." + body, hashlib.sha256).hexdigest()


class StripeSignatureScheme(OpenApiAuthenticationExtension):
    """How the API's document names the signature."""

    target_class = StripeSignature
    name = "stripeSignature"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:  # noqa: ARG002
        return {"type": "apiKey", "in": "header", "name": "Stripe-Signature"}
