"""The Account API's request log, printed from the rows of its pages by the fields of its serializer."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import Any

from config.db.statements import Statement
from config.http.rows import PrintedRows
from usage.models.outcomes import outcome_of
from usage.request_pages import RequestPages, page_query
from usage.serializers.account import RequestSerializer


@lru_cache(maxsize=1000)
def _outcome(status: str) -> str:
    return outcome_of(int(status)).value


REQUESTS = PrintedRows(RequestSerializer, derived={"outcome": ("status", _outcome)})


class RequestRows(RequestPages):
    """The same pages as rows for REQUESTS, whose own values give its position in the log."""

    def _rows(self, asked: dict[str, Any]) -> list[Any]:
        return _statement(self._where).read(asked)

    def position_of(self, row: Any) -> list[Any]:
        shown = dict(zip(REQUESTS.columns, row, strict=True))
        return [dt.datetime.fromisoformat(shown["occurred_at"]).isoformat(), int(shown["id"])]


@lru_cache(maxsize=64)
def _statement(where: str) -> Statement:
    named = {"api_key_prefix": "key.prefix"}
    columns = [f"({named.get(column, f'found.{column}')})::text" for column in REQUESTS.columns]
    return Statement.named(page_query(", ".join(columns), where=where))
