"""What metering refuses, and why."""

from __future__ import annotations


class UsageRefusal(Exception):
    """Base of metering's refusals; `str()` is a sentence for the caller."""


class PriceUnknown(UsageRefusal):
    def __init__(self, endpoint: str) -> None:
        super().__init__(f"No price names the endpoint {endpoint!r}.")


class PriceNotUnderstood(UsageRefusal):
    """An endpoint that is no code, route template, suffix glob or *."""


class PriceExists(UsageRefusal):
    def __init__(self) -> None:
        super().__init__("This endpoint and method already have a price from that moment on.")


class CustomerKeyInvalid(UsageRefusal):
    def __init__(self) -> None:
        super().__init__("The customer's API key is unknown, expired or revoked.")


class CustomerInactive(UsageRefusal):
    def __init__(self) -> None:
        super().__init__("This customer is deactivated.")
