"""Settings from the environment: each is read once and validated; an error is a sentence that names it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeVar
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from config.values.credits import parse_credits

Value = TypeVar("Value")

_env = environ.Env()
_FEWEST_CHARACTERS = 8  # different ones: a random text of 16 hexadecimal digits has fewer once in a thousand times
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


def text(name: str, default: str = "") -> str:
    """Read a text; unset and empty mean the default."""
    value: str = _env.str(name, default="").strip()
    return value or default


def _parsed(name: str, default: Value, parse: Callable[[str], Value], wanted: str) -> Value:
    raw = text(name)
    if not raw:
        return default
    try:
        return parse(raw)
    except (ValueError, KeyError):
        raise ImproperlyConfigured(f"{name} must be {wanted}, not {raw!r}.") from None


def choice(name: str, default: str, allowed: tuple[str, ...]) -> str:
    """Read one of a few words."""
    return _parsed(name, default, lambda raw: {word: word for word in allowed}[raw], " or ".join(allowed))


def flag(name: str, *, default: bool) -> bool:
    """Read a boolean."""
    words = dict.fromkeys(_TRUE, True) | dict.fromkeys(_FALSE, False)
    return _parsed(name, default, lambda raw: words[raw.lower()], "true or false")


def whole_number(name: str, default: int, *, least: int = 0, most: int = 2_147_483_647) -> int:
    """Read a whole number between two bounds, both included."""

    def parse(raw: str) -> int:
        value = int(raw) if raw.isascii() and raw.isdigit() else -1
        if not least <= value <= most:
            raise ValueError
        return value

    return _parsed(name, default, parse, f"a whole number from {least} to {most}")


def words(name: str, default: tuple[str, ...] = ()) -> list[str]:
    """Read a list separated by commas."""
    return [word.strip() for word in text(name).split(",") if word.strip()] or list(default)


def pairs(name: str) -> dict[str, str]:
    """Read a list of pairs such as `a=b, c=d`; the last equals sign of a pair separates it."""

    def parse(raw: str) -> dict[str, str]:
        parted = [word.rpartition("=") for word in raw.split(",") if word.strip()]
        read = {left.strip(): right.strip() for left, _, right in parted}
        if not all(read) or not all(read.values()):
            raise ValueError
        return read

    return _parsed(name, {}, parse, "pairs such as a=b, parted by commas")


def networks(name: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Read a list of addresses and networks in CIDR form."""
    return _networks(name, words(name), "addresses or networks such as 10.0.0.0/8, parted by commas")


def proxies(name: str) -> tuple[list[ipaddress.IPv4Network | ipaddress.IPv6Network], bool]:
    """Read a list of networks that may include the word `unix`; the second value is whether it does."""
    named = words(name)
    others = [word for word in named if word != "unix"]
    wanted = "addresses or networks such as 10.0.0.0/8, parted by commas, or unix for a Unix socket"
    return _networks(name, others, wanted), "unix" in named


def _networks(name: str, named: list[str], wanted: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    try:
        return [ipaddress.ip_network(word) for word in named]
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be {wanted}, not {text(name)!r}.") from None


def http_url(name: str, default: str) -> str:
    """Read an http(s) URL."""

    def parse(raw: str) -> str:
        parts = urlsplit(raw)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise ValueError
        return raw

    return _parsed(name, default, parse, "an http or https address")


def price(name: str, default: tuple[Decimal, str] | None) -> tuple[Decimal, str] | None:
    """Read an amount of money and the ISO 4217 code of its currency: `10.00 USD`."""

    def parse(raw: str) -> tuple[Decimal, str]:
        found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ([A-Z]{3})", raw)
        if found is None:
            raise ValueError
        return Decimal(found[1]), found[2]

    return _parsed(name, default, parse, "an amount and its currency, such as 10.00 USD")


def credits(name: str, default: str) -> Decimal:
    """Read an amount of credits, 0 or more."""
    return _parsed(
        name, Decimal(default), lambda raw: parse_credits(raw, allow_zero=True), "an amount of credits such as 1000"
    )


def refuse_weak(name: str, value: str, *, least: int, known: str = "") -> None:
    """Refuse a secret that can be guessed: too short, published, or with too few different characters.

    :raises ImproperlyConfigured: naming the setting, and not the secret
    """
    is_repeated = re.fullmatch(r"(.{1,10})\1+.{0,10}", value, re.DOTALL) is not None
    is_weak = len(value) < least or value == known or len(set(value)) < _FEWEST_CHARACTERS or is_repeated
    if is_weak or value.startswith("django-insecure"):
        raise ImproperlyConfigured(f"{name} must be a secret of at least {least} random characters in production.")


def email(name: str, default: str) -> dict[str, Any]:
    """Read where emails go, as Django's EMAIL settings: `smtp+tls://user:password@host:587`, `consolemail://`."""
    try:
        config: dict[str, Any] = _env.email_url_config(text(name, default))
    except (ValueError, KeyError, ImproperlyConfigured):
        config = {}
    if not config.get("EMAIL_BACKEND"):
        raise ImproperlyConfigured(f"{name} must look like smtp+tls://user:password@host:587, or consolemail://.")
    if config["EMAIL_BACKEND"] == "django.core.mail.backends.console.EmailBackend":
        config["EMAIL_BACKEND"] = "config.mail.EmailBackend"
    return {name: value for name, value in config.items() if name.startswith("EMAIL_")}


def database(name: str) -> dict[str, Any] | None:
    """Read a PostgreSQL URL, as Django's DATABASES needs it; None if unset.

    `postgres://user:password@host:port/name?option=value`, as libpq itself reads it: several hosts, and every option
    that libpq knows. A socket folder is percent-encoded in place of the host, or a path before the name:
    `postgres://user@:5432//var/run/postgresql/name`.
    """
    raw = text(name)
    if not raw:
        return None
    asked = _postgres_parts(name, raw)
    if asked.keys() & _NOT_TO_CHOOSE:
        refused = ", ".join(sorted(asked.keys() & _NOT_TO_CHOOSE))
        raise ImproperlyConfigured(f"{name} must not set {refused}: Tollbook needs its own.")
    if asked.get("dbname", "").startswith("/") and not asked.get("host"):
        asked["host"], _, asked["dbname"] = asked["dbname"].rpartition("/")
    if not asked.get("dbname"):
        raise ImproperlyConfigured(f"{name} must look like {_DATABASE_FORM}.")
    place = {setting: asked.pop(part, "") for setting, part in _PLACES.items()}
    return {"ENGINE": "django.db.backends.postgresql", **place, "OPTIONS": asked}


_DATABASE_FORM = "postgres://user:password@host:5432/name"
_PLACES = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
_NOT_TO_CHOOSE = {"client_encoding", "replication"}


def _postgres_parts(name: str, raw: str) -> dict[str, str]:
    """Return the parts of a URL as libpq parses it; of its error only the option's name is kept, not a password."""
    scheme, separator, rest = raw.partition("://")
    if scheme not in {"postgres", "postgresql", "psql", "pgsql"} or not separator:
        raise ImproperlyConfigured(f"{name} must look like {_DATABASE_FORM}.")
    options = [part.partition("=") for part in rest.partition("?")[2].split("&") if part]
    names = [option for option, _, _ in options]
    if len(names) != len(set(names)) or not all(value for _, _, value in options):
        raise ImproperlyConfigured(f"{name} has an option that is given twice, or without a value.")
    try:
        return {part: str(value) for part, value in conninfo_to_dict(f"postgresql://{rest}").items()}
    except ProgrammingError as error:
        unknown = re.search(r'invalid URI query parameter: "(\w+)"', str(error))
        wrong = f"has an option that libpq does not know: {unknown[1]}" if unknown else "cannot be read"
        raise ImproperlyConfigured(f"{name} {wrong}. It must look like {_DATABASE_FORM}?option=value.") from None
