"""The table of log formats: the command's choices and the documents follow from it."""

from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError

from usage.services.imports.formats import FORMATS

LINES = {
    "combined": [b'h - - [01/Mar/2026:12:00:00 +0000] "GET /v1/x HTTP/1.1" 200 5\n'],
    "jsonl": [b'{"host": "h", "time": "2026-03-01T12:00:00Z", "path": "/v1/x", "status": 200}\n'],
    "csv": [b"host,time,path,status\n", b"h,2026-03-01T12:00:00Z,/v1/x,200\n"],
}


def test_every_format_has_an_example_here():
    assert list(LINES) == list(FORMATS)


@pytest.mark.parametrize("name", FORMATS)
def test_format_reads_its_header_and_then_its_lines(name):
    lines = iter(LINES[name])

    parse = FORMATS[name].parser("host", {}, lines)
    (request,) = [parse(line.decode().rstrip("\n")) for line in lines]

    assert (request.customer, request.path, request.status) == ("h", "/v1/x", 200)
    assert len(LINES[name]) == FORMATS[name].header_lines + 1


@pytest.mark.parametrize("name", FORMATS)
def test_format_stands_in_the_page_about_imports(name):
    assert f"\n| `{name}` | " in (Path(settings.BASE_DIR) / "docs/imports.md").read_text(encoding="utf-8")


def test_command_offers_exactly_the_formats():
    with pytest.raises(CommandError, match="choose from 'combined', 'jsonl', 'csv'"):
        call_command("import_requests", "x", "--format", "xml", "--customer-field", "host", "--source", "s")
