"""Prices: versions of what a request costs."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from typing import NamedTuple

from django.db import IntegrityError, transaction

from config.values.paths import normal_endpoint, normal_escapes
from usage import errors
from usage.models import Price, PriceKind

LONGEST_ENDPOINT = 200
_PLACEHOLDER = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")
_METHOD = re.compile(r"[A-Za-z]{1,10}")


class PriceForm(NamedTuple):
    """How an endpoint is matched: the fields of `Price` that are derived from it."""

    kind: PriceKind
    pattern: str
    slashes: int
    weight: int


def read_endpoint(endpoint: str) -> PriceForm:
    """Return the form of an endpoint: a code or path, `/v1/items/{id}`, `*.png`, or `*`.

    A template's placeholder stands for one path segment that is not empty. As a LIKE pattern `_%` could match
    slashes; since path and template must have equally many, it cannot.

    :raises PriceNotUnderstood: with a sentence that says what is wrong
    """
    _refuse_odd_text(endpoint)
    if endpoint == "*":
        return PriceForm(PriceKind.ANY, "", 0, 0)
    if endpoint.startswith("*"):
        suffix = endpoint[1:]
        if re.search(r"[*{}]", suffix):
            raise errors.PriceNotUnderstood("A suffix glob is one * followed by plain characters, such as *.png.")
        return PriceForm(PriceKind.GLOB, "%" + _literal(suffix), 0, len(suffix))
    if "*" in endpoint:
        raise errors.PriceNotUnderstood("A * may only stand at the start of an endpoint, as in *.png.")
    if "{" in endpoint or "}" in endpoint:
        return _read_template(endpoint)
    return PriceForm(PriceKind.CODE, "", 0, len(endpoint))


def normal_price_endpoint(endpoint: str) -> str:
    """Return an endpoint in the spelling in which the price of a request is looked up.

    :raises PriceNotUnderstood: with a sentence that says what is wrong
    """
    _refuse_odd_text(endpoint)
    if endpoint.startswith("*"):
        return "*" + normal_escapes(endpoint[1:])
    return normal_endpoint(endpoint)


def _refuse_odd_text(endpoint: str) -> None:
    if not endpoint or endpoint != endpoint.strip() or not endpoint.isprintable():
        raise errors.PriceNotUnderstood("An endpoint needs at least one character, and no blanks around it.")
    if len(endpoint) > LONGEST_ENDPOINT:
        raise errors.PriceNotUnderstood(f"An endpoint has at most {LONGEST_ENDPOINT} characters.")
    if "?" in endpoint or "#" in endpoint:
        raise errors.PriceNotUnderstood("An endpoint has no query string or fragment: prices ignore them.")


def _read_template(endpoint: str) -> PriceForm:
    segments = endpoint.split("/")
    for segment in segments:
        if re.search(r"[{}]", segment) and not _PLACEHOLDER.fullmatch(segment):
            raise errors.PriceNotUnderstood(
                "A placeholder is a whole path segment in braces, such as /v1/items/{id}, "
                f"but {segment!r} is not one."
            )
    literals = [segment for segment in segments if not _PLACEHOLDER.fullmatch(segment)]
    pattern = "/".join("_%" if _PLACEHOLDER.fullmatch(segment) else _literal(segment) for segment in segments)
    return PriceForm(PriceKind.TEMPLATE, pattern, len(segments) - 1, sum(map(len, literals)))


def _literal(text: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", text)


def set_price(
    *,
    endpoint: str,
    credits: Decimal,
    effective_from: dt.datetime,
    minimum: Decimal = Decimal(0),
    method: str = "",
    charge_failures: bool = False,
    created_by_id: int | None = None,
) -> Price:
    """Add a version of an endpoint's price, `credits` a unit (0 is free), from a time on; old versions stay.

    A request costs at least `minimum` credits, unless its outcome makes it free; a price of 0 with a minimum above 0
    is not free. Setting the same price for the same time again returns the stored one.

    :raises PriceNotUnderstood: if the endpoint or method has no known form
    :raises PriceExists: if that time already has another price
    """
    endpoint = normal_price_endpoint(endpoint)
    form = read_endpoint(endpoint)
    if method and not _METHOD.fullmatch(method):
        raise errors.PriceNotUnderstood(f"A method is a word such as GET or POST, not {method!r}.")
    method = method.upper()
    try:
        with transaction.atomic():
            return Price.objects.create(
                endpoint=endpoint,
                method=method,
                **form._asdict(),
                credits=credits,
                minimum=minimum,
                charge_failures=charge_failures,
                effective_from=effective_from,
                created_by_id=created_by_id,
            )
    except IntegrityError:
        price = Price.objects.filter(endpoint=endpoint, method=method, effective_from=effective_from).first()
        if price is None:
            raise
        if (price.credits, price.minimum, price.charge_failures) != (credits, minimum, charge_failures):
            raise errors.PriceExists from None
        return price
