"""Explain one entry: everything that led to it, and everything that became of it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cached_property

from ledger.models import Entry, EntryType, Hold, Payment, SubscriptionPeriod
from ledger.services.explanations.origins import hold_of, made_by, payment_of, period_of, reversals_of
from ledger.services.explanations.shares import GrantShare, shares_of
from usage.models import Price
from usage.services.explanations.calculation import calculation_of
from usage.services.explanations.requests import EntryRequests, requests_of
from usage.services.explanations.sentences import sentence_of


@dataclass(frozen=True)
class Explanation:
    """One entry and what it belongs to; what does not apply to it is None or empty."""

    entry: Entry
    requests: EntryRequests | None
    grants: list[GrantShare]
    hold: Hold | None
    payment: Payment | None
    period: SubscriptionPeriod | None
    reversed_by: list[int]

    @property
    def price(self) -> Price | None:
        return None if self.requests is None else self.requests.price

    @cached_property
    def calculation(self) -> str | None:
        """Return the product that the amount is; None if it is not one."""
        if self.requests is None:
            return None
        return calculation_of(
            price=self.price, units=self.requests.units, credits=-self.entry.amount, count=self.requests.count
        )

    @property
    def sentence(self) -> str:
        return sentence_of(self)

    @property
    def by(self) -> str:
        return made_by(self.entry)

    @property
    def is_debit(self) -> bool:
        return self.entry.type == EntryType.DEBIT


def explain_entry(entry: Entry, *, now: dt.datetime) -> Explanation:
    """Explain an entry, by at most ten statements, whatever it paid for and however long the history is.

    The number of requests of a batch is in the entry itself, so it is neither counted nor lost with the log.
    """
    return Explanation(
        entry=entry,
        requests=requests_of(entry),
        grants=shares_of(entry),
        hold=hold_of(entry, now=now),
        payment=payment_of(entry),
        period=period_of(entry),
        reversed_by=reversals_of(entry),
    )
