"""`sql/current/` is exactly what the database runs, each definition once; released text never changes."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from django.conf import settings

from config.db.definitions import InvalidDefinition, current_definitions, script
from tests.config.sql_snapshot import snapshot, types_of

APPS = ("ledger", "usage")
ROOT = Path(settings.BASE_DIR)
MOST_LINES = 80
# Functions that are longer, and the cost of splitting them.
LONGER = {
    "usage_charge": "each function more that a charge calls costs 2 % or more of its CPU time: the log alone 2.3 %",
}


def definitions_in_force():
    return {key: each for app in APPS for key, each in current_definitions(ROOT / app / "sql" / "current").items()}


def test_the_database_has_exactly_what_stands_in_current(owner):
    in_force = definitions_in_force().values()

    assert set(snapshot(owner)) == {f"{each.kind} {each.name}" for each in in_force}


def test_no_definition_changes_when_all_of_current_is_created_again(owner):
    before = snapshot(owner)

    for each in definitions_in_force().values():
        if each.kind != "TYPE":
            owner.execute(each.statement(replaces=True))

    assert snapshot(owner) == before


def test_the_types_of_the_database_are_those_of_current(owner):
    there = types_of(owner, "public")
    owner.execute("CREATE SCHEMA again; SET LOCAL search_path = again, public")

    owner.execute(script({}, {key: each for key, each in definitions_in_force().items() if each.kind == "TYPE"}))

    assert types_of(owner, "again") == there


@pytest.mark.parametrize("app", APPS)
def test_every_definition_stands_once(app, tmp_path):
    texts = [file.read_text(encoding="utf-8") for file in (ROOT / app / "sql" / "current").glob("*.sql")]
    names = re.findall(r"^CREATE (\w+ \w+)", "\n".join(texts), re.MULTILINE)

    assert len(names) == len(set(names)) == len(current_definitions(ROOT / app / "sql" / "current"))
    (tmp_path / "twice.sql").write_text("CREATE TYPE a AS (b text);\nCREATE TYPE a AS (b text);", encoding="utf-8")
    with pytest.raises(InvalidDefinition, match="TYPE a is defined twice"):
        current_definitions(tmp_path)


def test_no_function_is_long():
    lines = {each.name: len(each.text.splitlines()) for each in definitions_in_force().values()}

    assert {name for name, count in lines.items() if count > MOST_LINES} == set(LONGER)


@pytest.mark.parametrize(
    "file", sorted(ROOT.glob("*/sql/current/*.sql")), ids=lambda file: f"{file.parts[-4]}/{file.stem}"
)
def test_each_file_begins_with_what_it_promises_who_calls_it_and_what_it_locks(file):
    head = file.read_text(encoding="utf-8").split("\n\n")[0]

    assert all(line.startswith("--") for line in head.splitlines())
    for said in (r"Promises ", r"Called by ", r"[Ll]ocks"):
        assert re.search(said, head), f"{file.name} does not say: {said}"


def test_heads_name_callers_that_are_there():
    heads = "\n".join(
        file.read_text(encoding="utf-8").split("\n\n")[0] for file in ROOT.glob("*/sql/current/*.sql")
    ).replace("\n-- ", " ")
    named = [
        (path, name)
        for path, names in re.findall(r"([\w/]+\.py)((?::\w+,? ?(?:and )?)*)", heads)
        for name in re.findall(r":(\w+)", names) or [""]
    ]

    assert len(named) > 30
    assert [(path, name) for path, name in named if name not in (ROOT / path).read_text(encoding="utf-8")] == []


@pytest.mark.parametrize("app", APPS)
def test_released_text_has_its_checksum(app):
    folder = ROOT / app / "sql" / "released"
    written = dict(
        reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    )

    assert written == {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.glob("*.sql")}, (
        f"Released SQL is never edited: change sql/current/ and run manage.py freeze_sql {app} NNNN_name."
    )


@pytest.mark.parametrize("app", APPS)
def test_every_released_file_is_run_by_the_migration_that_freeze_sql_names(app):
    migrations = "".join(file.read_text(encoding="utf-8") for file in (ROOT / app / "migrations").glob("0*.py"))
    run = set(re.findall(r'sql_file\(__file__, "(\w+)"\)', migrations))

    assert {file.name.split(".")[0] for file in (ROOT / app / "sql" / "released").glob("*.sql")} == run
