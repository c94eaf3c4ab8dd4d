"""Types of command arguments: an invalid value is a usage error (exit 2) of one sentence."""

from __future__ import annotations

import datetime as dt
from argparse import ArgumentTypeError
from decimal import Decimal

from config.values.credits import NotACreditAmount, parse_credits
from config.values.idempotency_keys import NotAnIdempotencyKey, parse_idempotency_key
from config.values.months import NotAMonth, parse_month
from config.values.text import INVALID_TEXT, is_invalid_text
from config.values.times import NotAnInstant, parse_instant

MOST = 1_200  # the most of anything counted in months: a hundred years


def credits_argument(text: str) -> Decimal:
    """Parse a positive amount of credits."""
    return _credits(text)


def nonnegative_credits_argument(text: str) -> Decimal:
    """Parse an amount of credits that may be 0, such as a price."""
    return _credits(text, allow_zero=True)


def signed_credits_argument(text: str) -> Decimal:
    """Parse an amount of credits that may be negative, but not 0."""
    return _credits(text, allow_negative=True)


def instant_argument(text: str) -> dt.datetime:
    """Parse a point in time, in UTC; a date means its midnight."""
    return _instant(text)


def end_argument(text: str) -> dt.datetime:
    """Parse the end of a range, in UTC; a date includes its whole day."""
    return _instant(text, end=True)


def idempotency_key_argument(text: str) -> str:
    """Parse an idempotency key."""
    try:
        return parse_idempotency_key(text)
    except NotAnIdempotencyKey as error:
        raise ArgumentTypeError(str(error)) from error


def count_argument(text: str) -> int:
    """Parse a count, such as of months: 1 to 1200."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MOST):
        raise ArgumentTypeError(f"Write a whole number from 1 to {MOST}.")
    return int(text)


def priority_argument(text: str) -> int:
    """Parse a priority: 0 to 100, lower is earlier."""
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= 100):
        raise ArgumentTypeError("Write a whole number from 0 to 100.")
    return int(text)


def text_argument(text: str) -> str:
    """Parse a text that a person wrote; it must not be blank."""
    if is_invalid_text(text):
        raise ArgumentTypeError(INVALID_TEXT)
    if not text.strip():
        raise ArgumentTypeError("Say something: blanks alone are not a text.")
    return text.strip()


def _credits(text: str, *, allow_negative: bool = False, allow_zero: bool = False) -> Decimal:
    try:
        return parse_credits(text, allow_negative=allow_negative, allow_zero=allow_zero)
    except NotACreditAmount as error:
        raise ArgumentTypeError(str(error)) from error


def _instant(text: str, *, end: bool = False) -> dt.datetime:
    try:
        return parse_instant(text, end=end)
    except NotAnInstant as error:
        raise ArgumentTypeError(str(error)) from error


def month_argument(text: str) -> dt.date:
    """Parse a month, and return its first day."""
    try:
        return parse_month(text)
    except NotAMonth as error:
        raise ArgumentTypeError(str(error)) from error
