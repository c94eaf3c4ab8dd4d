"""Closing a finding with a note."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import Model
from django.utils.functional import Promise

from accounts.admin.access import may_act_on
from config.backoffice.confirmed_action import ConfirmedAction
from config.backoffice.once_form import NoteField, OnceForm
from config.backoffice.staff_action import Lines
from ledger.selectors import terms_of
from usage.admin.reconciliation.groups import title_of
from usage.errors import FindingKeyReused, FindingRefusal
from usage.models import ReconciliationFinding
from usage.services.findings.closing import Closed, close_finding
from usage.services.findings.freezing import what_else_freezes


class ClosingForm(OnceForm):
    note = NoteField(
        label="Note",
        help_text="What was wrong and how it was settled. Staff read it in the finding's history; it stays for ever.",
    )


class CloseFinding(ConfirmedAction[ReconciliationFinding, Closed]):
    """Close a finding; an account that findings alone had frozen is unfrozen."""

    name = path = "close"
    permission, needs_view = "usage.close_finding", True
    title = "Close finding"
    form_class = ClosingForm
    refusal, key_reused = FindingRefusal, FindingKeyReused

    @classmethod
    def may_act_on(cls, viewer: Any, target: ReconciliationFinding) -> bool:
        return target.user is None or may_act_on(viewer, target.user)

    @classmethod
    def applies_to(cls, target: ReconciliationFinding) -> bool:
        return target.closed_at is None

    def named(self) -> str:
        return title_of(self.target.check_name)

    def figures(self) -> Lines:
        return [
            ("Customer", str(self.target.user or "nobody’s alone")),
            ("Found by runs", f"{self.target.times_found:,}"),
        ]

    def explanation(self, form: Any) -> str:  # noqa: ARG002
        return (
            f"{self.target.detail}\n\nClosing changes nothing of that. If a later run finds it again, the finding is "
            "open again."
        )

    def perform(self, asked: dict[str, Any], **once: Any) -> Closed:
        return close_finding(finding_id=self.target.pk, note=asked["note"], **once)

    def preview_outcome(self, perform: Callable[[], Closed]) -> tuple[Closed, Lines]:
        was_frozen, why = self._is_frozen(), what_else_freezes(self.target)
        done = perform()
        account = "not frozen"
        if was_frozen:
            account = f"stays frozen: {why}" if self._is_frozen() else "is unfrozen"
        lines = [("Finding now", "open"), ("Finding after", "closed")]
        return done, [*lines, ("Account", account)] if self.target.user_id else lines

    def reasons(self, form: Any) -> list[tuple[str, str | Promise]]:
        return [("Note", form["note"].value())]

    def history(self, done: Closed) -> list[tuple[Model, str]]:
        about: list[tuple[Model, str]] = [(self.target, f"Closed the finding: {done.event.note}")]
        if self.target.user is not None:
            about.append((self.target.user, f"Closed finding {self.target.pk}."))
        return about

    def summary(self, done: Closed) -> str:  # noqa: ARG002
        return "Closed the finding"

    def _is_frozen(self) -> bool:
        return self.target.user_id is not None and terms_of(user_id=self.target.user_id).frozen_at is not None
