"""Staff actions in two steps: a form, a preview of what it would do, and a confirmation that does it once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from django.contrib import messages
from django.db import transaction
from django.db.models import Model
from django.http import HttpResponse
from django.utils.functional import Promise

from config.backoffice.once_form import DAMAGED, OnceForm
from config.backoffice.record import record_change
from config.backoffice.staff_action import Lines, StaffAction, Target

PREVIEW, CONFIRM = "preview", "confirm"  # the form's buttons; any other one returns to the form


class Outcome(Protocol):
    """The result of a service with an idempotency key."""

    @property
    def is_replay(self) -> bool: ...


Done = TypeVar("Done", bound=Outcome)


class ConfirmedAction(StaffAction[Target], Generic[Target, Done]):
    """A staff action with a preview and a confirmation, done once even if its form is submitted twice.

    The key is created when the form is first shown (`OnceForm`). The preview calls the service itself and rolls back,
    so it shows the same refusals and its figures are exact.
    """

    form_class: ClassVar[type[OnceForm]]
    button = "Preview"
    refusal: ClassVar[type[Exception]]  # of the services called; `str()` is a sentence for staff
    key_reused: ClassVar[type[Exception]]  # the error for a key that was used for something else
    verb: ClassVar[str] = "changed"
    already_used = "This form has already made another change. To make this one as well, send it again."
    asked: dict[str, Any]  # the valid form that is being carried out

    @abstractmethod
    def perform(self, asked: dict[str, Any], **once: Any) -> Done:
        """Call the service for a valid form; `once` contains the actor and the idempotency key."""

    @abstractmethod
    def preview_outcome(self, perform: Callable[[], Done]) -> tuple[Done, Lines]:
        """Call `perform` and return its outcome and the consequences to show, which a preview rolls back."""

    @abstractmethod
    def history(self, done: Done) -> list[tuple[Model, str]]:
        """Return the objects and messages for the staff log."""

    @abstractmethod
    def summary(self, done: Done) -> str:
        """Return in a few words what was done."""

    def success(self, done: Done) -> str:
        return f"{self.summary(done)}."

    def repetition(self, done: Done) -> str:
        return f"This form was sent before ({self.summary(done)}); nothing was {self.verb} again."

    def reasons(self, form: Any) -> list[tuple[str, str | Promise]]:
        """Return the texts of the form to show again in the preview."""
        return [("Reason", form["note"].value())]

    def take(self) -> HttpResponse:
        form = self.sent_form()
        if any(field.errors for field in form.hidden_fields() if field.name != "form_key"):  # a hidden field
            return self.page(self.first_form(), refusal=DAMAGED)
        if not form.is_valid():
            return self.page(form)
        step = self.request.POST.get("step")
        if step not in (PREVIEW, CONFIRM):
            return self.page(self.form_class(initial=form.submitted(), **self.form_options()))
        try:
            return self.preview(form) if step == PREVIEW else self.do(form)
        except self.key_reused:
            form.renew_key()
            return self.page(form, refusal=self.already_used)
        except self.refusal as refusal:
            return self.page(form, refusal=f"Nothing was {self.verb}. {refusal}")

    def preview(self, form: Any) -> HttpResponse:
        """Show what confirming does, or that this form was confirmed before."""
        with transaction.atomic():
            done, lines = self.preview_outcome(lambda: self._perform(form))
            transaction.set_rollback(True)
        if done.is_replay:
            return self._say(done)
        return self.page(form, preview=lines, reasons=self.reasons(form))

    def do(self, form: Any) -> HttpResponse:
        """Do it, and record it with the figures that the preview showed, as they have come out."""
        with transaction.atomic():
            done, lines = self.preview_outcome(lambda: self._perform(form))
            if not done.is_replay:
                for thing, message in self.history(done):
                    record_change(self.request, [thing], message, figures=[*lines, *self.reasons(form)])
        return self._say(done)

    def context(self, form: Any) -> dict[str, Any]:
        return {**super().context(form), "step": PREVIEW, "verb": self.verb}

    def once(self, form: Any) -> dict[str, Any]:
        return {"actor_id": self.actor_id, "idempotency_key": form.idempotency_key()}

    def _perform(self, form: Any) -> Done:
        self.asked = form.cleaned_data
        return self.perform(self.asked, **self.once(form))

    def _say(self, done: Done) -> HttpResponse:
        if done.is_replay:
            messages.warning(self.request, self.repetition(done))
        else:
            messages.success(self.request, self.success(done))
        return self.redirect()
