"""docs/architecture.md agrees with the code: every `file:name` in it is defined in that file."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from django.conf import settings

BASE = Path(settings.BASE_DIR)
PAGE = (BASE / "docs" / "architecture.md").read_text(encoding="utf-8")
STEPS = sorted(set(re.findall(r"`([\w/]+\.(?:py|sql)):([\w.]+)`", PAGE)))


def defined_in(path: Path) -> set[str]:
    """Return the functions, classes, constants and (as Class.method) methods of Python; SQL functions and triggers."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".sql":
        return set(re.findall(r"^CREATE (?:(?:OR REPLACE )?FUNCTION|TRIGGER) (\w+)", text, re.M))
    found: set[str] = set()
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{each.name}" for each in node.body if isinstance(each, ast.FunctionDef)}
    return found


def test_architecture_page_has_steps_of_every_path():
    for heading in (
        "A charge",
        "A sign-in",
        "A grant",
        "A page of the back office",
        "A job",
        "A webhook in",
        "A webhook out",
    ):
        section = re.search(rf"^## {heading}.*?(?=^## |\Z)", PAGE, re.M | re.S)

        assert section is not None
        assert re.search(r"`[\w/]+\.py:\w", section[0])


@pytest.mark.parametrize(("file", "name"), STEPS, ids=[f"{file}:{name}" for file, name in STEPS])
def test_step_of_the_architecture_page_is_defined_where_it_says(file, name):
    assert name in defined_in(BASE / file)
