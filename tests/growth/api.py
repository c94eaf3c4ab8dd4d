"""The API's routes: each as its row of the access table calls it, and some as customers narrow and page them."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.growth.cases import Case
from tests.journeys.access_table import TABLE, World
from tests.journeys.routes import Route

# Filters and pages of lists, besides the plain list.
NARROWED: dict[str, tuple[str, ...]] = {
    "/auth/account/ledger": (
        "type=debit", "type=credit", "reference=request-7", "offset=400", "from=2020-01-01",
        "from=2020-01-01&type=credit",
    ),
    "/auth/account/requests": ("endpoint=search", "status=failed", "status=rejected", "offset=400", "from=2020-01-01"),
    "/auth/account/holds": ("status=open", "status=released", "status=captured"),
    "/auth/account/usage": ("period=daily", "period=yearly", "from=2020-01-01"),
}  # fmt: skip

# Calls that may cost more for a long history: how much at most, and why.
_COUNTED = {"most": 1_100, "why": "Up to 1,000 are counted, each of which may lie in a page of its own."}
_SIGN_INS = {
    "most": 500,
    "per_row": 0.5,
    "why": "It ends every sign-in of the last days, one for each hundred rows here, each with its indexes.",
}
EXCEPTIONS: dict[str, dict[str, Any]] = {
    "GET /auth/account/holds?status=released": _COUNTED,
    "GET /auth/account/holds?status=captured": _COUNTED,
    "GET /auth/account/ledger?type=debit": _COUNTED,
    "GET /auth/account/ledger?type=credit": _COUNTED,
    "GET /auth/account/ledger?from=2020-01-01&type=credit": _COUNTED,
    "POST /auth/password": _SIGN_INS,
    "POST /auth/password-reset/confirm": _SIGN_INS,
}


def call(route: Route, query: str, world: World) -> int:
    """Make the call as a caller who is allowed to, and check that it succeeds."""
    row = TABLE[route]
    body = {} if row.body is None else {"data": row.body(world)}
    path = route.path.format(**row.path_ids(world)) + (f"?{query}" if query else "")
    client: Any = world.clients[row.caller]
    answer = getattr(client, route.method.lower())(path, **body, format="json")
    assert answer.status_code == row.access[row.caller], answer.content
    return int(answer.status_code)


def api_cases(routes: list[Route]) -> dict[str, Case]:
    """Return a case for each of these routes, and one for each filter of its list."""
    cases = {}
    for route in routes:
        for query in ("", *(NARROWED.get(route.path, ()) if route.method == "GET" else ())):
            name = f"{route}?{query}" if query else str(route)
            cases[name] = Case(partial(call, route, query), **EXCEPTIONS.get(name, {}))
    return cases
