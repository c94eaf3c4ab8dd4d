"""Email addresses and names of people: which are taken, and the one form in which an address is stored and looked up.

Every rule about them stands here; registering, entering and changing people all ask it.
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
# Marks that turn the direction of writing around, and so what stands beside them in a list (UAX 9).
_BIDIRECTIONAL = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
HIDES_SOMETHING = "must not contain control or bidirectional characters."
_UNSEEN = ("Cc", "Cs", "Cn", "Zl", "Zp")  # control characters, surrogates, unassigned ones, line and paragraph ends


def canonical_email(email: str) -> str:
    """Give the form in which an address is stored and compared: an international domain as its ASCII form.

    `a@bücher.example` and `a@xn--bcher-kva.example` are one mailbox (IDNA 2008 with the mapping of UTS 46, as browsers
    do it). Everything else stays as typed; the database compares without case. What is no address comes back as it is.
    """
    email = email.strip()
    local_part, at, domain = email.rpartition("@")
    ascii_form = _ascii_form(domain) if _is_international(domain) else None
    return email if ascii_form is None else f"{local_part}{at}{ascii_form}"


def validate_mailbox(email: str) -> None:
    """Take an address that a mail server can be asked to deliver to.

    :raises ValidationError: for what no mail can be sent to, or nobody's: quoted and non-ASCII local parts, address
        literals, names of this machine, domains that have no ASCII form, and anything too long
    """
    problem = _problem_of(canonical_email(email))
    if problem is not None:
        raise ValidationError(problem, code="invalid")


def validate_claim(email: str) -> None:
    """Take an address that somebody may say is theirs.

    :raises ValidationError: for what ends in `.invalid` (RFC 2606): imports name the customers of a log so, and a
        person with such an address could be taken for one (docs/decisions/0043)
    """
    if canonical_email(email).rstrip(".").lower().endswith((".invalid", "@invalid")):
        raise ValidationError("Enter an email address of your own: .invalid is nobody's.", code="invalid")


def validate_name(name: str) -> None:
    """Take a name that stands on one line, as it is read.

    :raises ValidationError: if it has control or bidirectional characters
    """
    if hides_something(name):
        raise ValidationError(f"Names {HIDES_SOMETHING}", code="invalid")


def hides_something(text: str) -> bool:
    """Tell whether a text of one line has characters that are not seen, or turn others around."""
    return any(each in _BIDIRECTIONAL or unicodedata.category(each) in _UNSEEN for each in text)


def _is_international(domain: str) -> bool:
    return not domain.isascii() or "xn--" in domain.lower()


def _ascii_form(domain: str) -> str | None:
    """Write an international domain in ASCII; None if it has no such form."""
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
    if labels[-1].lower() == "localhost":  # this machine, whichever name stands before it (RFC 6761, 6.3)
        return "Enter a valid email address: nothing can be sent to this domain."
    return None


def is_mailbox(email: str) -> bool:
    """Tell whether mail may be sent to an address that is stored: names that imports made are none (RFC 2606)."""
    return _problem_of(email) is None and not email.lower().endswith(".invalid")
