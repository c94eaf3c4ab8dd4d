"""What staff read about an adjustment that they ask for: the balance before and after, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.backoffice.credits import shown, shown_signed
from config.backoffice.links import page_link
from config.backoffice.staff_action import Lines
from ledger.models import AdjustmentRequest, SecondPersonBecause
from ledger.selectors import balance_of
from ledger.services.adjustments.outcomes import AdjustmentOutcome


def because_of(request: AdjustmentRequest) -> str:
    """Return why a request needs a second person; empty: it does not."""
    because = request.second_person_because
    return "" if because is None else SecondPersonBecause(because).label


def request_link(viewer: Any, request: AdjustmentRequest) -> str | SafeString:
    """Return the name of a request, with a link for those who may see it."""
    named = f"request {request.pk}"
    if not viewer.has_perm("ledger.view_adjustmentrequest"):
        return named
    return page_link("ledger_adjustmentrequest", request.pk, named)


def entry_link(viewer: Any, entry_id: int) -> str | SafeString:
    """Return the name of an entry, with a link for those who may see it."""
    named = f"entry {entry_id}"
    return page_link("ledger_entry", entry_id, named) if viewer.has_perm("ledger.view_entry") else named


def balances_of(done: AdjustmentOutcome) -> Lines:
    """Return the customer's balance before and after an adjustment, whether it was posted or waits."""
    change = done.request.amount or done.request.total
    now = balance_of(user_id=done.request.user_id or 0)
    posted = change if done.entry is not None else 0
    lines = [
        ("Balance now", shown(now.balance - posted)),
        ("Change", shown_signed(change)),
        ("Balance after", shown(now.balance - posted + change)),
        ("Available after", shown(now.available - posted + change)),
    ]
    if done.entry is None and not done.is_replay:
        lines.append(("A second person has to agree", f"{because_of(done.request)}."))
    return lines


class Asking:
    """A form that asks for an adjustment: what it says about its outcome."""

    request: HttpRequest

    def outcome_with_balances(self, perform: Callable[[], AdjustmentOutcome]) -> tuple[AdjustmentOutcome, Lines]:
        done = perform()
        return done, balances_of(done)

    def texts_of(self, form: Any) -> list[tuple[str, str | Promise]]:
        texts: list[tuple[str, str | Promise]] = [("Note", form["note"].value())]
        reference = form["reference"].value()
        return [*texts, ("Reference", reference)] if reference else texts

    def summary(self, done: AdjustmentOutcome) -> str:
        request = done.request
        change = shown_signed(request.amount or request.total)
        if done.entry is None:
            named = request_link(self.request.user, request)
            return format_html("{} ({} credits, {})", named, change, request.get_state_display().lower())
        entry = entry_link(self.request.user, done.entry.pk)
        return format_html("{} ({} credits, balance after it {})", entry, change, shown(done.entry.balance_after))

    def success(self, done: AdjustmentOutcome) -> str:
        if done.entry is None:
            because = because_of(done.request)
            return format_html("Nothing was posted yet: {} has to be approved, since {}.", self.summary(done), because)
        return format_html("Credits adjusted: {}.", self.summary(done))

    def repetition(self, done: AdjustmentOutcome) -> str:
        return format_html("This form was already posted as {}; nothing was posted again.", self.summary(done))
