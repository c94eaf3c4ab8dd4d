"""The normal form of endpoints, so that every spelling of a path is priced, counted and stored as one endpoint.

RFC 3986, section 6: the case of percent-encodings, encoded characters that need not be, dot segments, and the path of
an absolute URL; besides, merged slashes, as nginx and most frameworks read them, and raw characters that a URL may not
hold (RFC 3987, section 3.1). Query string, fragment and user information are cut: clients write tokens there.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from django.conf import settings

_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
# Characters of a path that need no encoding; braces too, so that route templates stay as they are.
_PLAIN = r"A-Za-z0-9\-._~!$&'()*+,;=:@{}"
_SCHEME = r"(?:https?|wss?)://"
_NORMAL_PATH = rf"(?:/(?!\.{{1,2}}(?:/|\Z))[{_PLAIN}]++)*+/?"
# Already normal: a path in its normal form, or a code, which is any text that begins neither as a path nor as a URL.
_NORMAL = re.compile(rf"{_NORMAL_PATH}|(?!(?i:{_SCHEME}))[^/?#@][^?#@]*+", re.DOTALL)
_ABSOLUTE = re.compile(rf"{_SCHEME}[^/]*", re.IGNORECASE)
_USER_INFORMATION = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^/]*@")
_ESCAPE_OR_ODD = re.compile(rf"%[0-9A-Fa-f]{{2}}|[^/{_PLAIN}]", re.DOTALL)
_PLAIN_PUNCTUATION = "/-._~!$&'()*+,;=:@"


def normal_endpoint(text: str) -> str:
    """Return the normal form of a path or an http(s) URL, without query string and fragment.

    A code such as `translate` or `POST:/x` stays as it is, except for a query string or a password. A final slash
    stays: the price decides whether it matters (docs/decisions/0038). Repetition changes nothing; every text has a
    form.
    """
    if _NORMAL.fullmatch(text):
        return text or "/"
    path = re.split(r"[?#]", text, maxsplit=1)[0]
    path = _ABSOLUTE.sub("", path, count=1) if _ABSOLUTE.match(path) else path
    if path and not path.startswith("/"):
        return _USER_INFORMATION.sub(r"\1", path, count=1) if "@" in path else path
    return _without_dots(normal_escapes(path))


def endpoint_as_stored(text: str) -> str:
    """Return the normal form that is priced and stored; with the query string if KEEP_QUERY_STRINGS is set."""
    endpoint = normal_endpoint(text)
    if endpoint is not text and settings.KEEP_QUERY_STRINGS:
        query = text.partition("#")[0].partition("?")[2]
        return f"{endpoint}?{query}" if query else endpoint
    return endpoint


def path_of_decoded(path: str) -> str:
    """Encode a path that a server has decoded, so that a decoded `%3F` does not begin a query string."""
    return quote(path, safe=_PLAIN_PUNCTUATION, errors="replace")


def normal_escapes(text: str) -> str:
    """Return text with encodings in capitals: encode what a path may not contain, decode what needs no encoding."""
    return _ESCAPE_OR_ODD.sub(_normal_character, text)


def _normal_character(found: re.Match[str]) -> str:
    written = found.group()
    if len(written) == 1:
        return quote(written, safe="", errors="replace")
    meant = chr(int(written[1:], 16))
    return meant if meant in _UNRESERVED else written.upper()


def _without_dots(path: str) -> str:
    """Merge slashes, then remove dot segments (RFC 3986, 5.2.4)."""
    segments: list[str] = []
    parts = path.split("/")
    for part in parts:
        if part == "..":
            del segments[-1:]
        elif part not in {"", "."}:
            segments.append(part)
    is_folder = bool(segments) and parts[-1] in {"", ".", ".."}
    return "/" + "/".join(segments) + ("/" if is_folder else "")
