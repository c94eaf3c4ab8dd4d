"""tests/README.md lists every helper module once, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from django.conf import settings

BASE = Path(settings.BASE_DIR)
INDEX = (BASE / "tests" / "README.md").read_text(encoding="utf-8")


def helper_modules() -> list[str]:
    modules = (path for path in (BASE / "tests").rglob("*.py") if path.name != "__init__.py")
    return sorted(str(path.relative_to(BASE)) for path in modules if not path.name.startswith("test_"))


def test_index_of_helpers_lists_every_module_once():
    assert sorted(re.findall(r"^\| (tests/\S+\.py) \| \S", INDEX, re.M)) == helper_modules()


def test_index_of_commands_names_targets_of_the_makefile():
    targets = re.findall(r"^([a-z]+):.*##", (BASE / "Makefile").read_text(encoding="utf-8"), re.M)

    assert set(re.findall(r"`make ([a-z]+)`", INDEX)) <= set(targets)
