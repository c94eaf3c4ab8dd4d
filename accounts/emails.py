"""Email addresses and names of people: which are accepted, and the canonical form of an address.

All rules about them are in this module; registration, commands and the back office use it.
"""

from __future__ import annotations

import re
import unicodedata

import idna
from django.core.exceptions import ValidationError

LONGEST_EMAIL = 254  # RFC 5321, 4.5.3.1.3, less the angle brackets
_LONGEST_LOCAL_PART = 64  # RFC 5321, 4.5.3.1.1
_LONGEST_DOMAIN = 253
_DOT_ATOM = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*", re.ASCII | re.IGNORECASE)
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)", re.ASCII | re.IGNORECASE)
# Marks that change the direction of text, and so of the text beside it in a list (UAX 9).
_BIDIRECTIONAL = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
HIDES_SOMETHING = "must not contain control or bidirectional characters."
_UNSEEN = ("Cc", "Cs", "Cn", "Zl", "Zp")  # control characters, surrogates, unassigned ones, line and paragraph ends


def canonical_email(email: str) -> str:
    """Return the form in which an address is stored and compared: an international domain becomes ASCII.

    `a@bücher.example` and `a@xn--bcher-kva.example` are one mailbox (IDNA 2008 with the mapping of UTS 46, as browsers
    do it). The rest stays as typed; the database ignores case. A text that is no address is returned unchanged.
    """
    email = email.strip()
    local_part, at, domain = email.rpartition("@")
    ascii_form = _ascii_form(domain) if _is_international(domain) else None
    return email if ascii_form is None else f"{local_part}{at}{ascii_form}"


def validate_mailbox(email: str) -> None:
    """Validate that a mail server can deliver to an address.

    :raises ValidationError: for addresses that cannot receive mail: quoted and non-ASCII local parts, address
        literals, names of this machine, domains without an ASCII form, and addresses that are too long
    """
    problem = _problem_of(canonical_email(email))
    if problem is not None:
        raise ValidationError(problem, code="invalid")


def validate_claim(email: str) -> None:
    """Validate that a person may claim an address.

    :raises ValidationError: for addresses in `.invalid` (RFC 2606): imports use them for the customers of a log, and a
        person with such an address could be taken for one (docs/decisions/0043)
    """
    if canonical_email(email).rstrip(".").lower().endswith((".invalid", "@invalid")):
        raise ValidationError("Enter an email address of your own: .invalid is nobody's.", code="invalid")


def validate_name(name: str) -> None:
    """Validate that a name is one line and displays as it is stored.

    :raises ValidationError: if it has control or bidirectional characters
    """
    if has_hidden_characters(name):
        raise ValidationError(f"Names {HIDES_SOMETHING}", code="invalid")


def has_hidden_characters(text: str) -> bool:
    """Return whether a line of text has invisible characters or ones that change the direction of text."""
    return any(each in _BIDIRECTIONAL or unicodedata.category(each) in _UNSEEN for each in text)


def _is_international(domain: str) -> bool:
    return not domain.isascii() or "xn--" in domain.lower()


def _ascii_form(domain: str) -> str | None:
    """Return an international domain in ASCII; None if it has no such form."""
    try:
        return idna.encode(domain[: _LONGEST_DOMAIN + 1], uts46=True).decode()
    except UnicodeError:
        return None


def _problem_of(email: str) -> str | None:
    local_part, _, domain = email.rpartition("@")
    if len(email) > LONGEST_EMAIL or len(local_part) > _LONGEST_LOCAL_PART or len(domain) > _LONGEST_DOMAIN:
        return f"Email addresses have at most {_LONGEST_LOCAL_PART} characters before the @ and {LONGEST_EMAIL} in all."
    if _DOT_ATOM.fullmatch(local_part) is None:
        return "Enter a valid email address."
    labels = domain.split(".")
    if len(labels) < 2 or labels[-1].isdigit() or not all(_LABEL.fullmatch(label) for label in labels):
        return "Enter a valid email address: its domain is a name such as example.com."
    if _is_international(domain) and _ascii_form(domain) is None:
        return "Enter a valid email address: its domain is no international domain name."
    if labels[-1].lower() == "localhost":  # this machine, with any subdomain (RFC 6761, 6.3)
        return "Enter a valid email address: nothing can be sent to this domain."
    return None


def is_mailbox(email: str) -> bool:
    """Return whether mail may be sent to a stored address; `.invalid` addresses of imports may not (RFC 2606)."""
    return _problem_of(email) is None and not email.lower().endswith(".invalid")
