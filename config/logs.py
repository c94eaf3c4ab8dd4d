"""Log formatters: JSON for machines, plain for people; secrets in a line are redacted."""

from __future__ import annotations

import datetime as dt
import json
import logging
import re
from typing import Any

ACCESS_FIELDS = ("method", "route", "status", "duration_ms", "user_id", "api_key")

# Our code does not log them; the text of an exception or a path may contain one.
_SECRETS = (
    (re.compile(r"\b(tb_live_[0-9A-Za-z]{12})_[0-9A-Za-z]{10,}"), r"\1_…"),
    (re.compile(r"\beyJ[\w-]{5,}\.[\w-]+\.[\w-]*"), "…"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[^\s'\"]+"), r"\1 …"),
    (re.compile(r"(?i)\b([\w.+-]+://[^\s:/@]*):[^\s@/]+@"), r"\1:…@"),
    (
        re.compile(r"(?i)\b(password|secret|token|refresh|access|api_?key)(['\"]?\s*[=:]\s*['\"]?)[^\s'\"&,;)]+"),
        r"\1\2…",
    ),
)
# A caller's text that needs no quotes in a line: it has no blank, and is not the `-` that means no request.
_PLAIN = re.compile(r"(?!-$)[\w.:/+=@{}~%-]+", re.ASCII)
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), 127, 0x85, 0x2028, 0x2029) if code != 10}


def without_secrets(text: str) -> str:
    """Redact what looks like a key, a token or a password."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, request id, and the record's extra fields."""

    def format(self, record: logging.LogRecord) -> str:
        is_access = record.name == "tollbook.access"
        line: dict[str, Any] = {
            "time": f"{dt.datetime.fromtimestamp(record.created, dt.UTC):%Y-%m-%dT%H:%M:%S.%f}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage() if is_access else without_secrets(record.getMessage()),
            "request_id": getattr(record, "request_id", "-"),
        }
        if is_access:
            line |= {name: getattr(record, name) for name in ACCESS_FIELDS}
        if record.exc_info:
            line["exception"] = without_secrets(self.formatException(record.exc_info))
        return json.dumps(line, default=str)  # ASCII: no character in it can end the line


def quoted(text: str) -> str:
    """Quote a caller's text unless it is one plain word, so that it cannot look like the fields around it."""
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


class LineFormatter(logging.Formatter):
    """One readable line, and a traceback below it. Callers' texts (request id, path) are quoted."""

    def format(self, record: logging.LogRecord) -> str:
        at = f"{dt.datetime.fromtimestamp(record.created, dt.UTC):%H:%M:%S.%f}"[:-3]
        message = without_secrets(_message_of(record))
        if record.name == "tollbook.access":
            caller = f" user {record.user_id}" if record.user_id is not None else ""  # type: ignore[attr-defined]
            key = f" key {record.api_key}" if record.api_key else ""  # type: ignore[attr-defined]
            message += f" {record.duration_ms} ms{caller}{key}"  # type: ignore[attr-defined]
        request_id = getattr(record, "request_id", "-")
        shown = quoted(request_id) if getattr(record, "in_request", request_id != "-") else request_id
        line = f"{at} {record.levelname} {shown} {record.name} {message}"
        line = line.replace("\n", "\\n").translate(_CONTROLS)
        return f"{line}\n{without_secrets(self.formatException(record.exc_info))}" if record.exc_info else line


def _message_of(record: logging.LogRecord) -> str:
    """Return a record's message; the paths in Django's own messages are quoted."""
    if record.name.startswith("django.") and isinstance(record.args, tuple):
        paths = (isinstance(each, str) and each.startswith("/") for each in record.args)
        shown = (quoted(str(each)) if is_path else each for each, is_path in zip(record.args, paths, strict=True))
        return str(record.msg) % tuple(shown)
    return record.getMessage()


class DropJobFailures(logging.Filter):
    """Drop procrastinate's records of failed jobs, which `tollbook.jobs` has logged without a traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not str(getattr(record, "action", "")).startswith("job_")


class DropRefusalWarnings(logging.Filter):
    """Drop Django's warnings about refused requests: the access line reports them."""

    def filter(self, record: logging.LogRecord) -> bool:
        return getattr(record, "status_code", 500) >= 500
