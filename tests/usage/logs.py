"""Lines of logs, and imports of them, for tests."""

from __future__ import annotations

import json

from usage.services.imports import run as importing
from usage.services.imports.combined import combined_parser
from usage.services.imports.customers import Customers
from usage.services.imports.records import jsonl_parser
from usage.services.imports.run import Import


def combined(host="203.0.113.9", user="-", path="/v1/search", status=200, second=0):
    at = f"01/Mar/2026:12:00:{second:02d} +0000"
    return f'{host} - {user} [{at}] "GET {path} HTTP/1.1" {status} 512 "-" "client/1.0"\n'.encode()


def jsonl(user, *, field="user_id", **fields):
    named = {"user_id": getattr(user, "pk", user), "email": getattr(user, "email", user)}.get(field, user)
    record = {field: named, "time": "2026-03-01T12:00:00Z", "endpoint": "search", "status": 200} | fields
    return (json.dumps(record) + "\n").encode()


def run(
    lines,
    *,
    field="user_id",
    source="gateway",
    charged=False,
    rehearsed=False,
    create=False,
    named=None,
    is_complete=False,
):
    parse = combined_parser(field) if field in {"host", "user"} else jsonl_parser(field)
    customers = Customers(customer_field=field, source=source, create=create, named=named or {})
    proves_its_end = field not in {"host", "user"}
    once = Import(source, parse, customers, charged, is_complete=is_complete, proves_its_end=proves_its_end)
    report = once.rehearse(lines) if rehearsed else once.run(lines)
    assert report.read == report.accepted + report.duplicates + report.rejected
    assert len(report.first_rejections) == min(report.rejected, importing.REJECTIONS_KEPT)
    return report


def figures(report):
    return report.read, report.accepted, report.duplicates, report.rejected
