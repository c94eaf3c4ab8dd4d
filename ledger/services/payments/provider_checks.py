"""Reconciliation of payments with the provider's own books, in both directions."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from typing import NamedTuple

from django.db.models import Sum

from config.values.money import shown_money
from ledger.models import Payment, PaymentState
from ledger.models.payment import PaymentQuerySet
from ledger.providers.base import Statement
from ledger.providers.registry import provider_named
from ledger.services.payments.dispute_checks import dispute_differences
from ledger.services.payments.settling import CALL_MAY_TAKE, order_of
from ledger.services.reconciliation.checks import Finding, Scope

USUALLY_BACK_TO = dt.timedelta(days=31)
_CLOCKS_DIFFER_BY = dt.timedelta(hours=1)


class Compared(NamedTuple):
    """The number of payments that were compared, and the differences."""

    payments: int
    findings: list[Finding]


def providers_used(scope: Scope, *, now: dt.datetime) -> list[str]:
    """Return the names of the providers of this scope's payments."""
    return sorted(_payments(scope, now).order_by().values_list("provider", flat=True).distinct())


def compare_with_provider(provider_name: str, scope: Scope, *, now: dt.datetime) -> Compared:
    """Compare our payments with the provider's: those of the scope, or of the last 31 days.

    Every credited payment was paid there, every paid one was credited, and its refunds and disputes are recorded here.
    Payments of the last minutes may be in progress. Nothing is changed on either side, and no transaction may be open:
    this calls over the network.

    :raises PaymentsOff: if the provider is no longer configured
    :raises NoAnswer, Refused: if the provider does not answer
    """
    provider = provider_named(provider_name)
    since = scope.since or now - USUALLY_BACK_TO
    payments = list(_payments(scope, now).filter(provider=provider_name).select_related("package", "method"))
    theirs = {
        statement.key: statement
        for statement in provider.statements(map(order_of, payments), since=since - _CLOCKS_DIFFER_BY)
    }
    findings = [
        finding
        for payment in payments
        for finding in _differences(payment, theirs.get(payment.provider_key), now)
        if not _has_moved(payment)
    ]
    if scope.user_id is None:
        findings += _unknown_to_us(provider_name, theirs)
    findings += dispute_differences(provider, scope, since=since, clocks_differ_by=_CLOCKS_DIFFER_BY)
    return Compared(len(payments), findings)


def _payments(scope: Scope, now: dt.datetime) -> PaymentQuerySet:
    payments = Payment.objects.filter(created_at__gte=scope.since or now - USUALLY_BACK_TO).order_by("pk")
    return payments if scope.user_id is None else payments.filter(user_id=scope.user_id)


def _differences(payment: Payment, statement: Statement | None, now: dt.datetime) -> Iterator[Finding]:
    if payment.state == PaymentState.SUCCEEDED:
        if statement is None or _paid(statement) != (payment.amount_minor, payment.currency):
            yield _finding(
                "payment_is_at_the_provider", payment,
                f"Payment {payment.pk} was credited for {shown_money(payment.amount_minor, payment.currency)}, but at "
                f"{payment.provider} it {_what(statement)}.",
            )  # fmt: skip
    elif statement is not None and _paid(statement) and payment.created_at < now - CALL_MAY_TAKE:
        yield _finding(
            "provider_payment_is_credited", payment,
            f"{payment.provider} has the money of payment {payment.pk}, which is {payment.state} here: "
            "settle_payments credits it.",
        )  # fmt: skip
    if statement is not None and not _refunds_agree(payment, statement.refunded_minor):
        yield _finding(
            "refunds_are_the_providers", payment,
            f"Of payment {payment.pk}, {payment.provider} gave back "
            f"{shown_money(statement.refunded_minor or 0, payment.currency)}, but "
            f"{shown_money(payment.refunded_minor, payment.currency)} are noted.",
        )  # fmt: skip


def _unknown_to_us(provider_name: str, theirs: dict[uuid.UUID, Statement]) -> Iterator[Finding]:
    known = set(Payment.objects.filter(provider_key__in=list(theirs)).values_list("provider_key", flat=True))
    for key, statement in theirs.items():
        if key not in known and _paid(statement):
            yield Finding(
                "provider_payment_is_known", None,
                f"{provider_name} has a payment of ours, {statement.provider_payment_id}, that is not known here.",
                {"provider_payment_id": statement.provider_payment_id},
            )  # fmt: skip


def _refunds_agree(payment: Payment, theirs: int | None) -> bool:
    """Return whether the provider's sum of refunds equals ours, with or without those that failed later."""
    if theirs in (None, payment.refunded_minor):
        return True
    failed = payment.refunds.filter(has_failed=True).aggregate(minor=Sum("amount_minor"))["minor"]
    return failed is not None and theirs == min(payment.refunded_minor + failed, payment.amount_minor)


def _paid(statement: Statement) -> tuple[int | None, str | None] | None:
    return (statement.amount_minor, statement.currency) if statement.state == PaymentState.SUCCEEDED else None


def _what(statement: Statement | None) -> str:
    if statement is None:
        return "is not known"
    if statement.state != PaymentState.SUCCEEDED:
        return f"is {statement.state}"
    return f"is one of {shown_money(statement.amount_minor or 0, statement.currency or '')}"


def _has_moved(payment: Payment) -> bool:
    """Return whether the payment changed while the provider was asked: the next run compares it."""
    as_it_was = {"pk": payment.pk, "state": payment.state, "refunded_minor": payment.refunded_minor}
    return not Payment.objects.filter(**as_it_was).exists()


def _finding(check: str, payment: Payment, detail: str) -> Finding:
    return Finding(check, payment.user_id, detail, {"payment_id": payment.pk})
