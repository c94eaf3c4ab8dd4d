"""The incoming half of a payment provider: it verifies and reads the webhooks that the provider sends.

Nothing here calls the provider or touches the database. It is separate from `base.Provider` because it needs other
settings (a site without a key still accepts signed webhooks) and not the provider's client, which is slow to import.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ledger.providers.news import News


class ProviderWebhooks(Protocol):
    """Verifies and reads webhooks. An `event` is the JSON object in the body of a webhook."""

    name: str
    signature_header: str
    tolerance_seconds: int  # how old a signature may be

    def verify_webhook(self, headers: Mapping[str, str], body: bytes, *, now: dt.datetime) -> None:
        """Verify that the provider signed this body, at most `tolerance_seconds` ago.

        :raises WebhookSignatureInvalid: if the signature is missing, wrong or too old
        """

    def why_not_ours(self, event: Any) -> str | None:
        """Return why a signed event does not belong to this site (another account, test mode); None if it does."""

    def events_of(self, event: Any) -> Sequence[News]:
        """Read an event; return nothing if its type is of no interest.

        :raises ShapeNotUnderstood: if its type is of interest and its form unknown
        """

    def label_of(self, event: Any) -> str:
        """Return the id and type of an event, for the log."""

    def key_problem(self) -> str | None:
        """Return why the key in the settings is not for production, and what to do; None if it is."""
