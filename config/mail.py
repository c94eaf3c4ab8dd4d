"""Sending one email: the one place that talks to the mail server, and what can go wrong there as one error."""

from __future__ import annotations

import smtplib
import sys
from email.errors import MessageError
from typing import Any

from django.core.mail import EmailMessage
from django.core.mail.backends.console import EmailBackend as ConsoleBackend

# What Django and Python's email package raise for an address or a text that makes no message: UnicodeError and
# BadHeaderError are ValueErrors; the parser of addresses also trips over its own indexes.
_NO_MESSAGE = (ValueError, LookupError, AttributeError, TypeError, MessageError)
_CLOSING = 421


class EmailNotSent(Exception):
    """An email was not taken by the mail server; `str()` says why.

    `is_about_server`: the next email would fare no better now. `is_hopeless`: this one never will, as it is.
    """

    def __init__(self, reason: str, *, is_about_server: bool = False, is_hopeless: bool = False) -> None:
        super().__init__(reason)
        self.is_about_server, self.is_hopeless = is_about_server, is_hopeless


class EmailBackend(ConsoleBackend):
    """Emails of a development installation: shown on stderr, since stdout is for data."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"stream": sys.stderr, **options})


def send_email(*, to: str, subject: str, body: str) -> None:
    """Hand one email to the mail server. It may take EMAIL_TIMEOUT and more: call it in commands, in no transaction.

    :raises EmailNotSent: whatever is wrong with the address, the text or the server, and nothing else
    """
    message = EmailMessage(subject=subject, body=body, to=[to])
    try:
        message.message()  # an address that cannot be encoded is found before anybody is connected to
    except _NO_MESSAGE as error:
        raise EmailNotSent(f"No email can be made of it: {error}", is_hopeless=True) from error
    try:
        message.send()
    except OSError as error:  # all of smtplib's errors among them
        raise EmailNotSent(str(error), is_about_server=_is_about_server(error)) from error
    except _NO_MESSAGE as error:
        raise EmailNotSent(str(error)) from error


def _is_about_server(error: OSError) -> bool:
    """Tell whether the next email would fare no better; a refused address or text is a matter of that email alone.

    The sender is the same in all of them. 421 is the server closing, whatever it was asked (RFC 5321, 3.8).
    """
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return any(code == _CLOSING for code, _ in error.recipients.values())
    if isinstance(error, smtplib.SMTPDataError):
        return error.smtp_code == _CLOSING
    return not isinstance(error, smtplib.SMTPNotSupportedError)
