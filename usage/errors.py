"""The refusals of usage."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any


class UsageRefusal(Exception):
    """Base of metering's refusals; `str()` is a sentence for the caller."""


class PriceUnknown(UsageRefusal):
    def __init__(self, endpoint: str) -> None:
        super().__init__(f"No price names the endpoint {endpoint!r}.")


class NoStatement(UsageRefusal):
    """A statement of a month in which the account did not exist, or that has not begun."""


class PriceNotUnderstood(UsageRefusal):
    """An endpoint that is not a code, route template, suffix glob or *."""


class PriceExists(UsageRefusal):
    def __init__(self) -> None:
        super().__init__("This endpoint and method already have a price from that moment on.")


class CustomerKeyInvalid(UsageRefusal):
    def __init__(self) -> None:
        super().__init__("The customer's API key is unknown, expired or revoked.")


class CustomerKeyRateLimited(UsageRefusal):
    """The customer's key has made all its allowed calls of this minute; the call costs nothing.

    `reset_at` is in Unix seconds, as in the response's headers.
    """

    def __init__(self, *, limit: int, reset_at: int, reset_seconds: int) -> None:
        super().__init__("Rate limit exceeded. Please try again later.")
        self.retry_after_seconds = max(1, reset_seconds)
        self.headers = {
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": str(reset_at),
            "RateLimit-Policy": f'"default";q={limit};w=60',
            "RateLimit": f'"default";r=0;t={self.retry_after_seconds}',
        }


class CustomerInactive(UsageRefusal):
    def __init__(self) -> None:
        super().__init__("This customer is deactivated.")


class LogIsGone(UsageRefusal):
    """Sums cannot be rebuilt from a log that was dropped; `months` are the first days of the dropped months."""

    def __init__(self, months: list[dt.date]) -> None:
        named = ", ".join(f"{month:%Y-%m}" for month in months)
        super().__init__(f"The log of {named} is gone: only the sums of its days are left, and they stay as they are.")
        self.months = months


class AlertNotFound(UsageRefusal):
    def __init__(self) -> None:
        super().__init__("Not found.")


class AlertRefused(UsageRefusal):
    """An alert is invalid; `extra` names the field."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.extra = {"errors": {field: [sentence]}}


class AlertExists(UsageRefusal):
    def __init__(self) -> None:
        super().__init__("You have this very alert already.")


class AlertStays(UsageRefusal):
    def __init__(self) -> None:
        super().__init__("Everybody has this alert. Switch it off instead: is_enabled is false then.")


class TooManyAlerts(UsageRefusal):
    def __init__(self, *, limit: int) -> None:
        super().__init__(f"You have {limit} alerts, which is the limit. Remove one that you no longer need.")
        self.extra = {"limit": limit}


class EventsRejected(UsageRefusal):
    """Some events of a batch were rejected; `extra` has the result of each. The others are recorded."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        super().__init__(f"{answer['rejected']} of {len(answer['results'])} events were rejected.")
        self.extra = dict(answer)


class EventsUnavailable(EventsRejected):
    """Events of some customers could not be recorded now; `extra` says which. The others are recorded."""

    retry_after_seconds = 5

    def __init__(self, answer: Mapping[str, Any], *, unrecorded: int) -> None:
        super().__init__(answer)
        self.args = (f"{unrecorded} of {len(answer['results'])} events could not be recorded now. Send all again.",)


class IdempotencyKeyRefused(UsageRefusal):
    """The idempotency key is invalid."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.extra = {"errors": {"Idempotency-Key": [sentence]}}


class IdempotencyKeySpent(UsageRefusal):
    """A request cannot be repeated any more under its key; `str()` says why."""


class MeteringUnavailable(UsageRefusal):
    """The work cannot be charged now, and so is not given away; a later try may succeed."""

    retry_after_seconds = 5

    def __init__(self) -> None:
        super().__init__("The service is temporarily unavailable. Please try again.")


class FindingRefusal(UsageRefusal):
    """A finding, or a run of reconciliation, cannot be what staff ask for."""


class FindingNotFound(FindingRefusal):
    def __init__(self) -> None:
        super().__init__("There is no such finding.")


class FindingClosed(FindingRefusal):
    def __init__(self) -> None:
        super().__init__("The finding is closed already.")


class FindingKeyReused(FindingRefusal):
    def __init__(self) -> None:
        super().__init__("This key has closed the finding with another note.")


class RunUnderWay(FindingRefusal):
    def __init__(self) -> None:
        super().__init__("A run that was asked for before waits or is under way: one at a time.")
