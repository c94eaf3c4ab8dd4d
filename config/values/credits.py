"""Credits as callers write and read them: exact decimals with at most six places."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from math import floor

PLACES = 6
LARGEST = Decimal("999999999.999999")
LARGEST_ID = 2**63 - 1
"""As large as an id can be."""

LONGEST_MILLISECONDS = 2**31 - 1

_LONGEST_DURATION = Decimal(10) ** 20
_DURATION_TEXT = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,2})?", re.ASCII)
_DECIMAL_TEXT = re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{1,40})?", re.ASCII)


class NotACreditAmount(ValueError):
    """This value is not an amount of credits; the text is the reason."""


def parse_credits(
    value: object, *, allow_negative: bool = False, allow_zero: bool = False, noun: str = "credits"
) -> Decimal:
    """Parse an amount of credits, or of something counted alike, from a JSON value or a command's argument.

    A JSON number (int or Decimal) counts by its exact value, however it was written; a string
    counts as written, so `"1.0000000"` has a place too many. The result is in its `plain` form,
    so equal amounts also look equal (`3`, `"3"` and `3.0`).

    :raises NotACreditAmount: if it is anything but an exact amount within the bounds
    """
    amount = _exact(value)
    if amount is None:
        raise NotACreditAmount(f"Write {noun} as a JSON number or a decimal string such as 12.5.")
    if abs(amount) > LARGEST:
        raise NotACreditAmount(f"{noun.capitalize()} lie between -{LARGEST} and {LARGEST}.")
    if -_exponent(amount) > PLACES:
        raise NotACreditAmount(f"{noun.capitalize()} have at most {PLACES} decimal places.")
    if amount == 0 and not allow_zero:
        raise NotACreditAmount(f"{noun.capitalize()} must not be 0.")
    if amount < 0 and not allow_negative:
        raise NotACreditAmount(f"{noun.capitalize()} must be positive.")
    return plain(amount)


def plain(value: Decimal) -> Decimal:
    """Return a finite number in the form in which it is printed: no exponent, no trailing zeros.

    Unlike `Decimal.normalize` it never rounds, whatever the context's precision.
    """
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return Decimal("0" if text in {"-0", ""} else text)


def whole_milliseconds(value: object, *, per_unit: Decimal = Decimal(1)) -> int | None:
    """Parse a duration as gateways write it: a number, or a text of one, in units of `per_unit` milliseconds.

    It is rounded half-up to whole milliseconds. None if it is unusable: negative (`-1` for unknown), not finite,
    longer than 24 days, or not a number. A latency is only for the log, so an invalid one is never a reason to refuse
    the request.
    """
    if isinstance(value, str):
        text = value.strip()
        value = Decimal(text) if _DURATION_TEXT.fullmatch(text) else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = Decimal(value)
    if not isinstance(value, Decimal) or not value.is_finite() or not 0 <= value <= _LONGEST_DURATION:
        return None
    milliseconds = (value * per_unit).to_integral_value(ROUND_HALF_UP)
    return int(milliseconds) if milliseconds <= LONGEST_MILLISECONDS else None


def percentage(part: Decimal | int, whole: Decimal | int) -> Decimal:
    """Return the part as a percentage of the whole, rounded half-up to two places.

    It has at least one place (`25.0`), is 0.0 if the whole is 0, and reaches 100.0 only if exact.
    """
    if whole <= 0:
        return Decimal("0.0")
    hundredths = floor(Fraction(part) / Fraction(whole) * 10_000 + Fraction(1, 2))
    if part < whole:
        hundredths = min(hundredths, 9_999)
    shown = plain(Decimal(hundredths).scaleb(-2))
    return shown if _exponent(shown) < 0 else Decimal(f"{shown}.0")


def _exact(value: object) -> Decimal | None:
    """Return the number of a value; None if it is not a number.

    A value far out of bounds becomes another value out of bounds, so that parsing stays cheap.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return Decimal(value) if value.bit_length() <= 64 else LARGEST + LARGEST
    if isinstance(value, Decimal):
        return _exact_number(value)
    if isinstance(value, str) and _DECIMAL_TEXT.fullmatch(value):
        return Decimal(value)
    return None


def _exact_number(value: Decimal) -> Decimal | None:
    if not value.is_finite():
        return None
    if value and value.adjusted() > len(str(LARGEST)):  # 1e999999999 must not be expanded
        return LARGEST + LARGEST
    if value and value.adjusted() < -PLACES:
        return Decimal(1).scaleb(-PLACES - 1)
    return plain(value) if value else Decimal(0)


def _exponent(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0
