"""Apache's and nginx's "combined" log format, and the shorter "common" one.

https://httpd.apache.org/docs/2.4/mod/mod_log_config.html
"""

from __future__ import annotations

import datetime as dt
import re

from config.values.addresses import read_address
from config.values.times import NotAnInstant
from usage.services.imports.reported import LineParser, LineRejected, ReportedRequest, reported
from usage.services.imports.times import common_log_time

# Quoted fields escape " and \ by a backslash, and unprintable characters as \xHH.
_COMBINED = re.compile(
    r"(?P<host>\S+) (?P<identity>\S+) (?P<user>.+?) \[(?P<time>[^\]]+)\] "
    r'"(?P<request>(?:[^"\\]|\\.)*)" (?P<status>\d{3}) (?:\d+|-)'
    r'(?: "(?:[^"\\]|\\.)*" "(?:[^"\\]|\\.)*")?(?: .*)?',
    re.ASCII,
)
_METHOD = re.compile(r"[A-Za-z][A-Za-z-]*", re.ASCII)
_VERSION = re.compile(r"HTTP/\d(?:\.\d)?", re.ASCII)
_ESCAPED = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|(.))", re.DOTALL)
_LETTERS_ESCAPED = {"b": "\b", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "f": "\f"}
_LONGEST_FRONT = 500


def combined_parser(customer_field: str) -> LineParser:
    """Return a parser of the combined log format, whose customer is the `host` or the `user`.

    A line with anything before the host is rejected: a site (vhost_combined), addresses of proxies, the prefix of
    syslog or of a container's log. It would be read as the customer.

    :raises ValueError: if the format has no such field
    """
    if customer_field not in {"host", "user"}:
        raise ValueError(f"The combined format has no {customer_field}: use host or user.")

    def parse(line: str) -> ReportedRequest:
        form = _COMBINED.fullmatch(line)
        if form is None:
            raise LineRejected(_why_not(line))
        if form["identity"] != "-" or " " in form["user"]:
            _refuse_columns_before_the_host(form)
        customer = form[customer_field]
        if customer == "-":
            raise LineRejected(f"it names no {customer_field}")
        method, path = read_request_line(form["request"])
        return reported(
            customer,
            path=path,
            method=method,
            status=int(form["status"]),
            occurred_at=_time(form["time"]),
        )

    return parse


def _refuse_columns_before_the_host(form: re.Match[str]) -> None:
    """Refuse a line whose identity or user is impossible.

    An identity (RFC 1413) is rarely logged, and is one word; a user may contain blanks, but neither an address nor a
    lone hyphen.
    """
    words = form["user"].split(" ")
    is_identity = form["identity"] == "-" or (len(words) == 1 and read_address(form["identity"]) is None)
    is_user = len(words) == 1 or not any(word in {"-", ""} or read_address(word) is not None for word in words)
    if not (is_identity and is_user):
        raise LineRejected(
            f"something stands before the host, as in vhost_combined or behind a syslog prefix: {form['host'][:80]!r}"
        )


def _why_not(line: str) -> str:
    if line.startswith("{"):
        return "it is not in the combined log format, but looks like JSON: use --format jsonl"
    front, bracket, rest = line.partition("[")
    words = front[:_LONGEST_FRONT].split()
    if len(words) > 3 and _COMBINED.fullmatch(" ".join([*words, bracket + rest])):
        return "something stands before the host, such as a syslog prefix"
    return "it is not in the combined log format"


def read_request_line(request: str) -> tuple[str, str]:
    """Return the method and path of a request line, in which a client may write any number of blanks.

    Text that is not a request line, such as a TLS handshake on the wrong port, is returned whole as the path.
    """
    method, blank, rest = request.partition(" ")
    target, is_parted, version = rest.strip(" ").rpartition(" ")
    has_version = bool(is_parted) and _VERSION.fullmatch(version) is not None
    path = target.rstrip(" ") if has_version else rest.strip(" ")
    is_method = _METHOD.fullmatch(method) and (has_version or method.isupper())
    if not (blank and path and is_method):
        return "", request or "-"
    return method, _ESCAPED.sub(_percent_encoded, path) if "\\" in path else path


def _percent_encoded(escape: re.Match[str]) -> str:
    if escape[1] is not None:
        return f"%{escape[1]}"
    meant = _LETTERS_ESCAPED.get(escape[2], escape[2])
    return "".join(f"%{byte:02X}" for byte in meant.encode(errors="replace"))


def _time(text: str) -> dt.datetime:
    try:
        return common_log_time(text)
    except NotAnInstant as error:
        raise LineRejected(f"its time {text[:80]!r} cannot be read: {error}") from None
