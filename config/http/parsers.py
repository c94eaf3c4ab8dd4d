"""JSON bodies, parsed strictly: what two parsers could read differently is refused."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import IO, Any, ClassVar

from django.conf import settings
from django.http import UnreadablePostError
from django.utils.http import parse_header_parameters
from rest_framework.exceptions import APIException, ParseError, UnsupportedMediaType, ValidationError
from rest_framework.parsers import BaseParser

from config.http.body_limits import too_large
from config.http.encodings import Inflated, encoding_of, inflate
from config.values.text import INVALID_TEXT, invalid_places

DEEPEST_NESTING = 20
LONGEST_NUMBER = 100
LARGEST_EXPONENT = 308

_HOSTILE_ESCAPE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")


class MalformedJson(ParseError):
    """The body is invalid JSON, or JSON that parsers read differently."""

    default_code = "malformed_json"


class BodyTooLarge(APIException):
    """The body is larger than this call accepts."""

    status_code = 413
    default_code = "body_too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(too_large(limit))


class StrictJsonParser(BaseParser):
    """Parses one JSON object of at most `settings.JSON_BODY_BYTES`.

    A view that accepts more, other media types or a list declares a subclass with these attributes.
    """

    media_type = "application/json"
    body_bytes: ClassVar[int | None] = None
    top_level: ClassVar[tuple[type, ...]] = (dict,)
    top_level_refusal: ClassVar[str] = "The body must be a JSON object."

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the validated body; an empty one counts as `{}`."""
        self._refuse_other_charsets(media_type or "")
        body = self._decoded(self._read(stream, parser_context or {}), parser_context or {})
        if not body:
            return {}
        value = parse_strictly(body)
        if not isinstance(value, self.top_level):
            raise ValidationError({"non_field_errors": [self.top_level_refusal]})
        return value

    def _refuse_other_charsets(self, media_type: str) -> None:
        _, parameters = parse_header_parameters(media_type)
        if parameters.get("charset", "utf-8").lower() not in {"utf-8", "utf8"}:
            raise UnsupportedMediaType(media_type, detail="JSON must be sent as UTF-8.")

    def _read(self, stream: IO[Any], context: Mapping[str, Any]) -> bytes:
        limit = self.body_bytes or settings.JSON_BODY_BYTES
        request = context.get("request")
        declared = str(request.META.get("CONTENT_LENGTH") or "") if request is not None else ""
        if declared.isdigit() and int(declared) > limit:
            raise BodyTooLarge(limit)
        try:
            body: bytes = stream.read(limit + 1)
        except UnreadablePostError:
            raise MalformedJson("The body ended too early.") from None
        if len(body) > limit:
            raise BodyTooLarge(limit)
        return body

    def _decoded(self, body: bytes, context: Mapping[str, Any]) -> bytes:
        request = context.get("request")
        named = request.META.get("HTTP_CONTENT_ENCODING") if request is not None else None
        encoding = encoding_of(named) if named else "identity"
        if encoding == "identity":
            return body
        if encoding != "gzip":
            raise UnsupportedMediaType(encoding, detail="Content-Encoding must be gzip, or left out.")
        limit = self.body_bytes or settings.JSON_BODY_BYTES
        try:
            return inflate(body, limit=limit)
        except Inflated:
            raise BodyTooLarge(limit) from None
        except zlib.error:
            raise MalformedJson("The body is not the whole and valid gzip that its Content-Encoding says.") from None


def parse_strictly(body: bytes) -> Any:
    """Parse JSON into dict, list, str, int, Decimal, bool and None.

    :raises MalformedJson: on bad UTF-8, duplicate keys, NaN, endless numbers or deep nesting
    :raises ValidationError: on NUL or lone surrogates, naming their path
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedJson("The body is not valid UTF-8.") from None
    try:
        value = json.loads(
            text,
            parse_int=_whole_number,
            parse_float=_number,
            parse_constant=_constant,
            object_pairs_hook=_object,
        )
    except RecursionError:
        raise MalformedJson(f"The body is nested deeper than {DEEPEST_NESTING} levels.") from None
    except json.JSONDecodeError as error:
        raise MalformedJson(f"The body is not valid JSON: line {error.lineno}, column {error.colno}.") from None
    _refuse_deep_nesting(value, text)
    if _HOSTILE_ESCAPE.search(text):  # raw ones cannot get here: JSON and UTF-8 exclude them
        _refuse_invalid_text(value)
    return value


def _whole_number(text: str) -> int:
    if len(text) > LONGEST_NUMBER:
        raise MalformedJson("The body has a number that is too long.")
    return int(text)


def _number(text: str) -> Decimal:
    if len(text) > LONGEST_NUMBER:
        raise MalformedJson("The body has a number that is too long.")
    try:
        number = Decimal(text)
    except InvalidOperation:  # an exponent beyond what Decimal itself can hold
        number = Decimal("Infinity")
    if not number.is_finite() or (number and abs(number.adjusted()) > LARGEST_EXPONENT):
        raise MalformedJson("The body has a number that is too large or too small.")
    return number if number else Decimal(0)  # 0e999999999 must not be expanded either


def _constant(name: str) -> None:
    raise MalformedJson(f"{name} is not a JSON number.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise MalformedJson("An object in the body has the same key twice.")
    return made


def _refuse_deep_nesting(value: Any, text: str) -> None:
    if text.count("[") + text.count("{") <= DEEPEST_NESTING:
        return
    level = [value]
    for _ in range(DEEPEST_NESTING):
        level = [inner for outer in level for inner in _inner_containers(outer)]
    if level:
        raise MalformedJson(f"The body is nested deeper than {DEEPEST_NESTING} levels.")


def _inner_containers(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [each for each in inner if isinstance(each, (dict, list))]


def _refuse_invalid_text(value: Any) -> None:
    places = sorted(set(invalid_places(value)))
    if places:
        raise ValidationError({place or "non_field_errors": [INVALID_TEXT] for place in places})
