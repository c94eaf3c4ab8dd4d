"""One sentence for any exception, for terminals and logs."""

from __future__ import annotations

import builtins

from django import db
from django.core.exceptions import ObjectDoesNotExist, ValidationError

from config.db.failures import is_database_away


def sentence_of(error: BaseException) -> str:
    """Return one line about an error; an unexpected one is named by its class."""
    if isinstance(error, KeyboardInterrupt):
        return "Interrupted."
    if isinstance(error, db.Error):
        problem = "The database cannot be used" if is_database_away(error) else "The database refused"
        return f"{problem}: {_first_line(error)}"
    if isinstance(error, ValidationError):
        return " ".join(error.messages)
    if is_unexpected(error):
        return f"Unexpected {type(error).__name__}: {_first_line(error)}"
    return _first_line(error)


def is_unexpected(error: BaseException) -> bool:
    """Return whether an error is unexpected and needs a traceback: neither a refusal nor an error of the database."""
    if isinstance(error, db.Error | ValidationError | KeyboardInterrupt):
        return False
    is_worded = not hasattr(builtins, type(error).__name__) or isinstance(error, OSError)
    return not is_worded or isinstance(error, ObjectDoesNotExist)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
