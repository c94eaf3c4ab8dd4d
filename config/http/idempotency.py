"""The header with an idempotency key, and the response header that marks a replay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework.exceptions import APIException, ValidationError

from config.values.idempotency_keys import NotAnIdempotencyKey, parse_idempotency_key

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"


class IdempotencyKeyRequired(APIException):
    """The call moves credits and has no idempotency key."""

    status_code = 400
    default_code = "idempotency_key_required"
    default_detail = f"This call needs the header {HEADER}: a name of your own for this very operation."


def sent_idempotency_key(environment: Mapping[str, Any]) -> str:
    """Return the idempotency key from a call's headers, as in `request.META`.

    :raises IdempotencyKeyRequired: if there is none
    :raises ValidationError: naming the header, if it is invalid
    """
    sent = environment.get("HTTP_IDEMPOTENCY_KEY")
    if not sent:
        raise IdempotencyKeyRequired
    try:
        return parse_idempotency_key(sent)
    except NotAnIdempotencyKey as error:
        raise ValidationError({HEADER: [str(error)]}) from error
