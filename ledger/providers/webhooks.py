"""The incoming half of a payment provider: who has sent a webhook, and what it says.

Nothing here asks the provider anything or touches the database. It is a half of its own, apart from `base.Provider`,
since it needs other settings (a site without a key still believes what is signed) and not the provider's client.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ledger.providers.news import News


class ProviderWebhooks(Protocol):
    """Reads a provider's webhooks. An `event` is the JSON object in the body of one."""

    name: str
    signature_header: str

    def verify_webhook(self, headers: Mapping[str, str], body: bytes, *, now: dt.datetime) -> None:
        """Check that the provider has sent these very bytes, and a short time ago.

        :raises WebhookSignatureInvalid: if the signature is missing, wrong or too old
        """

    def why_not_ours(self, event: Any) -> str | None:
        """Return why an event, though signed, is not of this site: of another account, or a test; None if it is."""

    def events_of(self, event: Any) -> Sequence[News]:
        """Read an event; empty if it is of a type that means nothing here.

        :raises ShapeNotUnderstood: if it is of a type that does, in a form that we do not know
        """

    def label_of(self, event: Any) -> str:
        """Return the provider's own name and type of an event, for the log."""

    def key_problem(self) -> str | None:
        """Return why the key in the settings is not one for production, and what to do; None if it is."""
