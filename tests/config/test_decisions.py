"""The decision records: every number once, and an index that agrees."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings

FOLDER = Path(settings.BASE_DIR) / "docs" / "decisions"
RECORDS = sorted(FOLDER.glob("[0-9]*.md"))
ROWS = re.findall(r"^\| (\d+) \| \[(.+)\]\(([^)]+)\) \| (.+?) \| (.+) \|$", (FOLDER / "README.md").read_text(), re.M)


def test_numbers_of_decisions_have_no_gap():
    assert [int(record.name[:4]) for record in RECORDS] == list(range(1, len(RECORDS) + 1))


def test_index_of_decisions_lists_every_record_in_order():
    assert [file for _, _, file, _, _ in ROWS] == [record.name for record in RECORDS]


@pytest.mark.parametrize(("number", "title", "file", "status", "summary"), ROWS, ids=[row[0] for row in ROWS])
def test_index_of_decisions_repeats_title_and_status_of_the_record(number, title, file, status, summary):
    heading, blank, status_line, *_ = (FOLDER / file).read_text(encoding="utf-8").splitlines()

    assert (heading, blank, status_line) == (f"# {number}. {title}", "", f"Status: {status}")
    assert summary
    assert file.startswith(f"{int(number):04}-")


@pytest.mark.parametrize("record", RECORDS, ids=[record.name[:4] for record in RECORDS])
def test_decision_has_context_decision_and_consequences_unless_its_number_was_not_used(record):
    text = record.read_text(encoding="utf-8")

    headings = re.findall(r"^## (.+)$", text, re.M)

    if "Status: not used" in text:
        assert headings == []
    else:
        assert (headings[0], headings[-1]) == ("Context", "Consequences")
        assert "Decision" in headings
