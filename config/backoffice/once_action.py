"""Confirmed staff actions whose services have no idempotency key: the form itself is spent, in the same transaction."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

from django.db.models import Model

from config.backoffice.confirmed_action import ConfirmedAction
from config.backoffice.staff_action import Lines, Target
from config.models import SpentForm
from config.values.json import exact_json


class FormReused(Exception):
    """The form was carried out before, with other values."""


class Effect(NamedTuple):
    """What an action changed, in words: the preview shows its lines, and the staff log keeps them with the reason."""

    summary: str
    lines: Lines
    is_replay: bool = False


class OnceAction(ConfirmedAction[Target, Effect]):
    """A confirmed action that is carried out once for each form, whatever its service does when it is repeated."""

    key_reused = FormReused

    @abstractmethod
    def apply(self, asked: dict[str, Any]) -> Effect:
        """Call the service for a valid form, and return what it changed."""

    def perform(self, asked: dict[str, Any], **once: Any) -> Effect:  # noqa: ARG002
        if not spend_form(asked["form_key"], path=self.request.path, actor_id=self.actor_id, submitted=asked):
            return Effect(self.title, [], is_replay=True)
        return self.apply(asked)

    def preview_outcome(self, perform: Callable[[], Effect]) -> tuple[Effect, Lines]:
        effect = perform()
        return effect, effect.lines

    def history(self, done: Effect) -> list[tuple[Model, str]]:
        return [(self.target, in_words(done, self.asked["note"]))]

    def summary(self, done: Effect) -> str:
        return done.summary

    def repetition(self, done: Effect) -> str:  # noqa: ARG002
        return f"This form was sent before; nothing was {self.verb} again."


def in_words(effect: Effect, note: str) -> str:
    """Return an effect and its reason as one line of the staff log."""
    facts = "; ".join(f"{name}: {value}" for name, value in effect.lines)
    return f"{effect.summary} ({facts}). Reason: {note}" if facts else f"{effect.summary}. Reason: {note}"


def spend_form(form_key: Any, *, path: str, actor_id: int, submitted: dict[str, Any]) -> bool:
    """Record, in the caller's transaction, that a form is carried out; return whether this is the first time.

    Of several submissions at once, the others wait until the first has committed.

    :raises FormReused: if it was carried out with other values, or by another person
    """
    values = {name: str(value) for name, value in submitted.items()}
    fingerprint = hashlib.sha256(exact_json([actor_id, values]).encode()).digest()
    spent, is_new = SpentForm.objects.get_or_create(
        form_key=form_key, path=path, defaults={"actor_id": actor_id, "fingerprint": fingerprint}
    )
    if bytes(spent.fingerprint) != fingerprint:
        raise FormReused
    return is_new
