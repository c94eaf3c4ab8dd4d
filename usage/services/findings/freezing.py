"""Accounts that a finding froze: until no finding of the customer is open any more, and never beyond another freeze.

Called in the transaction that notes or closes the finding, which has locked the balance.
"""

from __future__ import annotations

from contextlib import suppress

from django.conf import settings

from ledger import errors
from ledger.models import PaymentDispute, TermsChange, TermsKind
from ledger.services.controls import freeze_balance, unfreeze_balance
from usage.models import ReconciliationFinding

_KEY = "finding"


def freeze_for(*, finding_id: int, event_id: int, user_id: int) -> None:
    """Freeze the customer's balance because of a finding; one that is frozen already stays as it is."""
    note = f"Reconciliation found that a promise does not hold (finding {finding_id})."
    with suppress(errors.TermsUnchanged, errors.UnknownCustomer):
        freeze_balance(user_id=user_id, note=note, actor_id=None, idempotency_key=f"{_KEY} {event_id}")


def unfreeze_after(finding: ReconciliationFinding, *, event_id: int, note: str, actor_id: int) -> None:
    """Unfreeze the customer's balance after a finding was closed, if nothing else holds it."""
    if finding.user_id is None or what_else_freezes(finding) != "":
        return
    reason = f"Finding {finding.pk} was closed: {note}"
    key = f"{_KEY} closed {event_id}"
    unfreeze_balance(user_id=finding.user_id, note=reason, actor_id=actor_id, idempotency_key=key)


def what_else_freezes(finding: ReconciliationFinding) -> str | None:
    """Return what keeps the customer's balance frozen without this finding; "": nothing; None: it is not frozen."""
    if finding.user_id is None:
        return None
    changes = TermsChange.objects.filter(user_id=finding.user_id, kind__in=[TermsKind.FREEZE, TermsKind.UNFREEZE])
    freeze = changes.order_by("-id").first()
    if freeze is None or freeze.kind == TermsKind.UNFREEZE:
        return None
    if not is_by_finding(freeze):
        return f"it was frozen for another reason ({freeze.note})"
    others = ReconciliationFinding.objects.filter(user_id=finding.user_id, closed_at=None).exclude(pk=finding.pk)
    if number := others.count():
        return f"other findings about this customer are open: {number}"
    if settings.DISPUTE_FREEZES_ACCOUNT:
        dispute = PaymentDispute.objects.filter(payment__user_id=finding.user_id, created_at__gte=freeze.created_at)
        if found := dispute.order_by("id").first():
            return f"payment {found.payment_id} was disputed meanwhile"
    return ""


def is_by_finding(freeze: TermsChange) -> bool:
    """Return whether a finding, and nobody of the staff, froze a balance."""
    return freeze.actor_id is None and freeze.idempotency_key.startswith(f"{_KEY} ")
