"""Refunds by staff: short names for the services, and providers that do not answer or say no."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from ledger.models import Payment, StaffRefund
from ledger.providers.base import NoAnswer, Refused
from ledger.services.payments.refunds import BegunRefund, begin_refund, carry_out_refund
from tests.factories import StaffFactory
from tests.ledger.paying import fake


def begin(payment: Payment, minor: int = 1250, **asked: Any) -> BegunRefund:
    """Record a refund by a member of staff under a new key, unless other values are given."""
    defaults = {"note": "A test", "idempotency_key": uuid.uuid4().hex, "now": timezone.now()}
    actor_id = asked.pop("actor_id", None) or StaffFactory().pk
    return begin_refund(
        user_id=payment.user_id, payment_id=payment.pk, amount_minor=minor, actor_id=actor_id, **defaults | asked
    )


def refunded(payment: Payment, minor: int = 1250, **asked: Any) -> StaffRefund:
    """Record a refund and carry it out."""
    return carry_out_refund(refund_id=begin(payment, minor, **asked).refund.pk, now=timezone.now())


def silent_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let refunds not reach the provider."""
    monkeypatch.setattr(fake(), "refund", _raising(NoAnswer("The provider did not answer in time.")))


def silent_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the provider make refunds, and its answers be lost."""
    monkeypatch.setattr(fake(), "refund", _and_then(fake().refund, NoAnswer("The connection broke.")))


def saying_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake(), "refund", _raising(Refused("charge_disputed", "The charge is disputed.")))


def _raising(error: Exception) -> Callable[..., Any]:
    def refund(*_: object, **__: object) -> None:
        raise error

    return refund


def _and_then(call: Callable[..., Any], error: Exception) -> Callable[..., Any]:
    def refund(*args: object, **named: object) -> None:
        call(*args, **named)
        raise error

    return refund
