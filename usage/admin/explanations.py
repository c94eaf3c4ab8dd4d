"""An explanation as the back office shows it: the steps of a chain, each with its facts and links."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from django.utils.html import format_html, format_html_join

from config.backoffice.credits import shown, shown_signed
from config.backoffice.links import page_link
from config.values.money import shown_money
from ledger.models import Entry
from usage.services.explanations.explanation import Explanation, explain_entry

BY = {
    "customer": "The customer",
    "service": "A service of the company",
    "staff": "Staff, by hand",
    "system": "Tollbook by itself",
}


@dataclass(frozen=True)
class Step:
    """One step of the chain: facts by their names, and rows of a table under their heads."""

    title: str
    facts: list[tuple[str, Any]] = field(default_factory=list)
    heads: tuple[str, ...] = ()
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    note: str = ""


@dataclass(frozen=True)
class ExplainedEntry:
    """What the page of an explanation shows."""

    entry: Entry
    sentence: str
    steps: list[Step]


def explained(entry: Entry, *, viewer: Any, now: dt.datetime) -> ExplainedEntry:
    """Explain an entry to a member of staff: requests and payments only if they may view those."""
    found = explain_entry(entry, now=now)
    steps = [
        *_requests(found, viewer),
        *_price(found),
        *_origins(found, viewer),
        _grants(found),
        _entry(found),
        *_afterwards(found),
    ]
    return ExplainedEntry(entry, found.sentence, steps)


def _requests(found: Explanation, viewer: Any) -> list[Step]:
    requests = found.requests
    if requests is None or not viewer.has_perm("usage.view_requestlog"):
        return []
    facts: list[tuple[str, Any]] = [("Number", f"{requests.count:,}")]
    if requests.first_at is not None and requests.last_at is not None:
        facts += [("First", _time(requests.first_at)), ("Last", _time(requests.last_at))]
    rows = [
        (
            page_link("usage_requestlog", log.pk, log.pk),
            _time(log.occurred_at),
            f"{log.method} {log.path} ({log.status})".strip(),
            shown(log.units),
            shown(log.credits),
        )
        for log in requests.items
    ]
    note = "The log no longer has them: its month was dropped." if not rows else ""
    if rows and len(rows) < requests.count:
        note = f"The first {len(rows)} of {requests.count:,}."
    return [Step("Requests", facts, ("Request", "Time", "Call", "Units", "Credits"), rows, note)]


def _price(found: Explanation) -> list[Step]:
    if found.price is None:
        return []
    version = found.price
    facts = [
        ("Version", page_link("usage_price", version.pk, f"{version.method or 'Any method'} {version.endpoint}")),
        ("Credits a unit", shown(version.credits)),
        ("Minimum", shown(version.minimum)),
        ("In force from", _time(version.effective_from)),
        ("Calculation", found.calculation or "The credits were given, or captured from a hold, and not calculated"),
    ]
    return [Step("Price", facts)]


def _origins(found: Explanation, viewer: Any) -> list[Step]:
    steps = []
    if found.hold is not None:
        hold = found.hold
        facts = [
            ("Hold", page_link("ledger_hold", hold.pk, hold.pk)),
            ("Set aside", shown(hold.credits)),
            ("Captured", shown(hold.captured)),
            ("Opened", _time(hold.created_at)),
        ]
        steps.append(Step("Hold", facts))
    if found.payment is not None and viewer.has_perm("ledger.view_payment"):
        payment = found.payment
        facts = [
            ("Payment", page_link("ledger_payment", payment.pk, payment.pk)),
            ("Price", shown_money(payment.amount_minor, payment.currency)),
            ("State", payment.get_state_display()),
        ]
        steps.append(Step("Payment", facts))
    if found.period is not None:
        period = found.period
        facts = [
            ("Subscription", page_link("accounts_subscription", period.subscription_id, period.plan)),
            ("Period", f"{period.starts_at:%Y-%m-%d} to {period.ends_at:%Y-%m-%d}"),
        ]
        steps.append(Step("Subscription", facts))
    return steps


def _grants(found: Explanation) -> Step:
    rows = [
        (
            page_link("ledger_grant", share.grant_id, share.grant_id) if share.grant_id else "No grant (overdraft)",
            (share.category or "–").capitalize(),
            "Never" if share.expires_at is None else _time(share.expires_at),
            shown(share.credits),
        )
        for share in found.grants
    ]
    title = "Grants drawn" if found.entry.amount < 0 else "Grants opened or refilled"
    return Step(title, [], ("Grant", "Category", "Ends", "Credits"), rows)


def _entry(found: Explanation) -> Step:
    entry = found.entry
    facts: list[tuple[str, Any]] = [
        ("Entry", page_link("ledger_entry", entry.pk, entry.pk)),
        ("Customer", page_link("accounts_user", entry.user_id, entry.user)),
        ("Amount", shown_signed(entry.amount)),
        ("Balance after it", shown(entry.balance_after)),
        ("Made", _time(entry.created_at)),
        ("By", BY[found.by] if entry.actor is None else page_link("accounts_user", entry.actor.pk, entry.actor)),
    ]
    if entry.reference:
        facts.append(("Reference", entry.reference))
    return Step("Entry", facts)


def _afterwards(found: Explanation) -> list[Step]:
    facts: list[tuple[str, Any]] = []
    if found.entry.reverses_id is not None:
        facts.append(("Takes back", _entry_links([found.entry.reverses_id])))
    if found.reversed_by:
        facts.append(("Reversed by", _entry_links(found.reversed_by)))
    return [Step("Refunds and reversals", facts)] if facts else []


def _entry_links(ids: list[int]) -> Any:
    return format_html_join(", ", "{}", ((page_link("ledger_entry", pk, pk),) for pk in ids))


def _time(at: dt.datetime) -> Any:
    utc = at.astimezone(dt.UTC)
    return format_html('<time datetime="{}">{} UTC</time>', utc.isoformat(), f"{utc:%Y-%m-%d %H:%M:%S}")
