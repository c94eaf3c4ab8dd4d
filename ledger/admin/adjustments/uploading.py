"""Adjusting many customers by a CSV file: each line is shown with what it would do, or why it cannot be posted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.db.models import Model
from django.http import HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.html import format_html

from config.backoffice.confirmed_action import ConfirmedAction
from config.backoffice.credits import shown
from config.backoffice.links import list_url, page_url
from config.backoffice.staff_action import Lines
from ledger.admin.adjustments.deciding import post_first_lines
from ledger.admin.adjustments.words import because_of, request_link
from ledger.errors import IdempotencyKeyReused, LedgerRefusal
from ledger.forms.adjustments import AdjustmentFileForm
from ledger.models import AdjustmentRequest, AdjustmentState
from ledger.services.adjustments.files import request_adjustment_file
from ledger.services.adjustments.limits import allowance_of
from ledger.services.adjustments.outcomes import AdjustmentOutcome
from ledger.services.adjustments.reading import ReadLine, read_adjustments


class UploadAdjustments(ConfirmedAction[AdjustmentRequest, AdjustmentOutcome]):
    """Ask for the adjustments of a file; the target is the unsaved request."""

    permission = "ledger.adjust_by_file"
    title = "Adjust by file"
    form_class = AdjustmentFileForm
    template = "admin/ledger/adjustmentrequest/upload.html"
    refusal, key_reused = LedgerRefusal, IdempotencyKeyReused
    verb = "posted"
    moves_money = True
    _read: Sequence[ReadLine] = ()
    _asked_for: AdjustmentRequest | None = None

    @classmethod
    def may_act_on(cls, viewer: Any, target: AdjustmentRequest) -> bool:  # noqa: ARG003
        return True  # each line asks whose account it is (`read_adjustments`)

    def named(self) -> str:
        return ""

    def target_url(self) -> str:
        return list_url("ledger_adjustmentrequest")

    def figures(self) -> Lines:
        allowance = allowance_of(staff_id=self.actor_id, now=timezone.now())
        return [
            ("Your limit, one file", shown(allowance.single)),
            ("Your limit, left today", shown(allowance.left_today)),
        ]

    def explanation(self, form: Any) -> str:  # noqa: ARG002
        return "The whole file is one request: above your limits, counted without signs, a second person has to agree."

    def sent_form(self) -> AdjustmentFileForm:
        return self.form_class(self.request.POST, self.request.FILES)

    def perform(self, asked: dict[str, Any], **once: Any) -> AdjustmentOutcome:
        viewer: Any = self.request.user
        self._read = read_adjustments(asked["text"], by=viewer)
        done = request_adjustment_file(lines=self._read, note=asked["note"], file_name=asked["file_name"], **once)
        self._asked_for = done.request
        return done

    def preview_outcome(self, perform: Callable[[], AdjustmentOutcome]) -> tuple[AdjustmentOutcome, Lines]:
        done = perform()
        lines = [("Lines", f"{done.request.line_count:,}"), ("Credits, without signs", shown(done.request.total))]
        if done.request.state == AdjustmentState.PENDING:
            lines.append(("A second person has to agree", f"{because_of(done.request)}."))
        return done, lines

    def reasons(self, form: AdjustmentFileForm) -> list[tuple[str, Any]]:
        return [("File", form.cleaned_data["file_name"]), ("Note", form["note"].value())]

    def page(self, form: Any, **more: Any) -> HttpResponse:
        return super().page(form, **{"lines": self._read, **more})

    def do(self, form: Any) -> HttpResponse:
        answer = super().do(form)
        if self._asked_for is not None:
            post_first_lines(self._asked_for)
        return answer

    def redirect(self) -> HttpResponse:
        if self._asked_for is not None and self.may_see_target():
            return HttpResponseRedirect(page_url("ledger_adjustmentrequest", self._asked_for.pk))
        return HttpResponseRedirect(self.request.path)

    def history(self, done: AdjustmentOutcome) -> list[tuple[Model, str]]:
        return [(done.request, f"Sent {done.request.line_count} adjustments by a file.")]

    def summary(self, done: AdjustmentOutcome) -> str:
        return format_html("{} with {} lines", request_link(self.request.user, done.request), done.request.line_count)

    def success(self, done: AdjustmentOutcome) -> str:
        if done.request.state == AdjustmentState.PENDING:
            because = because_of(done.request)
            return format_html("Nothing was posted yet: {} has to be approved, since {}.", self.summary(done), because)
        return format_html("{}: they are posted one by one, and its page says what became of each.", self.summary(done))
