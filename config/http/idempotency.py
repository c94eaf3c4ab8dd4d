"""Idempotency keys as callers write them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rest_framework.exceptions import APIException, ValidationError

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
LONGEST_KEY = 255
_KEY = re.compile(r"[\x20-\x7e]{1,255}")


class NotAnIdempotencyKey(ValueError):
    """This text cannot name an operation."""

    def __init__(self) -> None:
        super().__init__(f"An idempotency key is 1 to {LONGEST_KEY} printable ASCII characters.")


class IdempotencyKeyRequired(APIException):
    """The call moves credits, and nothing says whether it is the same call as an earlier one."""

    status_code = 400
    default_code = "idempotency_key_required"
    default_detail = f"This call needs the header {HEADER}: a name of your own for this very operation."


def parse_idempotency_key(text: str) -> str:
    """Give the key back, if it is one.

    :raises NotAnIdempotencyKey: if it is not
    """
    if not _KEY.fullmatch(text) or not text.strip():
        raise NotAnIdempotencyKey
    return text


def sent_idempotency_key(environment: Mapping[str, Any]) -> str:
    """Read the key from a call's headers, as `request.META` has them.

    :raises IdempotencyKeyRequired: if there is none
    :raises ValidationError: naming the header, if it is no key
    """
    sent = environment.get("HTTP_IDEMPOTENCY_KEY")
    if not sent:
        raise IdempotencyKeyRequired
    try:
        return parse_idempotency_key(sent)
    except NotAnIdempotencyKey as error:
        raise ValidationError({HEADER: [str(error)]}) from error
