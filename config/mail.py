"""Send one email: the only module that uses the mail server, with one error for every failure."""

from __future__ import annotations

import smtplib
import sys
from email.errors import MessageError
from typing import Any

from django.core.mail import EmailMessage
from django.core.mail.backends.console import EmailBackend as ConsoleBackend

# What Django and Python's email package raise for an invalid address or text: UnicodeError and
# BadHeaderError are ValueErrors; the parser of addresses also trips over its own indexes.
_NO_MESSAGE = (ValueError, LookupError, AttributeError, TypeError, MessageError)
_CLOSING = 421


class EmailNotSent(Exception):
    """The mail server did not accept an email; `str()` is the reason.

    `is_about_server`: the next email would fail too. `is_hopeless`: this one will always fail.
    """

    def __init__(self, reason: str, *, is_about_server: bool = False, is_hopeless: bool = False) -> None:
        super().__init__(reason)
        self.is_about_server, self.is_hopeless = is_about_server, is_hopeless


class EmailBackend(ConsoleBackend):
    """Print the emails of a development installation to stderr, since stdout is for data."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"stream": sys.stderr, **options})


def send_email(*, to: str, subject: str, body: str) -> None:
    """Send one email. It may take longer than EMAIL_TIMEOUT: call it in commands, outside any transaction.

    :raises EmailNotSent: for every failure of the address, the text or the server; nothing else is raised
    """
    message = EmailMessage(subject=subject, body=body, to=[to])
    try:
        message.message()  # an address that cannot be encoded fails before connecting
    except _NO_MESSAGE as error:
        raise EmailNotSent(f"No email can be made of it: {error}", is_hopeless=True) from error
    try:
        message.send()
    except OSError as error:  # all of smtplib's errors among them
        raise EmailNotSent(str(error), is_about_server=_is_about_server(error)) from error
    except _NO_MESSAGE as error:
        raise EmailNotSent(str(error)) from error


def _is_about_server(error: OSError) -> bool:
    """Return whether the next email would fail too; a refused address or text concerns that email alone.

    All emails have the same sender. 421 means that the server is closing, for any command (RFC 5321, 3.8).
    """
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return any(code == _CLOSING for code, _ in error.recipients.values())
    if isinstance(error, smtplib.SMTPDataError):
        return error.smtp_code == _CLOSING
    return not isinstance(error, smtplib.SMTPNotSupportedError)
