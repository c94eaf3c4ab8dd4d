"""The documents: every link leads to a file, and every file that a sentence names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings

BASE = Path(settings.BASE_DIR)
DOCUMENTS = sorted([*BASE.glob("*.md"), *BASE.glob("docs/**/*.md"), *BASE.glob("tests/*.md")])
FOLDERS = "accounts|config|docs|ledger|templates|tests|usage"


def named(document: Path) -> str:
    return str(document.relative_to(BASE))


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_links_of_a_document_lead_to_files(document):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
        if not target.startswith("https://"):
            assert (document.parent / target).is_file(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_files_that_a_document_names_exist(document):
    text = document.read_text(encoding="utf-8")

    names = re.findall(rf"(?<![\w/.])((?:{FOLDERS})/[\w/.-]+\.(?:py|sql|md|html|css|js))\b", text)

    missing = [name for name in names if "NNNN" not in name and not (BASE / name).is_file()]
    assert missing == []


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if path.name != "vocabulary.md"], ids=named)
def test_document_keeps_to_the_terms_of_the_vocabulary(document):
    text = re.sub(r"`[^`]*`|[\w/]+\.py", "", document.read_text(encoding="utf-8"))

    words = re.findall(r"\b(lots?|reckon\w*|whoever|hostile|parcels?|stretch(?:es)?|the moment)\b", text, re.I)

    assert words == []
