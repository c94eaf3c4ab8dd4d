"""Send webhook deliveries again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from accounts.admin.customer_action import CustomerAction
from accounts.errors import AccountsRefusal
from accounts.models import WebhookDelivery
from accounts.services.webhooks.deliveries import resend_delivery
from config.backoffice.record import record_change


class Resend(CustomerAction[WebhookDelivery]):
    """Send a delivery again; one in progress is not sent twice."""

    name = path = "resend"
    permission, needs_view = "accounts.resend_webhookdelivery", True
    title = button = "Send again"

    def explanation(self, form: Any) -> str:  # noqa: ARG002
        delivery = self.target
        return (
            f"{delivery.notice.type} of {delivery.user} goes to {delivery.endpoint.url} once more, with all retries if "
            "it fails. The customer’s program knows by its id whether it has seen it before."
        )

    def do(self, form: Any) -> HttpResponse:  # noqa: ARG002
        send_again(self.request, [self.target])
        return self.redirect()


def send_again(request: HttpRequest, deliveries: Iterable[WebhookDelivery]) -> None:
    """Send deliveries again and report each one that could not be sent."""
    sent = []
    for delivery in deliveries:
        try:
            with transaction.atomic():
                resend_delivery(delivery_id=delivery.pk, endpoint_id=delivery.endpoint_id, now=timezone.now())
                record_change(request, [delivery], "Sent again.")
        except AccountsRefusal as refusal:
            messages.error(request, f"Delivery {delivery.pk} was not sent. {refusal}")
        else:
            sent.append(delivery)
    if sent:
        messages.success(request, f"Sent again: {', '.join(str(delivery.pk) for delivery in sent)}.")
