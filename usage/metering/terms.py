"""The terms of a piece of work: what a request costs at most, who pays, and what happens without a database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from config.values.credits import NotACreditAmount, parse_credits
from config.values.paths import normal_endpoint

MOST_SECONDS = 86_400
LONGEST_ENDPOINT = 200
MOST_REPEATS = 100

Asked = Callable[[Any], Any]  # called with the framework's own request
Amount = Decimal | int | str


@dataclass(frozen=True, kw_only=True)
class Terms:
    """Declared once, with the work; each except times and policy may also be a function of the request.

    :raises ImproperlyConfigured: if no request could ever be charged on these terms
    """

    endpoint: str | Asked | None = None  # None: the request's path
    units: Amount | Asked = 1
    credits: Amount | Asked | None = None  # instead of the endpoint's price
    customer: Asked | None = None  # returns a user's id, or the SHA-256 of a key; None: the header X-API-KEY
    expires_in_seconds: int = 900
    repeat_seconds: int = 600
    most_repeats: int = 10
    fail_open: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.endpoint, str) and not _is_endpoint(self.endpoint):
            raise ImproperlyConfigured(f"A metered endpoint is a code or a path, not {self.endpoint!r}.")
        for noun in ("units", "credits"):
            amount = getattr(self, noun)
            if amount is not None and not callable(amount):
                _checked(noun, amount)
        if not 1 <= self.expires_in_seconds <= MOST_SECONDS:
            raise ImproperlyConfigured(f"A hold lives for 1 to {MOST_SECONDS} seconds.")
        if self.repeat_seconds < 0:
            raise ImproperlyConfigured("repeat_seconds must be 0 or more.")
        if not 0 <= self.most_repeats <= MOST_REPEATS:
            raise ImproperlyConfigured(f"most_repeats lies between 0 and {MOST_REPEATS}.")
        if self.fail_open and not settings.METERING_SPOOL:
            raise ImproperlyConfigured("fail_open needs METERING_SPOOL, a folder for what is charged later.")

    def endpoint_of(self, request: Any, path: str) -> str:
        """Return the endpoint of a request, in its normal form; `path` is already encoded."""
        if self.endpoint is None:
            return normal_endpoint(path)
        return normal_endpoint(str(self.endpoint(request)) if callable(self.endpoint) else self.endpoint)

    def units_of(self, request: Any) -> Decimal:
        """Return the units that a request may use at most; 0 is possible.

        :raises NotACreditAmount: if the function did not return an exact amount
        """
        return _amount("units", self.units(request) if callable(self.units) else self.units)

    def credits_of(self, request: Any) -> Decimal | None:
        """Return the credits that a request may cost at most, or None if its price decides.

        :raises NotACreditAmount: if the function did not return an exact amount
        """
        asked = self.credits(request) if callable(self.credits) else self.credits
        return None if asked is None else _amount("credits", asked)


def _amount(noun: str, value: object) -> Decimal:
    return parse_credits(value, allow_zero=True, noun=noun)


def _checked(noun: str, value: object) -> None:
    try:
        parse_credits(value, noun=noun)
    except NotACreditAmount as error:
        raise ImproperlyConfigured(f"{noun}={value!r}: {error}") from None


def _is_endpoint(endpoint: str) -> bool:
    return (
        0 < len(endpoint) <= LONGEST_ENDPOINT
        and endpoint == endpoint.strip()
        and endpoint.isprintable()
        and "*" not in endpoint
    )
