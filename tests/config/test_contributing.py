"""CONTRIBUTING.md lists every file of the common changes; every file that it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings

BASE = Path(settings.BASE_DIR)
TEXT = (BASE / "CONTRIBUTING.md").read_text(encoding="utf-8")
CHANGES = dict(re.findall(r"^### An? (.+?)\n(.+?)(?=^##|\Z)", TEXT, re.M | re.S))
APPS = ("accounts", "ledger", "usage")
NAMED = re.compile(r"`((?:<app>|accounts|config|docs|ledger|templates|tests|usage)/[\w/.-]*)`")


def test_contributing_has_a_section_for_each_common_change():
    assert set(CHANGES) == {
        "SQL function, type or trigger",
        "admin page of a model",
        "admin page without a model",
        "alert type",
        "entry reason",
        "locale",
        "log format of imports",
        "payment provider",
        "portal page for customers",
        "price rule",
        "reconciliation check",
        "scope of keys",
        "staff action",
        "subscription action",
    }


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_section_of_a_change_names_files_that_exist(change):
    names = NAMED.findall(CHANGES[change])

    assert any(name.endswith(".py") for name in names)
    assert [name for name in names if not exists(name)] == []


def test_every_path_that_contributing_names_exists():
    assert [name for name in NAMED.findall(TEXT) if not exists(name)] == []


def test_every_name_in_backticks_after_a_file_is_defined_in_it():
    pairs = re.findall(r"`([\w/]+\.(?:py|sql))`\s+\(`(\w+)[`,]", TEXT)

    assert len(pairs) > 10
    assert [(file, name) for file, name in pairs if name not in (BASE / file).read_text(encoding="utf-8")] == []


def exists(name: str) -> bool:
    """Return whether a path exists; `<app>` stands for one of the apps, NNNN for a number."""
    if "NNNN" in name:
        return True
    candidates = [name.replace("<app>", app) for app in APPS]
    return any((BASE / each).exists() or (BASE / f"{each}.py").exists() for each in candidates)
