"""The SQL definitions of an app: read from its files, compared, and the script that leads from one set to another.

`<app>/sql/current/` holds the definitions in force, each once. `<app>/sql/released/` holds what migrations run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_TOKEN = re.compile(r"--[^\n]*|'(?:[^']|'')*'|(\$\w*\$).*?\1|;", re.DOTALL)
_QUOTED = re.compile(r"--[^\n]*|'(?:[^']|'')*'|(\$\w*\$).*?\1", re.DOTALL)
_COMMENTS = re.compile(r"\A(?:\s*--[^\n]*\n|\s*\n)*")
_CREATE = re.compile(r"CREATE (?:OR REPLACE )?(FUNCTION|TYPE|TRIGGER) (\w+)")
_DROP = re.compile(r"DROP (FUNCTION|TYPE|TRIGGER) (\w+)(?: ON (\w+))?;")
_ON_TABLE = re.compile(r"\bON (\w+)")

Key = tuple[str, str]  # FUNCTION, TYPE or TRIGGER, and the name; a trigger's is "name ON table"


class InvalidDefinition(Exception):
    """A file holds what is no function, type or trigger, or defines one twice."""


@dataclass(frozen=True)
class Definition:
    """One function, type or trigger."""

    kind: str
    name: str
    comment: str  # the lines right above it
    text: str  # from CREATE to the semicolon

    @property
    def key(self) -> Key:
        return self.kind, self.name

    @property
    def signature(self) -> str:
        """Return what PostgreSQL cannot replace in place: all of a type, arguments and result of a function."""
        if self.kind != "FUNCTION":
            return self.text
        arguments = _closing(self.text, self.text.index("("))
        result = re.match(
            r"\s*RETURNS (?:(?!\s(?:LANGUAGE|AS|STABLE|IMMUTABLE|VOLATILE|STRICT|SECURITY|SET|PARALLEL)\b).)*",
            self.text[arguments:],
            re.DOTALL,
        )
        return " ".join((self.text[:arguments] + (result.group() if result else "")).split())

    @property
    def checked_when_made(self) -> bool:
        """Return whether PostgreSQL looks up what the text mentions at once: of functions only in those in SQL."""
        return self.kind != "FUNCTION" or re.search(r"\bLANGUAGE sql\b", _QUOTED.sub("", self.text)) is not None

    def statement(self, *, replaces: bool = False) -> str:
        """Return the comment and the statement that makes it."""
        text = self.text.replace("CREATE ", "CREATE OR REPLACE ", 1) if replaces else self.text
        return f"{self.comment}\n{text}" if self.comment else text

    def dropping(self) -> str:
        return f"DROP {self.kind} {self.name};"

    def mentions(self, name: str) -> bool:
        return re.search(rf"\b{name}\b", self.text) is not None


Definitions = Mapping[Key, Definition]


def current_definitions(folder: Path) -> dict[Key, Definition]:
    """Return the definitions in force.

    :raises InvalidDefinition: if a file holds anything else, or one is there twice
    """
    found: dict[Key, Definition] = {}
    for file in sorted(folder.glob("*.sql")):
        for comment, text in _statements(file.read_text(encoding="utf-8"), file):
            made = _definition(comment, text)
            if made is None:
                raise InvalidDefinition(f"{file.name}: only functions, types and triggers stand here, not: {text[:60]}")
            if made.key in found:
                raise InvalidDefinition(f"{file.name}: {made.kind} {made.name} is defined twice.")
            found[made.key] = made
    return found


def released_definitions(files: Iterable[Path]) -> dict[Key, Definition]:
    """Return what is defined once migrations have run these files, in this order; other statements are passed over."""
    found: dict[Key, Definition] = {}
    for file in files:
        for comment, text in _statements(file.read_text(encoding="utf-8"), file):
            if dropped := _DROP.match(text):
                kind, name, table = dropped.groups()
                found.pop((kind, f"{name} ON {table}" if table else name), None)
            elif made := _definition(comment, text):
                found[made.key] = made
    return found


def script(before: Definitions, after: Definitions) -> str:
    """Return the SQL that leads from one set of definitions to another; empty: their texts are the same.

    What PostgreSQL cannot replace is dropped and made again, and with it what its signature rests on.
    """
    gone = [each for key, each in before.items() if key not in after]
    changed = [each for key, each in after.items() if key in before and before[key].text != each.text]
    remade = _remade(before, changed, gone)
    dropped = gone + [before[key] for key in remade]
    made = [each for key, each in after.items() if key not in before or key in remade]
    replaced = [each for each in changed if each.key not in remade]
    parts = [each.dropping() for each in reversed(_in_order(dropped))]
    parts += [each.statement(replaces=each in replaced) for each in _in_order(made + replaced)]
    return "\n\n".join(parts) + "\n" if parts else ""


def _remade(before: Definitions, changed: list[Definition], gone: list[Definition]) -> set[Key]:
    remade = {each.key for each in changed if each.signature != before[each.key].signature and each.kind != "TRIGGER"}
    left = {each.key for each in gone}
    while True:
        types = [name for kind, name in remade | left if kind == "TYPE"]
        rests = {
            key
            for key, each in before.items()
            if key not in remade | left
            and each.kind != "TRIGGER"
            and any(re.search(rf"\b{name}\b", each.signature) for name in types)
        }
        if not rests:
            return remade
        remade |= rests


def _in_order(definitions: list[Definition]) -> list[Definition]:
    """Put types first and triggers last, and whatever PostgreSQL looks up at once before what mentions it."""
    ordered: dict[Key, Definition] = {}
    for kind in ("TYPE", "FUNCTION", "TRIGGER"):
        alike = [each for each in definitions if each.kind == kind]
        for each in alike:
            _put(each, alike, ordered, above=frozenset())
    return list(ordered.values())


def _put(one: Definition, alike: list[Definition], ordered: dict[Key, Definition], *, above: frozenset[Key]) -> None:
    if one.key in ordered or one.key in above:
        return
    for each in alike if one.checked_when_made else ():
        if each is not one and one.mentions(each.name):
            _put(each, alike, ordered, above=above | {one.key})
    ordered[one.key] = one


def _statements(text: str, file: Path) -> Iterator[tuple[str, str]]:
    """Yield each statement of a file with the comment right above it."""
    start = 0
    for token in _TOKEN.finditer(text):
        if token.group() == ";":
            yield _parted(text[start : token.end()])
            start = token.end()
    if rest := _COMMENTS.sub("", text[start:]).strip():
        raise InvalidDefinition(f"{file.name}: a statement does not end: {rest[:60]}")


def _parted(statement: str) -> tuple[str, str]:
    above = _COMMENTS.match(statement)
    cut = above.end() if above else 0
    lines = statement[:cut].splitlines()
    first = len(lines)
    while first and lines[first - 1].startswith("--"):
        first -= 1
    return "\n".join(lines[first:]), statement[cut:].strip()


def _definition(comment: str, text: str) -> Definition | None:
    created = _CREATE.match(text)
    if created is None:
        return None
    kind, name = created.groups()
    if kind == "TRIGGER":
        table = _ON_TABLE.search(text)
        name = f"{name} ON {table.group(1)}" if table else name
    return Definition(kind, name, comment, text.replace("CREATE OR REPLACE ", "CREATE ", 1))


def _closing(text: str, opening: int) -> int:
    """Return the place behind the parenthesis that closes the one at `opening`."""
    depth = 0
    for place in range(opening, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if depth == 0:
            return place + 1
    raise InvalidDefinition(f"The arguments do not end: {text[:60]}")
