"""`manage.py freeze_sql`: from an edited `sql/current/` to a migration that applies and reverses it."""

from __future__ import annotations

import importlib.util
import shutil
from io import StringIO
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import CommandError, call_command

from config.db import freezing
from config.db.definitions import current_definitions, released_definitions
from tests.config.sql_snapshot import snapshot

ROOT = Path(settings.BASE_DIR)
NEWEST = {app: max(file.stem for file in (ROOT / app / "migrations").glob("0*.py")) for app in ("ledger", "usage")}
SEQ_AT = "ledger_first_seq_at(p_user_id bigint, p_at timestamptz)"


class Copy:
    """An editable copy of an app's SQL and migrations."""

    def __init__(self, folder: Path, label: str) -> None:
        self.label, self.folder = label, folder / label
        for part in ("sql", "migrations"):
            shutil.copytree(ROOT / label / part, self.folder / part, ignore=shutil.ignore_patterns("__pycache__"))

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.folder / "sql" / "current" / f"{file}.sql"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    def append(self, file: str, text: str) -> None:
        path = self.folder / "sql" / "current" / f"{file}.sql"
        path.write_text(path.read_text(encoding="utf-8") + "\n" + text, encoding="utf-8")

    def freeze(self, name: str, *options: str) -> list[str]:
        out = StringIO()
        call_command("freeze_sql", self.label, name, *options, stdout=out)
        return out.getvalue().split()

    def read(self, path: str) -> str:
        return (self.folder / path).read_text(encoding="utf-8")

    def operation(self, name: str):
        """Load the migration that was written and return its one operation."""
        file = self.folder / "migrations" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(f"frozen_{name}", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        (operation,) = module.Migration.operations
        return operation

    def files(self) -> dict[str, bytes]:
        return {str(file): file.read_bytes() for file in self.folder.rglob("*") if file.is_file()}


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    copy = Copy(tmp_path, "ledger")
    monkeypatch.setattr(apps.get_app_config("ledger"), "path", str(copy.folder))
    return copy


@pytest.fixture
def usage(tmp_path, monkeypatch):
    copy = Copy(tmp_path, "usage")
    monkeypatch.setattr(apps.get_app_config("usage"), "path", str(copy.folder))
    return copy


def change_a_body(ledger: Copy) -> None:
    ledger.edit("thresholds", "BEGIN", "BEGIN\n    -- Edited.")


def test_a_changed_function_is_frozen_alone(ledger):
    ledger.edit("subscriptions", "WHEN 'yearly' THEN 12", "WHEN 'yearly' THEN 12 WHEN 'weekly' THEN 0")

    written = ledger.freeze("9990_weekly")

    assert [Path(each).name for each in written] == ["9990_weekly.sql", "9990_weekly.undo.sql", "9990_weekly.py"]
    forwards = ledger.read("sql/released/9990_weekly.sql")
    assert forwards.count("CREATE ") == 1
    assert "CREATE OR REPLACE FUNCTION ledger_months_of" in forwards
    assert "'weekly'" not in ledger.read("sql/released/9990_weekly.undo.sql")
    assert f'dependencies = [("ledger", "{NEWEST["ledger"]}")]' in ledger.read("migrations/9990_weekly.py")
    assert " 9990_weekly.undo.sql\n" in ledger.read("sql/released/SHA256SUMS")


def test_a_frozen_file_leads_from_released_to_current_and_its_undo_back(ledger, owner):
    released = snapshot(owner)
    change_a_body(ledger)
    # A function whose arguments change, a type with a new column, one that is gone with its function, and new ones.
    ledger.edit(
        "reconciliation", "CREATE FUNCTION ledger_first_seq_at(", "CREATE FUNCTION ledger_first_seq_at(p_more text, "
    )
    ledger.edit("controls", "    overdrawn numeric\n", "    overdrawn numeric,\n    more text\n")
    ledger.append("anchors", "CREATE TYPE ledger_new AS (entry ledger_outcome);\n")
    ledger.append(
        "anchors", "CREATE FUNCTION ledger_made(p ledger_new) RETURNS text LANGUAGE sql AS $$ SELECT 'x;' $$;\n"
    )
    ledger.append(
        "anchors",
        "CREATE TRIGGER made BEFORE TRUNCATE ON ledger_cardsaving\n"
        "    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();\n",
    )
    ledger.freeze("9990_edited")
    operation = ledger.operation("9990_edited")

    owner.execute(operation.sql)
    then = snapshot(owner)
    owner.execute(operation.reverse_sql)

    assert set(then) - set(released) == {"TYPE ledger_new", "FUNCTION ledger_made", "TRIGGER made ON ledger_cardsaving"}
    assert {name for name in released if then.get(name) != released[name]} == {
        "FUNCTION ledger_note_crossing", "FUNCTION ledger_watch", "FUNCTION ledger_rearm",
        "FUNCTION ledger_look_at_threshold", "FUNCTION ledger_first_seq_at", "TYPE ledger_terms_outcome",
    }  # fmt: skip
    assert snapshot(owner) == released


def test_a_definition_removed_from_current_is_dropped_and_its_undo_creates_it(ledger, owner):
    released = snapshot(owner)
    text = current_definitions(ledger.folder / "sql" / "current")[("FUNCTION", "ledger_rearm")].text
    ledger.edit("thresholds", text, "")
    ledger.freeze("9990_no_rearm")
    operation = ledger.operation("9990_no_rearm")

    owner.execute(operation.sql)
    then = snapshot(owner)
    owner.execute(operation.reverse_sql)

    assert set(released) - set(then) == {"FUNCTION ledger_rearm"}
    assert snapshot(owner) == released


def test_frozen_definitions_are_released(ledger):
    change_a_body(ledger)
    ledger.freeze("9990_edited")
    app = freezing.AppSql("ledger", ledger.folder)

    released = released_definitions(app.released_files())

    assert {key: each.text for key, each in released.items()} == {
        key: each.text for key, each in current_definitions(app.current).items()
    }
    with pytest.raises(CommandError, match="Nothing has changed"):
        ledger.freeze("9991_again")


def test_a_comment_above_a_definition_alone_is_no_change(ledger):
    ledger.edit("subscriptions", "-- The time so many months later", "-- So many months later")

    with pytest.raises(CommandError, match="Nothing has changed"):
        ledger.freeze("9990_comment")


def test_the_newest_can_be_written_again_until_it_is_released(ledger, owner):
    change_a_body(ledger)
    ledger.freeze("9990_edited")
    ledger.edit("thresholds", "-- Edited.", "-- Edited twice.")

    ledger.freeze("9990_edited", "--again")

    forwards = ledger.read("sql/released/9990_edited.sql")
    assert "-- Edited twice." in forwards
    assert "Edited" not in ledger.read("sql/released/9990_edited.undo.sql")
    with pytest.raises(CommandError, match="Only the newest migration can be written again, where it runs SQL: 9990"):
        ledger.freeze("0002_rules", "--again")


def test_a_migration_follows_the_other_app_whose_definitions_it_mentions(usage):
    usage.append("refunds", "CREATE FUNCTION usage_new() RETURNS ledger_outcome LANGUAGE sql AS 'SELECT NULL';\n")

    usage.freeze("9990_new")

    ledgers = max(
        file.stem for file in (ROOT / "ledger" / "sql" / "released").glob("[0-9]*.sql") if "undo" not in file.name
    )
    follows = f'("usage", "{NEWEST["usage"]}"),\n        ("ledger", "{ledgers}"),'
    assert follows in usage.read("migrations/9990_new.py")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("0002_other", f"The number 0002 is taken: the newest migration of ledger is {NEWEST['ledger']}."),
        ("9990_rules", "The name rules is taken by 0002_rules."),
        ("3_words", "3_words is no name of a migration"),
        ("9990", "9990 is no name of a migration"),
        ("9990_Words", "9990_Words is no name of a migration"),
        ("9990_a/../b", "9990_a/../b is no name of a migration"),
        ("9990__a", "9990__a is no name of a migration"),
        ("9990_a\n", "is no name of a migration"),
    ],
)
def test_a_name_that_is_taken_or_malformed_is_refused(ledger, name, why):
    change_a_body(ledger)
    before = ledger.files()

    with pytest.raises(CommandError, match=why):
        ledger.freeze(name)

    assert ledger.files() == before


@pytest.mark.parametrize("app", ["accounts", "config", "nobody"])
def test_an_app_without_sql_is_refused(app):
    with pytest.raises(CommandError, match=rf"{app} has no sql/current/: one of ledger, usage\."):
        call_command("freeze_sql", app, "9990_x")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("UPDATE ledger_balance SET seq = 0;\n", "only functions, types and triggers stand here, not: UPDATE"),
        ("CREATE TYPE ledger_outcome AS (a text);\n", "TYPE ledger_outcome is defined twice"),
        ("CREATE TYPE ledger_open AS (a text)\n", "a statement does not end: CREATE TYPE ledger_open"),
    ],
)
def test_current_that_holds_more_than_definitions_is_refused(ledger, text, why):
    ledger.append("thresholds", text)
    before = ledger.files()

    with pytest.raises(CommandError, match=why):
        ledger.freeze("9990_x")

    assert ledger.files() == before


def test_all_is_written_or_nothing(ledger, monkeypatch):
    change_a_body(ledger)
    before = ledger.files()

    def full(*_args: object) -> str:
        raise OSError("No space left on device")

    monkeypatch.setattr(freezing, "with_checksums", full)

    with pytest.raises(OSError, match="No space"):
        ledger.freeze("9990_x")

    assert ledger.files() == before


def test_a_released_file_that_was_edited_keeps_its_checksum(ledger):
    sums = ledger.read("sql/released/SHA256SUMS")
    edited = ledger.folder / "sql" / "released" / "0001_storage.sql"
    edited.write_text("-- Edited.\n", encoding="utf-8")
    change_a_body(ledger)

    ledger.freeze("9990_x")

    assert ledger.read("sql/released/SHA256SUMS").startswith(sums)
    assert ledger.read("sql/released/SHA256SUMS").count("\n") == sums.count("\n") + 2


def test_a_file_that_is_there_is_not_written_over(ledger):
    change_a_body(ledger)
    (ledger.folder / "sql" / "released" / "9990_x.undo.sql").write_text("mine", encoding="utf-8")
    before = ledger.files()

    with pytest.raises(CommandError, match=r"9990_x\.undo\.sql is there already"):
        ledger.freeze("9990_x")

    assert ledger.files() == before
