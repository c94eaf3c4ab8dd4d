"""What staff do about a dispute: answer it, reject it with words, or resolve it with credits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django.db.models import Model
from django.utils import timezone

from config.backoffice.credits import shown, shown_signed
from config.backoffice.once_action import Effect
from config.backoffice.once_form import OnceForm
from config.backoffice.staff_action import Lines
from ledger.admin.adjustments.words import Asking, balances_of
from ledger.admin.ledger_action import LedgerOnceAction, LedgerRowAction
from ledger.forms.disputes import AnswerForm, ResolveForm
from ledger.models import Entry, EntryDispute
from ledger.selectors import left_to_reverse
from ledger.services.adjustments.outcomes import AdjustmentOutcome
from ledger.services.disputes.closing import reject_dispute
from ledger.services.disputes.talking import answer_dispute
from ledger.services.resolutions import resolve_dispute


def facts_of(dispute: EntryDispute) -> Lines:
    """Return what each of these pages shows of a dispute."""
    entry = Entry.objects.get(pk=dispute.entry_id)
    return [
        ("Customer", str(dispute.user)),
        ("Debit", f"{entry.pk}: {shown_signed(entry.amount)}"),
        ("Left of it", shown(left_to_reverse(entry))),
        ("Reason", dispute.get_reason_display()),
        ("State", dispute.get_state_display()),
    ]


class _OfDispute(LedgerOnceAction[EntryDispute]):
    """An action that writes to the customer."""

    permission = "ledger.answer_dispute"
    form_class = AnswerForm

    @classmethod
    def applies_to(cls, target: EntryDispute) -> bool:
        return not target.is_closed

    def figures(self) -> Lines:
        return facts_of(self.target)

    def reasons(self, form: Any) -> list[Any]:
        return [("Message", form["note"].value())]


class AnswerDispute(_OfDispute):
    """Write to the customer; the dispute stays open until it is closed."""

    name = path = "answer"
    title = "Answer"
    verb = "sent"

    def apply(self, asked: dict[str, Any]) -> Effect:
        dispute = answer_dispute(
            dispute_id=self.target.pk, text=asked["note"], actor_id=self.actor_id, now=timezone.now()
        )
        return Effect("Answered", [("State", dispute.get_state_display()), ("The customer", "is sent the message")])


class RejectDispute(_OfDispute):
    """Close the dispute without credits, and say why."""

    name = path = "reject"
    title = "Reject"

    @classmethod
    def applies_to(cls, target: EntryDispute) -> bool:
        return not target.is_closed and target.adjustment_id is None

    def apply(self, asked: dict[str, Any]) -> Effect:
        dispute = reject_dispute(
            dispute_id=self.target.pk, text=asked["note"], actor_id=self.actor_id, now=timezone.now()
        )
        return Effect("Rejected", [("State", dispute.get_state_display()), ("Credits", "none are returned")])


class ResolveDispute(Asking, LedgerRowAction[EntryDispute, AdjustmentOutcome]):
    """Return credits of the debit, at once or when a second person agrees; that closes the dispute."""

    name = path = "resolve"
    permission = "ledger.resolve_dispute"
    title = "Resolve with credits"
    form_class: ClassVar[type[OnceForm]] = ResolveForm
    verb = "posted"

    @classmethod
    def applies_to(cls, target: EntryDispute) -> bool:
        return not target.is_closed and target.adjustment_id is None

    def figures(self) -> Lines:
        return facts_of(self.target)

    def explanation(self, form: Any) -> str:  # noqa: ARG002
        return (
            "Credits go back to the grants that the debit drew on, by an entry that names it. Above your limits a "
            "second person has to agree: until then the dispute stays open, and it is open again if they do not."
        )

    def initial(self) -> dict[str, Any]:
        return {"credits": left_to_reverse(Entry.objects.get(pk=self.target.entry_id))}

    def once(self, form: Any) -> dict[str, Any]:
        return {"actor_id": self.actor_id, "idempotency_key": form.idempotency_key()}

    def perform(self, asked: dict[str, Any], **once: Any) -> AdjustmentOutcome:
        return resolve_dispute(
            dispute_id=self.target.pk, credits=asked["credits"], note=asked["note"], now=timezone.now(), **once
        )

    def preview_outcome(self, perform: Callable[[], AdjustmentOutcome]) -> tuple[AdjustmentOutcome, Lines]:
        done = perform()
        return done, balances_of(done)

    def history(self, done: AdjustmentOutcome) -> list[tuple[Model, str]]:
        change = shown_signed(done.request.amount or done.request.total)
        if done.entry is None:
            return [(self.target, f"Asked to resolve it with {change}: request {done.request.pk}.")]
        return [(self.target, f"Resolved with {change}: entry {done.entry.pk}.")]
