"""Authentication of webhooks: a payment provider signs the raw body."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import UnreadablePostError
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from ledger.errors import WebhookSignatureInvalid
from ledger.providers.registry import webhooks_of


@dataclass(frozen=True)
class Sender:
    """A provider as the caller. Its calls are not rate-limited."""

    name: str
    pk: None = None
    user_id: None = None
    rate_limit_per_minute: None = None


class ProviderSignature(BaseAuthentication):
    """Authenticate webhooks of the provider with this name in the registry."""

    def __init__(self, provider: str) -> None:
        self.webhooks = webhooks_of(provider)

    def authenticate(self, request: Request) -> tuple[None, Sender] | None:
        """Verify the signature of a POST; returns None for other methods.

        :raises WebhookSignatureInvalid: if the signature is missing, wrong or too old
        """
        if request.method != "POST":
            return None
        self.webhooks.verify_webhook(request.headers, _raw_body(request), now=timezone.now())
        return None, Sender(self.webhooks.name)

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002
        return self.webhooks.signature_header


def _raw_body(request: Request) -> bytes:
    try:
        return request._request.body
    except (ValueError, UnreadablePostError):  # an invalid Content-Length, or a body that ended early
        raise WebhookSignatureInvalid from None


class ProviderSignatureScheme(OpenApiAuthenticationExtension):
    """The security scheme of each provider in the OpenAPI document."""

    target_class = ProviderSignature

    @property
    def name(self) -> str:
        return f"{self.target.webhooks.name}Signature"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:  # noqa: ARG002
        return {"type": "apiKey", "in": "header", "name": self.target.webhooks.signature_header}
