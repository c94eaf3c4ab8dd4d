"""Forms of what staff do about a dispute."""

from __future__ import annotations

from config.backoffice.credits import CreditsField
from config.backoffice.once_form import NoteField, OnceForm, ReasonForm


class AnswerForm(ReasonForm):
    """Words to the customer."""

    note = NoteField(label="Message", help_text="The customer is sent it, and it stays for ever.")


class ResolveForm(OnceForm):
    """Credits to return of the disputed debit."""

    credits = CreditsField(help_text="How much of the debit is returned: at most what is left of it.")
    note = NoteField(help_text="Why. The customer reads it in the ledger, and it stays for ever.")
