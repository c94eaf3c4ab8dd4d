"""The access table: which caller may make which call, and the expected status; a row for every route of the API.

A new route gets its row here. Callers come with all they have: the owner with a token and a key, the staff
(who are customers like any other, outside the back office) with a token, programs and services with a key, and all with
an idempotency key besides.
"""

from __future__ import annotations

import copy
import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User
from accounts.services.signing_in.sessions import sign_in
from accounts.services.webhooks.endpoints import create_endpoint, send_test
from ledger.models import PaymentMethod
from ledger.providers.fake import APPROVE
from tests.account import client_of, give, requested
from tests.backoffice import signed_in
from tests.factories import (
    PASSWORD,
    ApiKeyFactory,
    ServiceKeyFactory,
    StaffFactory,
    SubscriptionFactory,
    UserFactory,
)
from tests.journeys.routes import Route
from tests.ledger.disputing import disputed
from tests.ledger.paying import bought
from tests.ledger.posting import hold
from usage.models import AlertKind
from usage.services.alerts.actions import create_alert
from usage.services.charges.calls import AskedCharge
from usage.services.charges.charge import charge_request
from usage.services.prices import set_price

MARK = "belongs-to-alice"  # part of everything of the owner's that a response could disclose
CALLERS = (
    "anonymous", "owner", "stranger", "inactive", "revoked key", "service", "staff without permission", "staff",
    "staff by cookie",
)  # fmt: skip


@dataclass
class World:
    """The owner's account with a row in every list, and all callers who might try to see it."""

    owner: User
    ids: dict[str, int]
    refresh_token: str
    key: str
    clients: dict[str, APIClient]

    def copy(self) -> World:
        """Return a world of its own for one test, over the same rows; the clients share their loaded middleware."""
        return World(
            User.objects.get(pk=self.owner.pk),
            dict(self.ids),
            self.refresh_token,
            self.key,
            {name: _copy_of(client) for name, client in self.clients.items()},
        )


def build_world() -> World:
    """Create the owner, their objects and every caller."""
    world = owners_world()
    revoked = ApiKeyFactory(user=world.owner, name="revoked")
    revoked.api_key.revoked_at = timezone.now()
    revoked.api_key.save()
    superuser, inactive = StaffFactory(is_superuser=True), UserFactory()
    world.clients |= {
        "anonymous": APIClient(),
        "stranger": _with_all(UserFactory()),
        "inactive": _with_all(inactive),
        "revoked key": _with_key(APIClient(), revoked.raw),
        "staff without permission": client_of(StaffFactory()),
        "staff": client_of(superuser),
        "staff by cookie": APIClient(),
    }
    world.clients["staff by cookie"].cookies = signed_in(superuser).cookies
    for client in world.clients.values():
        client.defaults["HTTP_IDEMPOTENCY_KEY"] = "anything"
    User.objects.filter(pk=inactive.pk).update(is_active=False)
    return world


def owners_world() -> World:
    """Create the owner and their objects, and the company's own service only."""
    now = timezone.now()
    owner = SubscriptionFactory(user=UserFactory(email=f"{MARK}@example.com", full_name=MARK)).user
    give(owner, 50, reference=MARK)
    set_price(endpoint=MARK, credits=1, effective_from=now - dt.timedelta(days=9))
    set_price(endpoint="translate", credits=0, effective_from=now - dt.timedelta(days=9))
    requested(owner, [(now - dt.timedelta(hours=1), MARK, 200)])
    held = hold(owner, 1, reference=MARK).hold
    paid = charge_request(AskedCharge(user_id=owner.pk, endpoint=MARK, idempotency_key=MARK))
    issued = ApiKeyFactory(user=owner, name=MARK)
    ids = {"entry": owner.entries.earliest("pk").pk, "api key": issued.api_key.pk, "hold": held.pk, "charge": paid.id}
    pair = sign_in(email=owner.email, password=PASSWORD, address=None, now=now)
    service = _with_key(APIClient(), ServiceKeyFactory().raw)
    alert = create_alert(user_id=owner.pk, kind=AlertKind.RUNWAY_BELOW, threshold=9, now=now)
    ids["debit"] = owner.entries.filter(operation="record_lines").latest("pk").pk
    ids["dispute"] = disputed(owner, paid.id, message=MARK).pk
    ids |= {"alert": alert.pk, "top-up": bought(owner, key=MARK).pk, "payment method": _card(owner)} | _webhook(owner)
    clients = {"owner": _with_key(client_of(owner), issued.raw), "service": service}
    for client in clients.values():
        client.defaults["HTTP_IDEMPOTENCY_KEY"] = "anything"
    return World(owner, ids, pair.refresh, issued.raw, clients)


def _card(owner: User) -> int:
    kept = {"brand": MARK, "last4": "4242", "expiry_month": 12, "expiry_year": 2040}
    return PaymentMethod.objects.create(user=owner, provider="fake", provider_method_id=APPROVE, **kept).pk


def _webhook(owner: User) -> dict[str, int]:
    now = timezone.now()
    webhook = create_endpoint(
        user_id=owner.pk, url=f"https://example.com/{MARK}", description=MARK, event_types=[], now=now
    )
    return {"webhook": webhook.pk, "delivery": send_test(user_id=owner.pk, endpoint_id=webhook.pk, now=now)}


def unlimited(settings: Any) -> None:
    """Lift all limits on calls and failures."""
    for name in ("RATE_LIMIT_PER_KEY", "RATE_LIMIT_PER_USER", "RATE_LIMIT_PER_ADDRESS"):
        setattr(settings, name, 10**9)
    for name in ("LOGIN_FAILURES_PER_ACCOUNT", "LOGIN_FAILURES_PER_ADDRESS", "LOGIN_FAILURES_EVERYWHERE"):
        setattr(settings, name, 10**9)


def _copy_of(client: APIClient) -> APIClient:
    copied = copy.copy(client)
    copied.defaults, copied.cookies = dict(client.defaults), copy.deepcopy(client.cookies)
    copied._credentials = dict(client._credentials)
    return copied


def _with_all(user: User) -> APIClient:
    return _with_key(client_of(user), ApiKeyFactory(user=user).raw)


def _with_key(client: APIClient, key: str) -> APIClient:
    client.defaults["HTTP_X_API_KEY"] = key
    return client


Access = Mapping[str, int]
Body = Callable[[World], dict[str, Any]]


def all_callers(status: int) -> Access:
    """Expect the same status for all callers."""
    return dict.fromkeys(CALLERS, status)


def by_token(status: int) -> Access:
    """Expect success for each signed-in caller, about themselves."""
    signed = ("owner", "stranger", "staff without permission", "staff")
    return all_callers(401) | dict.fromkeys(signed, status)


def owner_alone(status: int) -> Access:
    """Expect success for the owner, and 404 for other signed-in callers."""
    return by_token(404) | {"owner": status}


def by_key(status: int) -> Access:
    """Expect success for a customer's live key, about its customer."""
    return all_callers(401) | {"owner": status, "stranger": status, "service": 403}


def by_service(status: int) -> Access:
    """Expect success for a service, for any customer, and a refusal for customers' own keys."""
    return all_callers(401) | {"owner": 403, "stranger": 403, "service": status}


@dataclass(frozen=True)
class Row:
    """The expected status by caller; `of` names the object whose id is in the path, `within` its parent."""

    access: Access
    body: Body | None = None
    of: str | None = None
    within: str | None = None

    def path_ids(self, world: World, id: object = None) -> dict[str, object]:
        """Return the ids in the path: the owner's, or another one for the object itself."""
        if self.of is None:
            return {}
        own = world.ids[self.of] if id is None else id
        return {"id": own} if self.within is None else {"id": world.ids[self.within], "delivery_id": own}

    @property
    def caller(self) -> str:
        """Return the caller who makes this call with success."""
        return "owner" if self.access["owner"] < 400 else "service"


def caller_of(path: str) -> str:
    """Return the caller who makes the calls of a path with success."""
    return next((row.caller for route, row in TABLE.items() if route.path == path), "owner")


def _registration(world: World) -> dict[str, Any]:
    return {"email": "new@example.com", "password": "a fine long phrase"}


def _login(world: World) -> dict[str, Any]:
    return {"email": world.owner.email, "password": PASSWORD}


def _reset(world: World) -> dict[str, Any]:
    return {"token": "none", "new_password": "a fine long phrase"}


def _refresh(world: World) -> dict[str, Any]:
    return {"refresh": world.refresh_token}


def _new_password(world: World) -> dict[str, Any]:
    return {"current_password": PASSWORD, "new_password": "another fine long phrase"}


def _request(world: World) -> dict[str, Any]:
    return {"user_id": world.owner.pk, "endpoint": MARK}


def _event(world: World) -> dict[str, Any]:
    return {"id": "1", "source": "gateway", "subject": str(world.owner.pk), "type": MARK}


def _purchase(world: World) -> dict[str, Any]:
    return {"package": "small"}


def _dispute(world: World) -> dict[str, Any]:
    return {"entry_id": world.ids["debit"], "reason": "duplicate", "message": "Twice"}


def _translation(world: World) -> dict[str, Any]:
    return {"text": "Hello", "to": "de"}


TABLE: dict[Route, Row] = {
    Route("GET", "/"): Row(all_callers(200)),
    Route("GET", "/livez"): Row(all_callers(200)),
    Route("GET", "/readyz"): Row(all_callers(200)),
    Route("GET", "/metrics"): Row(all_callers(200)),  # from this machine; see tests/config/test_metrics.py for others
    Route("GET", "/api/schema"): Row(all_callers(200)),
    Route("GET", "/api/docs"): Row(all_callers(200)),
    Route("POST", "/auth/register"): Row(all_callers(201), _registration),
    Route("POST", "/auth/login"): Row(all_callers(200), _login),
    Route("POST", "/auth/refresh"): Row(all_callers(200), _refresh),
    Route("POST", "/auth/logout"): Row(all_callers(204), _refresh),
    Route("POST", "/auth/password"): Row(by_token(204), _new_password),
    Route("POST", "/auth/password-reset/confirm"): Row(all_callers(401), _reset),
    Route("GET", "/auth/account/api-keys"): Row(by_token(200)),
    Route("POST", "/auth/account/api-keys"): Row(by_token(201), lambda world: {"name": "laptop"}),
    Route("PATCH", "/auth/account/api-keys/{id}"): Row(owner_alone(200), lambda world: {"name": "new"}, of="api key"),
    Route("DELETE", "/auth/account/api-keys/{id}"): Row(owner_alone(204), of="api key"),
    Route("POST", "/auth/account/api-keys/{id}/rotate"): Row(owner_alone(201), lambda world: {}, of="api key"),
    Route("GET", "/auth/account/webhooks"): Row(by_token(200)),
    Route("POST", "/auth/account/webhooks"): Row(by_token(201), lambda world: {"url": "https://example.com/hooks"}),
    Route("GET", "/auth/account/webhooks/{id}"): Row(owner_alone(200), of="webhook"),
    Route("PATCH", "/auth/account/webhooks/{id}"): Row(
        owner_alone(200), lambda world: {"is_active": False}, of="webhook"
    ),
    Route("DELETE", "/auth/account/webhooks/{id}"): Row(owner_alone(204), of="webhook"),
    Route("POST", "/auth/account/webhooks/{id}/rotate-secret"): Row(owner_alone(200), of="webhook"),
    Route("POST", "/auth/account/webhooks/{id}/test"): Row(owner_alone(202), of="webhook"),
    Route("GET", "/auth/account/webhooks/{id}/deliveries"): Row(owner_alone(200), of="webhook"),
    Route("GET", "/auth/account/webhooks/{id}/deliveries/{delivery_id}"): Row(
        owner_alone(200), of="delivery", within="webhook"
    ),
    Route("POST", "/auth/account/webhooks/{id}/deliveries/{delivery_id}/resend"): Row(
        owner_alone(202), of="delivery", within="webhook"
    ),
    Route("GET", "/auth/account/credits"): Row(by_token(200)),
    Route("GET", "/auth/account/credits/forecast"): Row(by_token(200)),
    Route("GET", "/auth/account/alerts"): Row(by_token(200)),
    Route("POST", "/auth/account/alerts"): Row(by_token(201), lambda world: {"kind": "runway_below", "days": 5}),
    Route("PATCH", "/auth/account/alerts/{id}"): Row(owner_alone(200), lambda world: {"by_email": False}, of="alert"),
    Route("DELETE", "/auth/account/alerts/{id}"): Row(owner_alone(204), of="alert"),
    Route("GET", "/auth/account/ledger"): Row(by_token(200)),
    Route("GET", "/auth/account/ledger/{id}"): Row(owner_alone(200), of="entry"),
    Route("GET", "/auth/account/ledger/{id}/explain"): Row(owner_alone(200), of="charge"),
    Route("GET", "/auth/account/disputes"): Row(by_token(200)),
    Route("POST", "/auth/account/disputes"): Row(owner_alone(201), _dispute),
    Route("GET", "/auth/account/disputes/{id}"): Row(owner_alone(200), of="dispute"),
    Route("POST", "/auth/account/disputes/{id}/messages"): Row(
        owner_alone(201), lambda world: {"message": "More"}, of="dispute"
    ),
    Route("POST", "/auth/account/disputes/{id}/withdraw"): Row(owner_alone(200), of="dispute"),
    Route("GET", "/auth/account/holds"): Row(by_token(200)),
    Route("GET", "/auth/account/top-up-packages"): Row(by_token(200)),
    Route("GET", "/auth/account/top-ups"): Row(by_token(200)),
    Route("POST", "/auth/account/top-ups"): Row(by_token(201), _purchase),
    Route("GET", "/auth/account/top-ups/{id}"): Row(owner_alone(200), of="top-up"),
    Route("GET", "/auth/account/payment-methods"): Row(by_token(200)),
    Route("POST", "/auth/account/payment-methods"): Row(by_token(201)),
    Route("DELETE", "/auth/account/payment-methods/{id}"): Row(owner_alone(204), of="payment method"),
    Route("GET", "/auth/account/auto-reload"): Row(by_token(200)),
    Route("PATCH", "/auth/account/auto-reload"): Row(by_token(200), lambda world: {"enabled": False}),
    Route("GET", "/auth/account/auto-reload/history"): Row(by_token(200)),
    Route("GET", "/auth/account/grants"): Row(by_token(200)),
    Route("GET", "/auth/account/usage"): Row(by_token(200)),
    Route("GET", "/auth/account/requests"): Row(by_token(200)),
    Route("GET", "/auth/account/summary"): Row(by_token(200)),
    Route("POST", "/webhooks/stripe"): Row(all_callers(401)),  # by signature alone: tests/ledger/test_stripe_webhook.py
    Route("GET", "/v2/account/summary"): Row(by_key(200)),
    Route("POST", "/v2/demo/translate"): Row(by_key(200) | {"service": 401}, _translation),
    Route("POST", "/v2/charges"): Row(by_service(201), _request),
    Route("POST", "/v2/charges/{id}/refund"): Row(by_service(201), lambda world: {"reason": "a test"}, of="charge"),
    Route("POST", "/v2/holds"): Row(by_service(201), _request),
    Route("GET", "/v2/holds/{id}"): Row(by_service(200), of="hold"),
    Route("POST", "/v2/events"): Row(by_service(202), _event),
    Route("POST", "/api/v1/events"): Row(by_service(204), _event),
    Route("POST", "/v2/holds/{id}/capture"): Row(by_service(200), lambda world: {}, of="hold"),
    Route("POST", "/v2/holds/{id}/release"): Row(by_service(200), lambda world: {}, of="hold"),
    Route("POST", "/v2/holds/{id}/extend"): Row(by_service(200), lambda world: {"expires_in": 60}, of="hold"),
    Route("POST", "/v2/keys/verify"): Row(by_service(200), lambda world: {"api_key": world.key, "endpoint": MARK}),
}
