"""Starting a run of reconciliation from its page: the request is kept, and a job carries it out."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse

from config.backoffice.links import list_url
from config.backoffice.once_form import OnceForm
from config.backoffice.record import record_change
from config.backoffice.staff_action import StaffAction
from usage.errors import RunUnderWay
from usage.models import ReconciliationRun, RequestedRun
from usage.selectors import last_full_audit
from usage.services.runs.requests import request_run


class StartRun(StaffAction[ReconciliationRun]):
    """Ask for a full run; the target is the unsaved run. It acts on no customer's account."""

    permission = "usage.start_reconciliation"
    title = button = "Start a run"
    form_class = OnceForm

    @classmethod
    def may_act_on(cls, viewer: Any, target: ReconciliationRun) -> bool:  # noqa: ARG003
        return True

    def named(self) -> str:
        return ""

    def target_url(self) -> str:
        return list_url("usage_reconciliationrun")

    def explanation(self, form: Any) -> str:  # noqa: ARG002
        last = last_full_audit()
        took = "" if last is None else f" The last full run took {(last.finished_at - last.started_at).seconds:,} s."
        return (
            "Everything is checked for everybody: entries, balances, holds, grants, payments, statistics. It only "
            f"reads; a job begins it within a minute.{took} Only one run can be asked for at a time."
        )

    def do(self, form: OnceForm) -> HttpResponse:
        try:
            with transaction.atomic():
                asked = request_run(actor_id=self.actor_id, idempotency_key=form.idempotency_key())
                if not asked.is_replay:
                    record_change(self.request, [asked.request], "Started a run of reconciliation.")
        except RunUnderWay as refusal:
            return self.page(form, refusal=f"Nothing was started. {refusal}")
        if asked.is_replay:
            messages.warning(self.request, "This form was sent before; nothing was started again.")
        else:
            messages.success(self.request, "The run was asked for. A job begins it within a minute.")
        return self.redirect()


def last_request() -> RequestedRun | None:
    """Return the run that was asked for last, with who did and what it found."""
    return RequestedRun.objects.select_related("actor", "run").order_by("-id").first()
