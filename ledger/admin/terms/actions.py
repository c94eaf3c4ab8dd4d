"""Freezing a customer's balance and setting its overdraft limit: each is one recorded change of terms."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from django.db.models import Model

from accounts.models import User
from config.backoffice.credits import shown
from config.backoffice.staff_action import Lines
from config.backoffice.times import shown_at
from ledger.admin.ledger_action import LedgerAction
from ledger.forms.adjustments import FreezingForm, OverdraftForm
from ledger.models import Balance, TermsChange, TermsKind
from ledger.selectors import CreditBalance, SpendingTerms, balance_of, terms_of
from ledger.services.controls import Changed, freeze_balance, set_overdraft_limit, unfreeze_balance


def description_of(change: TermsChange) -> str:
    """Return a short description of a change."""
    match change.kind:
        case TermsKind.FREEZE:
            return "Froze the balance"
        case TermsKind.UNFREEZE:
            return "Unfroze the balance"
    return f"Set the overdraft limit from {shown(change.limit_before)} to {shown(change.limit_after)}"


class TermsAction(LedgerAction[Changed]):
    """One action of staff on the terms of a balance."""

    @abstractmethod
    def lines(self, before: SpendingTerms, after: SpendingTerms, credits: CreditBalance) -> Lines:
        """Return what confirming would change."""

    def terms(self) -> SpendingTerms:
        return terms_of(user_id=self.target.pk)

    def figures(self) -> Lines:
        credits, terms = balance_of(user_id=self.target.pk), self.terms()
        return [
            ("Available", shown(credits.available)),
            ("Overdraft limit", shown(terms.overdraft_limit)),
            ("Frozen since", shown_at(terms.frozen_at)),
        ]

    def preview_outcome(self, perform: Callable[[], Changed]) -> tuple[Changed, Lines]:
        before = self.terms()
        changed = perform()
        return changed, self.lines(before, self.terms(), balance_of(user_id=self.target.pk))

    def history(self, done: Changed) -> list[tuple[Model, str]]:
        change = done.change
        return [
            (change, f"{description_of(change)}: {change.note}"),
            # Staff who may see people see their history, which therefore has no limits and reasons.
            (self.target, f"{change.get_kind_display()}: change of terms {change.pk}."),
        ]

    def summary(self, done: Changed) -> str:
        return description_of(done.change)


class Freeze(TermsAction):
    """Freeze or unfreeze a balance, whichever is possible."""

    name = path = "freeze"
    is_dangerous = True
    permission = "ledger.freeze_balance"
    moves_money = False  # stops money, and must be quick
    title = "Freeze balance"
    form_class = FreezingForm

    @classmethod
    def label(cls, target: User) -> str:
        balance: Balance | None = getattr(target, "balance", None)
        return "Freeze" if balance is None or balance.frozen_at is None else "Unfreeze"

    def heading(self, form: FreezingForm) -> str:
        return "Unfreeze balance" if _ends_freezing(form) else self.title

    def initial(self) -> dict[str, Any]:
        return {"frozen": "yes" if self.terms().frozen_at is None else "no"}

    def explanation(self, form: FreezingForm) -> str:
        if _ends_freezing(form):
            return "Credits may be spent and held again."
        return (
            "Nothing more is spent or held from a frozen balance: every charge is refused. Credits still come in, and "
            "what is held already may still be captured or given back."
        )

    def perform(self, asked: dict[str, Any], **once: Any) -> Changed:
        return (freeze_balance if asked["frozen"] else unfreeze_balance)(note=asked["note"], **once)

    def lines(self, before: SpendingTerms, after: SpendingTerms, credits: CreditBalance) -> Lines:
        return [
            ("Spending now", _spending(before)),
            ("Spending after", _spending(after)),
            ("Available", shown(credits.available)),
        ]


class SetOverdraftLimit(TermsAction):
    name, path = "overdraft", "overdraft-limit"
    permission = "ledger.set_overdraft"
    title = "Set overdraft limit"
    form_class = OverdraftForm

    def initial(self) -> dict[str, Any]:
        return {"limit": self.terms().overdraft_limit}

    def perform(self, asked: dict[str, Any], **once: Any) -> Changed:
        return set_overdraft_limit(limit=asked["limit"], note=asked["note"], **once)

    def lines(self, before: SpendingTerms, after: SpendingTerms, credits: CreditBalance) -> Lines:
        return [
            ("Limit now", shown(before.overdraft_limit)),
            ("Limit after", shown(after.overdraft_limit)),
            ("Available", shown(credits.available)),
            ("May be spent after", shown(credits.available + after.overdraft_limit)),
        ]


def _ends_freezing(form: FreezingForm) -> bool:
    return bool(form["frozen"].value() == "no")


def _spending(terms: SpendingTerms) -> str:
    return "allowed" if terms.frozen_at is None else "frozen"
