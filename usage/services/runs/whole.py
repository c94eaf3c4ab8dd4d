"""A whole run of reconciliation: the checks on one snapshot, the anchors, and the providers' books."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from django.conf import settings
from django.utils import timezone

from ledger.errors import PaymentsOff
from ledger.providers.base import NoAnswer, Refused
from ledger.services.payments.provider_checks import compare_with_provider, providers_used
from ledger.services.reconciliation.anchoring import check_anchor, take_anchor
from ledger.services.reconciliation.checks import Finding, Scope

Say = Callable[[str], None]


def beyond_the_snapshot(scope: Scope, checked: dict[str, int], *, asks_providers: bool, say: Say) -> list[Finding]:
    """Compare the ledgers with the last anchor and, if asked, payments with the providers' books.

    What was compared is added to `checked`. A full scope takes the next anchor.
    """
    findings = _anchored(checked, say) if scope == Scope() else []
    return [*findings, *(_at_providers(scope, checked, say) if asks_providers else ())]


def _anchored(checked: dict[str, int], say: Say) -> list[Finding]:
    """Compare the ledgers with the last anchor, and store the next one unless that would hide a fault."""
    if not settings.ANCHOR_KEYS:
        say("The ends of the ledgers were not noted: ANCHOR_KEYS is not set.")
        return []
    before = check_anchor()
    if before.is_trusted:
        checked["anchored_customers"] = take_anchor(kept=before.kept).customers
    else:
        say("No new anchor was taken: the one before does not hold. manage.py anchor --renew takes one.")
    return before.findings


def _at_providers(scope: Scope, checked: dict[str, int], say: Say) -> Iterator[Finding]:
    """Compare payments with the providers' books; an unreachable provider does not stop the other checks."""
    now = timezone.now()
    for name in providers_used(scope, now=now):
        try:
            compared = compare_with_provider(name, scope, now=now)
        except (PaymentsOff, NoAnswer, Refused) as silence:
            say(f"Payments were not compared with {name}: {silence}")
            continue
        checked["payments_at_provider"] = checked.get("payments_at_provider", 0) + compared.payments
        yield from compared.findings
