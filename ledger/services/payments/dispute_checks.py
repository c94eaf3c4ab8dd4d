"""Reconciliation of disputes with the provider's own books, in both directions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from config.values.money import shown_money
from ledger.models import DisputeStatus, Payment, PaymentDispute
from ledger.providers.base import DisputeStatement, Provider, Refused
from ledger.services.reconciliation.checks import Finding, Scope


def dispute_differences(
    provider: Provider, scope: Scope, *, since: dt.datetime, clocks_differ_by: dt.timedelta
) -> list[Finding]:
    """Compare the provider's disputes since then with those recorded here; a dispute may be of an older payment.

    A dispute that was won and is unknown here took nothing, so it is no finding.

    :raises NoAnswer: if the provider does not answer
    """
    try:
        listed = provider.disputes(since=since - clocks_differ_by)
    except Refused as refusal:
        detail = f"Disputes were not compared with {provider.name}, which refuses to list them: let our key read them."
        return [Finding("disputes_can_be_read", None, detail, {"refusal": str(refusal)})]
    if listed is None:
        return []
    theirs = {one.provider_dispute_id: one for one in listed}
    payments = Payment.objects.filter(
        provider=provider.name, provider_payment_id__in={one.provider_payment_id for one in theirs.values()}
    )
    ours = {payment.provider_payment_id: payment for payment in payments}
    noted = _noted(provider, theirs, since)
    found = [*_differing(provider, theirs, ours, noted), *_missing_at_provider(provider, theirs, noted, since)]
    return [finding for finding in found if scope.user_id in (None, finding.user_id)]


def _noted(provider: Provider, theirs: dict[str, DisputeStatement], since: dt.datetime) -> dict[str, PaymentDispute]:
    """Return what is recorded now of these disputes, and of payments that began since."""
    disputes = PaymentDispute.objects.filter(payment__provider=provider.name).select_related("payment")
    of_these = disputes.filter(provider_dispute_id__in=list(theirs))
    return {one.provider_dispute_id: one for one in of_these | disputes.filter(payment__created_at__gte=since)}


def _differing(
    provider: Provider,
    theirs: dict[str, DisputeStatement],
    ours: dict[str | None, Payment],
    noted: dict[str, PaymentDispute],
) -> Iterator[Finding]:
    for dispute_id, statement in theirs.items():
        payment, dispute = ours.get(statement.provider_payment_id), noted.get(dispute_id)
        if payment is None:  # of a payment that is not ours
            continue
        money = shown_money(statement.amount_minor, statement.currency)
        if dispute is None and statement.status != DisputeStatus.WON:
            yield _finding(
                "dispute_is_noted", payment, dispute_id,
                f"{provider.name} has a dispute of payment {payment.pk} about {money} ({statement.status}), "
                f"{dispute_id}, that is not noted here: let it send its message again.",
            )  # fmt: skip
        elif dispute is not None and (dispute.amount_minor, dispute.status) != (
            statement.amount_minor, statement.status,
        ):  # fmt: skip
            yield _finding(
                "dispute_is_as_at_the_provider", payment, dispute_id,
                f"Dispute {dispute_id} of payment {payment.pk} is {dispute.status} here, about "
                f"{shown_money(dispute.amount_minor, payment.currency)}, but {statement.status} at {provider.name}, "
                f"about {money}: let it send its message again.",
            )  # fmt: skip


def _missing_at_provider(
    provider: Provider, theirs: dict[str, DisputeStatement], noted: dict[str, PaymentDispute], since: dt.datetime
) -> Iterator[Finding]:
    for dispute_id, dispute in noted.items():
        if dispute_id not in theirs and dispute.payment.created_at >= since:
            yield _finding(
                "dispute_is_at_the_provider", dispute.payment, dispute_id,
                f"Dispute {dispute_id} of payment {dispute.payment_id} is noted here, but {provider.name} does not "
                "know it.",
            )  # fmt: skip


def _finding(check: str, payment: Payment, dispute_id: str, detail: str) -> Finding:
    return Finding(check, payment.user_id, detail, {"payment_id": payment.pk, "provider_dispute_id": dispute_id})
