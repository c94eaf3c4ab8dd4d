"""Deciding about a request for an adjustment: approve, reject, or withdraw one's own."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.db.models import Model, Q, Sum
from django.http import HttpResponse

from accounts.admin.access import may_act_on
from config.backoffice.confirmed_action import ConfirmedAction
from config.backoffice.credits import shown, shown_signed
from config.backoffice.staff_action import Lines
from config.rounds import Round
from ledger.admin.adjustments.words import balances_of, because_of
from ledger.errors import IdempotencyKeyReused, LedgerRefusal
from ledger.forms.adjustments import DecisionForm
from ledger.models import AdjustmentRequest, AdjustmentState
from ledger.selectors import balance_of
from ledger.services.adjustments.deciding import approve_adjustment, reject_adjustment, withdraw_adjustment
from ledger.services.adjustments.files import post_lines
from ledger.services.adjustments.outcomes import AdjustmentOutcome

LINES_AT_ONCE = 100
"""Lines of a file that are posted while a member of staff waits; `post_adjustments` posts the rest."""


class _Decide(ConfirmedAction[AdjustmentRequest, AdjustmentOutcome]):
    """Decide about a request that waits. It is decided once: repetition of the same decision does nothing."""

    permission = "ledger.approve_adjustment"
    form_class = DecisionForm
    refusal, key_reused = LedgerRefusal, IdempotencyKeyReused
    verb = "decided"

    @classmethod
    def may_act_on(cls, viewer: Any, target: AdjustmentRequest) -> bool:
        """Return whether the viewer is a second person, who may act on every customer of the request."""
        return bool(viewer.pk != target.author_id) and may_act_on_all(viewer, target)

    @classmethod
    def applies_to(cls, target: AdjustmentRequest) -> bool:
        return target.state == AdjustmentState.PENDING

    def figures(self) -> Lines:
        request = self.target
        figures = [("Asked for by", str(request.author))]
        if request.amount is None:
            return [*figures, ("File", request.file_name or ""), *_sums(request)]
        before = balance_of(user_id=request.user_id or 0).balance
        return [
            *figures,
            ("Customer", str(request.user)),
            ("Balance now", shown(before)),
            ("Change", shown_signed(request.amount)),
            ("Balance after", shown(before + request.amount)),
        ]

    def explanation(self, form: Any) -> str:  # noqa: ARG002
        request = self.target
        parts = [f"“{request.note}”", f"A second person has to agree, since {because_of(request)}."]
        if request.reference:
            parts.insert(1, f"Reference: {request.reference}")
        return "\n\n".join(parts)

    def reasons(self, form: DecisionForm) -> list[tuple[str, Any]]:
        return [("Note", form["note"].value())]

    def preview_outcome(self, perform: Callable[[], AdjustmentOutcome]) -> tuple[AdjustmentOutcome, Lines]:
        done = perform()
        return done, [("Request", str(done.request.pk)), ("State after", done.request.get_state_display())]

    def history(self, done: AdjustmentOutcome) -> list[tuple[Model, str]]:
        things: list[tuple[Model, str]] = [(done.request, f"{done.request.get_state_display()}.")]
        return things if done.entry is None else [*things, (done.entry, f"Approved as request {done.request.pk}.")]

    def summary(self, done: AdjustmentOutcome) -> str:
        return f"Request {done.request.pk} is {done.request.get_state_display().lower()}"


class Approve(_Decide):
    name, path = "approve", "approve"
    moves_money = True
    title, button = "Approve", "Preview"

    def perform(self, asked: dict[str, Any], **once: Any) -> AdjustmentOutcome:
        return approve_adjustment(request_id=self.target.pk, actor_id=once["actor_id"], note=asked["note"])

    def preview_outcome(self, perform: Callable[[], AdjustmentOutcome]) -> tuple[AdjustmentOutcome, Lines]:
        done = perform()
        return done, _sums(done.request) if done.request.is_file else balances_of(done)

    def do(self, form: Any) -> HttpResponse:
        answer = super().do(form)
        post_first_lines(self.target)
        return answer

    def success(self, done: AdjustmentOutcome) -> str:
        if done.entry is None:
            return f"{self.summary(done)}: its lines are posted one by one, and this page says what became of each."
        return f"{self.summary(done)}, and posted as entry {done.entry.pk}."


class Reject(_Decide):
    name, path = "reject", "reject"
    title, button = "Reject", "Preview"

    def perform(self, asked: dict[str, Any], **once: Any) -> AdjustmentOutcome:
        return reject_adjustment(request_id=self.target.pk, actor_id=once["actor_id"], note=asked["note"])


class Withdraw(_Decide):
    """Withdraw a request of one's own."""

    name, path = "withdraw", "withdraw"
    permission = "ledger.view_adjustmentrequest"
    title, button = "Withdraw", "Preview"

    @classmethod
    def may_act_on(cls, viewer: Any, target: AdjustmentRequest) -> bool:
        return bool(viewer.pk == target.author_id)

    def perform(self, asked: dict[str, Any], **once: Any) -> AdjustmentOutcome:
        return withdraw_adjustment(request_id=self.target.pk, actor_id=once["actor_id"], note=asked["note"])


def may_act_on_all(viewer: Any, request: AdjustmentRequest) -> bool:
    """Return whether a member of staff may act on the account, or all accounts, that a request adjusts."""
    if request.user is not None:
        return may_act_on(viewer, request.user)
    lines = request.lines.all()
    if not viewer.is_superuser:
        lines = lines.filter(Q(user=viewer.pk) | Q(user__is_staff=True) | Q(user__is_superuser=True))
        return not lines.exists()
    return not lines.filter(user=viewer.pk).exists()


def post_first_lines(request: AdjustmentRequest) -> None:
    """Post the first lines of an approved file, so that a short one is done when its page opens."""
    if request.is_file:
        post_lines(Round(), most=LINES_AT_ONCE, request_id=request.pk)


def _sums(request: AdjustmentRequest) -> Lines:
    sums = request.lines.aggregate(
        given=Sum("amount", filter=Q(amount__gt=0)), taken=Sum("amount", filter=Q(amount__lt=0))
    )
    return [
        ("Lines", f"{request.line_count:,}"),
        ("Gives", shown_signed(sums["given"] or Decimal(0))),
        ("Takes", shown_signed(sums["taken"] or Decimal(0))),
    ]
