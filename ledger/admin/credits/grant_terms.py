"""Ending a customer's grant early, and letting it end later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.admin import AdminSite
from django.db.models import Model
from django.http import HttpRequest
from django.utils import timezone

from config.backoffice.credits import shown
from config.backoffice.staff_action import Lines
from config.backoffice.times import shown_at
from ledger.admin.ledger_action import LedgerRowAction
from ledger.forms.grants import EndGrantForm, ExtendGrantForm
from ledger.models import Grant, GrantCategory, GrantTermsChange, GrantTermsKind
from ledger.selectors import balance_of
from ledger.services.grant_terms import GrantChanged, end_grant, extend_grant
from ledger.services.grants import settle_grants


def description_of(change: GrantTermsChange) -> str:
    """Return a short description of a change."""
    before, after = shown_at(change.expires_before), shown_at(change.expires_after)
    if change.kind == GrantTermsKind.END:
        return f"Ended early at {after}, with {shown(change.credits)} credits left; it would have ended: {before}"
    return f"Extended from {before} to {after}, with {shown(change.credits)} credits left"


class _GrantAction(LedgerRowAction[Grant, GrantChanged]):
    """What debits drew on the grant is settled first, in transactions of its own: so the page shows what is left."""

    def __init__(self, request: HttpRequest, *, target: Grant, site: AdminSite) -> None:
        settle_grants(user_id=target.user_id)
        target.refresh_from_db()
        super().__init__(request, target=target, site=site)

    @classmethod
    def applies_to(cls, target: Grant) -> bool:
        is_ahead = target.expires_at is None or target.expires_at > timezone.now()
        return target.remaining > 0 and is_ahead and not target.has_run_out

    def named(self) -> str:
        return f"grant {self.target.pk}"

    def figures(self) -> Lines:
        grant = self.target
        return [
            ("Began with", shown(grant.amount)),
            ("Left", shown(grant.remaining)),
            ("Category", grant.get_category_display()),
            ("Ends", "never" if grant.expires_at is None else shown_at(grant.expires_at)),
        ]

    def history(self, done: GrantChanged) -> list[tuple[Model, str]]:
        change = done.change
        return [
            (self.target, f"{description_of(change)}. Reason: {change.note}"),
            # Staff who may see people see their history, which therefore has no amounts and reasons.
            (self.target.user, f"{self.title}: change of terms {change.pk} of grant {self.target.pk}."),
        ]

    def summary(self, done: GrantChanged) -> str:
        return description_of(done.change)


class EndGrant(_GrantAction):
    name = path = "end"
    permission = "ledger.end_grant"
    title = "End grant"
    form_class = EndGrantForm
    verb = "ended"

    def explanation(self, form: Any) -> str:  # noqa: ARG002
        said = (
            "What is left of this grant expires now, as if its time had come; what open holds have reserved of it "
            "stays until they end. It cannot be undone."
        )
        if self.target.category == GrantCategory.PAID:
            return f"{said}\n\nThe customer paid for these credits. To give money back, refund the payment instead."
        return said

    def perform(self, asked: dict[str, Any], **once: Any) -> GrantChanged:
        return end_grant(grant_id=self.target.pk, note=asked["note"], **once)

    def preview_outcome(self, perform: Callable[[], GrantChanged]) -> tuple[GrantChanged, Lines]:
        before = balance_of(user_id=self.target.user_id)
        done = perform()
        after = balance_of(user_id=self.target.user_id)
        kept = Grant.objects.get(pk=self.target.pk).remaining
        lines = [
            ("Expires now", shown(done.change.credits - kept)),
            ("Stays for open holds", shown(kept)),
            ("Available now", shown(before.available)),
            ("Available after", shown(after.available)),
        ]
        return done, lines


class ExtendGrant(_GrantAction):
    name = path = "extend"
    permission = "ledger.extend_grant"
    title = "Extend grant"
    form_class = ExtendGrantForm
    verb = "extended"

    @classmethod
    def applies_to(cls, target: Grant) -> bool:
        return target.expires_at is not None and super().applies_to(target)

    def explanation(self, form: Any) -> str:  # noqa: ARG002
        return (
            f"What is left of this grant of {self.target.user} stays longer. It may be spent after others, since the "
            "grant that ends soonest is spent first."
        )

    def perform(self, asked: dict[str, Any], **once: Any) -> GrantChanged:
        return extend_grant(grant_id=self.target.pk, expires_at=asked["last_day"], note=asked["note"], **once)

    def preview_outcome(self, perform: Callable[[], GrantChanged]) -> tuple[GrantChanged, Lines]:
        done = perform()
        change = done.change
        return done, [
            ("Left", shown(change.credits)),
            ("Ends now", shown_at(change.expires_before)),
            ("Ends after", shown_at(change.expires_after)),
        ]
