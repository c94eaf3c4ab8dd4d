"""Cases of the back office's pages, as a superuser sees them for one customer."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from django.apps import apps
from django.utils import timezone

from accounts.models import User
from config.models import StaffRecord
from config.rounds import Round
from tests.backoffice import signed_in, superuser
from tests.growth.cases import Case, NotMeasured
from tests.growth.histories import two_customers
from tests.growth.measuring import Cost, cost_of
from tests.journeys.access_table import World
from tests.journeys.routes import admin_patterns
from usage.services.figures.folding import fold_figures

_OF_A_MODEL = re.compile(r"/admin/(\w+)/(\w+)/(.*)")

NOT_MEASURED = {
    "/admin/logout/": NotMeasured("It ends a session, and is a POST."),
    "/admin/jsi18n/": NotMeasured("Words for the browser."),
    "/admin/r/{content_type_id}/{object_id}/": NotMeasured("It leads to a page that is measured itself."),
    "/admin/(?P{url}.*)$": NotMeasured("What no other route takes: a 404."),
}
PATHS = {
    "/admin/autocomplete/": "/admin/autocomplete/?app_label=ledger&model_name=termschange&field_name=user&term=history",
}
_COUNTED = {"most": 3_000, "why": "The pages of the list are counted, up to 10,000 rows."}
_EXPORTED = {
    "most": 12_000,
    "why": "The rows of a file are counted before it is made, up to the 50,000 that it may have.",
}
EXCEPTIONS: dict[str, dict[str, Any]] = {
    "/admin/accounts/plan/{object_id}/delete/": {
        "most": 1_500,
        "per_row": 0.1,
        "why": "Django's page names every row that stands in the way, of all customers.",
    },
    "/admin/ledger/grant/?q={email}": _COUNTED,
    "/admin/ledger/hold/?q={email}": _COUNTED,
    "/admin/ledger/payment/?q={email}": _COUNTED,
    "/admin/accounts/notice/?q={email}": _COUNTED,
    "/admin/accounts/webhookdelivery/?q={email}": _COUNTED,
    "/admin/accounts/subscription/{object_id}/change/": {
        "most": 3_000,
        "why": "It shows the latest hundred changes, and each is looked up with its plan, author and customer.",
    },
    "/admin/ledger/subscriptionchange/?q={email}": {
        "most": 3_000,
        "why": "A page has a hundred rows, and each is looked up with its customer, plan and author.",
    },
    "/admin/ledger/adjustmentrequest/export/?q={email}": _EXPORTED,
    "/admin/ledger/entry/export/": _EXPORTED,
    "/admin/ledger/entry/export/?q={email}": _EXPORTED,
    "/admin/ledger/hold/export/": _EXPORTED,
    "/admin/ledger/hold/export/?q={email}": _EXPORTED,
    "/admin/config/staffrecord/export/": _EXPORTED,
    "/admin/config/staffrecord/export/?q={email}": _EXPORTED,
    "/admin/usage/requestlog/export/": _EXPORTED,
    "/admin/usage/requestlog/export/?q={email}": _EXPORTED,
}
SEARCH, STAFF_LOG = "/admin/search/", "/admin/config/staffrecord/"
LOG_FILTERS = (
    "user={pk}",
    "user={pk}&kind=changes",
    "staff={pk}&kind=changes",
    "about=accounts.user:{pk}",
    "kind=changes",
)
_LATEST = {
    "most": 12_000,
    "why": "Names that no index begins with are looked for among the latest 100,000 entries and requests of all.",
}
# Terms of the one search: what is in it of the customer, and what it may read.
SEARCHED: dict[str, dict[str, Any]] = {
    "{email}": {},
    "entry {entry}": {},
    "request {entry}": {},
    "{entry}": _LATEST,
    "request-77": _LATEST,
    "{email} request-77": _LATEST,
    "{email} key-77": _LATEST,
    "01a222c3-711b-7efe-8eb2-8235a36b65f3": _LATEST,
    "nobody by this name": _LATEST,
}


def page_cases() -> dict[str, Case | NotMeasured]:
    """Return a case for each page; lists and exports both unfiltered and searched for a customer."""
    cases: dict[str, Case | NotMeasured] = dict(NOT_MEASURED)
    for pattern, _ in admin_patterns():
        if pattern in NOT_MEASURED:
            continue
        prepare = partial(find, pattern)
        cases[pattern] = Case(partial(look, pattern, ""), prepare, **EXCEPTIONS.get(pattern, {}))
        found = _OF_A_MODEL.fullmatch(pattern)
        if found is not None and found[3] in {"", "export/"}:
            name = f"{pattern}?q={{email}}"
            cases[name] = Case(partial(look, pattern, "q={email}"), prepare, **EXCEPTIONS.get(name, {}))
    for query in LOG_FILTERS:
        cases[f"{STAFF_LOG}?{query}"] = Case(partial(look, STAFF_LOG, query), partial(find, STAFF_LOG), **_COUNTED)
    for term, exception in SEARCHED.items():
        name = f"{SEARCH}?term={term}"
        cases[name] = Case(partial(search, term), partial(find, SEARCH), **exception)
    return cases


_found: dict[str, Any] = {}


def find(pattern: str, world: World) -> None:
    """Sign a superuser in, and find the page about the customer."""
    if pattern == "/admin/":
        fold_figures(now=timezone.now(), customers=Round())
    ids = {"name": "start", "object_id": "-", "id": "-"}
    found = _OF_A_MODEL.fullmatch(pattern)
    if found is not None and "{" in pattern:
        model = apps.get_model(found[1], found[2]) if found[1] != "auth" else None
        ids |= dict.fromkeys(("object_id", "id"), _object(model, pattern, world))
    # The page of an app names them all, in the order in which they have registered.
    path = "/admin/ledger/" if "{app_label}" in pattern else PATHS.get(pattern, pattern)
    _found["path"] = path.format(**ids)
    _found["client"] = signed_in(superuser())


def look(pattern: str, query: str, world: World) -> int:
    """Open a page about the customer, and check that it exists."""
    asked = f"?{query.format(email=world.owner.email, pk=world.owner.pk)}" if query else ""
    answer = _found["client"].get(_found["path"] + asked)
    if answer.streaming:
        b"".join(answer.streaming_content)
    assert answer.status_code in {200, 302, 403}, (answer.status_code, pattern)
    return int(answer.status_code)


def cost_of_front_page(rows: int) -> Cost:
    """Return what the front page costs in a company with so many entries and requests, all of its figures folded."""
    with two_customers(rows=rows) as (_, world):
        return cost_of(partial(look, "/admin/", "", world), prepare=partial(find, "/admin/", world))


def search(term: str, world: World) -> None:
    """Search for something of the customer's."""
    entry = world.ids["entry"]
    answer = _found["client"].post(SEARCH, {"term": term.format(email=world.owner.email, entry=entry)})
    assert answer.status_code in {200, 302}, (answer.status_code, term)


def _object(model: Any, pattern: str, world: World) -> Any:
    """Return the customer's latest row of the page's model, or any row where customers have none."""
    if model is User:
        return world.owner.pk
    if model is StaffRecord:
        return StaffRecord.objects.filter(user=world.owner).latest("pk").pk
    if model is None:  # roles
        return apps.get_model("auth.Group").objects.latest("pk").pk
    names = {field.name for field in model._meta.get_fields()}
    rows = model._default_manager.filter(user=world.owner) if "user" in names else model._default_manager.all()
    if "webhookendpoint" in pattern:
        return world.ids["webhook"]
    return rows.latest("pk").pk
