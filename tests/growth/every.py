"""All cases together."""

from __future__ import annotations

import re

from tests.growth.api import api_cases
from tests.growth.cases import Case, NotMeasured
from tests.growth.commands import COMMANDS
from tests.growth.pages import page_cases
from tests.journeys.access_table import TABLE, World

Worlds = tuple[World, World]

_ALL = {**api_cases(list(TABLE)), **page_cases(), **COMMANDS}
CASES: dict[str, Case] = {name: case for name, case in _ALL.items() if not isinstance(case, NotMeasured)}
CASES_OF_PATHS = {re.sub(r"\?[a-z]+=.*", "", name) for name in _ALL if name not in COMMANDS}


def measured() -> list[str]:
    """Return the names of all calls that are measured."""
    return sorted(CASES)
