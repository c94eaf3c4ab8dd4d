"""Ducat's webhooks: one message carries several notices; the signature covers time and body."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings

from ledger.errors import WebhookSignatureInvalid
from ledger.models import PaymentState
from ledger.providers.base import Answer, ShapeNotUnderstood
from ledger.providers.news import News, PaymentNews, PaymentReference, RefundNews


class DucatWebhooks:
    name = "ducat"
    signature_header = "Ducat-Signature"
    tolerance_seconds = 60

    def __init__(self, secret: str) -> None:
        self.secret = secret

    def verify_webhook(self, headers: Mapping[str, str], body: bytes, *, now: dt.datetime) -> None:
        at, _, signature = headers.get(self.signature_header, "").partition(" ")
        is_signed = self.secret and hmac.compare_digest(signature.encode(), sign(body, self.secret, at=at).encode())
        if not is_signed or abs(now - dt.datetime.fromisoformat(at)).total_seconds() > self.tolerance_seconds:
            raise WebhookSignatureInvalid

    def why_not_ours(self, event: Any) -> str | None:
        return None if event["shop"] == "ours" else f"it is of shop {event['shop']}"

    def events_of(self, event: Any) -> Sequence[News]:
        return [news for notice in event["notices"] if (news := _news_of(notice)) is not None]

    def label_of(self, event: Any) -> str:
        return str(event["number"])

    def key_problem(self) -> str | None:
        return None


def from_settings() -> DucatWebhooks:
    return DucatWebhooks(settings.DUCAT_SECRET)


def sign(body: bytes, secret: str, *, at: str) -> str:
    return hmac.new(secret.encode(), at.encode() + body, hashlib.sha256).hexdigest()


def _news_of(notice: dict[str, Any]) -> News | None:
    reference = PaymentReference(key=uuid.UUID(notice["order"]))
    match notice["kind"]:
        case "paid":
            return PaymentNews(
                reference,
                Answer(
                    PaymentState.SUCCEEDED, notice["minor"], notice["currency"], notice["customer"], notice["id"],
                    method_id=notice["card"],
                ),
            )  # fmt: skip
        case "given back":
            return RefundNews(reference, notice["minor"], notice["currency"])
        case "read":
            return None
        case kind:
            raise ShapeNotUnderstood(f"A notice of the kind {kind!r} is unknown.")
