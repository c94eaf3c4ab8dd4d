"""A gateway for tests: it sends with a service key and under new idempotency keys."""

from __future__ import annotations

import json
import uuid
from typing import Any

from rest_framework.test import APIClient

from tests.factories import ServiceKeyFactory


class Gateway:
    """Makes metering calls; `key` is the idempotency key, `headers` come besides."""

    def __init__(self, *, api_key: str | None = None) -> None:
        self.api_key = api_key or ServiceKeyFactory().raw
        self.client = APIClient(headers={"X-API-KEY": self.api_key})

    def post(self, path: str, body: Any = None, *, key: str | None = "", headers: dict[str, str] | None = None) -> Any:
        """Send a body, as JSON unless it is text already; without an idempotency key when it is None."""
        sent = dict(headers or {})
        if key is not None:
            sent["Idempotency-Key"] = key or uuid.uuid4().hex
        text = body if isinstance(body, (str, bytes)) else json.dumps({} if body is None else body)
        return self.client.post(path, text, content_type="application/json", headers=sent)

    def get(self, path: str) -> Any:
        return self.client.get(path)


def refused(answer: Any) -> tuple[int, str]:
    """Return a short form of a refusal; fail if the call was not refused."""
    assert answer.status_code >= 400, answer.content
    body = answer.json()
    assert body["detail"].endswith((".", "!", "?"))
    return answer.status_code, body["code"]
