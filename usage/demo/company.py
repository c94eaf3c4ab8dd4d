"""The demo company: a translation API with staff, customers, prices, keys and three months of requests.

All data is drawn from fixed seeds and named by fixed keys, so a second run finds what the first one created, and
completes a run that was interrupted.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import random
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal

from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction

from accounts import key_format
from accounts.models import ApiKey, Scope, User
from accounts.services.keys.api_keys import issue_api_key, issue_service_key
from accounts.services.roles.setting_up import set_up_roles
from accounts.services.roles.table import Role
from ledger.errors import InsufficientCredits
from ledger.models import AdjustmentReason, EntryReason, TopUpPackage
from ledger.services.adjustments.posting import adjust_credits
from ledger.services.grants import grant_credits
from ledger.services.holds import open_hold
from usage.demo.actions import seed_actions
from usage.demo.adjustments import seed_adjustments
from usage.demo.disputes import seed_disputes
from usage.demo.money import seed_money
from usage.demo.plans import seed_plans
from usage.demo.reconciliation import seed_reconciliation
from usage.demo.staff_log import seed_staff_log
from usage.errors import AlertExists
from usage.models import AlertKind, Price
from usage.services.alerts.actions import create_alert
from usage.services.charges.calls import AskedCharge
from usage.services.charges.charge import charge_request
from usage.services.imports.recording import Line, record_lines
from usage.services.imports.reported import ReportedRequest
from usage.services.prices import set_price

SOURCE = "demo"
PASSWORD = "tollbook-demo"  # noqa: S105  printed by the command, and refused in production
DAYS_OF_HISTORY = 92
LINES_A_BATCH = 1_000

PRICES = (("translate", "1"), ("detect", "0.2"), ("/v1/documents/{id}", "12.5"), ("*.png", "0"), ("*", "1"))
PACKAGES = (
    ("starter", "Starter", 1_000, 1_000),
    ("growth", "Growth", 10_000, 8_900),
    ("scale", "Scale", 100_000, 79_000),
)
ENDPOINTS = (
    ("POST", "translate", 70),
    ("POST", "detect", 20),
    ("GET", "/v1/documents/{number}", 4),
    ("GET", "/v1/languages", 4),
    ("GET", "/logo.png", 2),
)
STAFF = {
    Role.SUPPORT: "Sam Support",
    Role.FINANCE: "Fay Finance",
    Role.OPERATIONS: "Omar Operations",
    Role.AUDITOR: "Audrey Auditor",
}
STATUSES = ((200, 930), (400, 25), (404, 15), (429, 15), (500, 10), (503, 5))


@dataclass(frozen=True)
class DemoCustomer:
    """One customer of the demo company; `requests` in all, `credits` bought."""

    email: str
    full_name: str
    requests: int
    credits: int


CUSTOMERS = (
    DemoCustomer("alice@demo.example", "Alice Abara", 2_400, 6_000),
    DemoCustomer("bob@demo.example", "Bob Brandt", 900, 1_500),
    DemoCustomer("charlie@demo.example", "Charlie Chen", 300, 120),
    DemoCustomer("dora@demo.example", "Dora Duarte", 150, 1_000),
    DemoCustomer("emil@demo.example", "Emil Ek", 0, 0),
)


@dataclass(frozen=True)
class DemoCompany:
    """The sign-ins and keys that are needed to try the demo."""

    staff: tuple[User, ...]  # the superuser, then one of each role
    customers: dict[str, User]
    customer_key: str
    service_key: str


def seed(*, now: dt.datetime) -> DemoCompany:
    """Create the demo company, or what is still missing of it."""
    staff = (
        _person("admin@demo.example", "Ada Admin", is_staff=True, is_superuser=True),
        *_staff_of_each_role(),
    )
    _price_list(now - dt.timedelta(days=DAYS_OF_HISTORY + 1))
    people = {customer.email: _person(customer.email, customer.full_name) for customer in CUSTOMERS}
    for customer in CUSTOMERS:
        _history_of(customer, people[customer.email], now)
    alice, bob = people[CUSTOMERS[0].email], people[CUSTOMERS[1].email]
    _today(alice, bob, staff[1], now)
    _alerts(alice, bob, now)
    by_name = {email.partition("@")[0]: user for email, user in people.items()}
    seed_money(by_name, now=now)
    seed_adjustments(by_name, support=staff[1], finance=staff[2])
    seed_plans(by_name, actor=staff[1], now=now)
    seed_actions(by_name, actor=staff[2], now=now)
    seed_reconciliation(bob, actor=staff[3], now=now)
    seed_disputes(by_name, support=staff[1], now=now)
    seed_staff_log(by_name, staff=staff, now=now)
    return DemoCompany(
        staff=staff,
        customers=people,
        customer_key=_key("alice", user=alice, name="Production", scope=Scope.ACCOUNT_READ, now=now),
        service_key=_key("gateway", user=None, name="Gateway", scope=Scope.METERING, now=now),
    )


def _person(email: str, full_name: str, **flags: bool) -> User:
    found = User.objects.with_email(email).first()
    return found or User.objects.create_user(email, PASSWORD, full_name=full_name, **flags)


def _staff_of_each_role() -> list[User]:
    set_up_roles()
    people = [(role, _person(f"{role}@demo.example", name, is_staff=True)) for role, name in STAFF.items()]
    for role, person in people:
        person.groups.add(Group.objects.get(name=role.value))
    return [person for _, person in people]


def _price_list(effective_from: dt.datetime) -> None:
    for endpoint, credits in PRICES:
        if not Price.objects.filter(endpoint=endpoint).exists():
            set_price(endpoint=endpoint, credits=Decimal(credits), effective_from=effective_from)
    for code, name, credits_sold, price_minor in PACKAGES:
        sold = {"name": name, "credits": credits_sold, "price_minor": price_minor, "currency": "USD"}
        TopUpPackage.objects.get_or_create(code=code, defaults=sold)


def _history_of(customer: DemoCustomer, user: User, now: dt.datetime) -> None:
    if customer.credits:
        grant_credits(
            user_id=user.pk,
            amount=Decimal(customer.credits),
            reason=EntryReason.PURCHASE,
            reference=f"demo-payment-{user.pk}",
            idempotency_key="demo: first purchase",
        )
    lines = _lines(customer, now)
    for first in range(0, len(lines), LINES_A_BATCH):
        record_lines(user_id=user.pk, source=SOURCE, lines=lines[first : first + LINES_A_BATCH], charge=True)


def _lines(customer: DemoCustomer, now: dt.datetime) -> list[Line]:
    """Draw a customer's requests; their keys do not depend on the day, so that none is recorded twice."""
    draw = random.Random(customer.email)  # noqa: S311  the same requests on every machine, on purpose
    ages = sorted((draw.random() ** 1.3 * DAYS_OF_HISTORY * 86_400 for _ in range(customer.requests)), reverse=True)
    lines = []
    for number, age_seconds in enumerate(ages):
        method, path, _ = draw.choices(ENDPOINTS, weights=[weight for *_, weight in ENDPOINTS])[0]
        ((status, _),) = draw.choices(STATUSES, weights=[weight for _, weight in STATUSES])
        request = ReportedRequest(
            customer=customer.email,
            path=path.format(number=draw.randrange(1, 400)),
            method=method,
            status=status,
            occurred_at=now - dt.timedelta(seconds=int(age_seconds) + 60),
            latency_ms=int(draw.lognormvariate(4, 0.6)),
        )
        lines.append(Line(hashlib.sha256(f"{SOURCE} {customer.email} {number}".encode()).digest(), request))
    return lines


def _today(alice: User, bob: User, support: User, now: dt.datetime) -> None:
    adjust_credits(
        user_id=bob.pk,
        amount=Decimal(50),
        reason=AdjustmentReason.GOODWILL,
        note="Sorry for last week's slow documents",
        actor_id=support.pk,
        idempotency_key="demo: goodwill",
    )
    for number in range(3):
        charge_request(AskedCharge(
            user_id=alice.pk, endpoint="translate", method="POST", units=Decimal(number + 1), latency_ms=40,
            idempotency_key=f"demo: charge {number}", reference=f"demo-request-{number}",
        ))  # fmt: skip
    try:
        open_hold(
            user_id=alice.pk, credits=Decimal(25), expires_in_seconds=86_400, reference="demo-batch-job",
            idempotency_key=f"demo: hold {now:%Y-%m-%d}",
        )  # fmt: skip
    except InsufficientCredits:
        return  # the demo's credits have been spent, as they may be


def _alerts(alice: User, bob: User, now: dt.datetime) -> None:
    for user, kind, threshold in (
        (alice, AlertKind.BALANCE_BELOW, Decimal(1_000)),
        (alice, AlertKind.RUNWAY_BELOW, 14),
        (bob, AlertKind.RUNWAY_BELOW, 30),
    ):
        with suppress(AlertExists):
            create_alert(user_id=user.pk, kind=kind, threshold=threshold, now=now)


def _key(label: str, *, user: User | None, name: str, scope: Scope, now: dt.datetime) -> str:
    """Return a key that is the same on every machine, so that a second run can show it again."""
    draw = random.Random(f"{SOURCE} {label}")  # noqa: S311  a demo's key is no secret
    raw = key_format.make_key(choose=draw.choice)
    if not ApiKey.objects.filter(prefix=key_format.prefix_of(raw)).exists():
        try:
            with transaction.atomic():
                if user is None:
                    issue_service_key(name=name, scopes=[scope], now=now, raw=raw)
                else:
                    issue_api_key(user=user, name=name, scopes=[scope], now=now, raw=raw)
        except IntegrityError:
            pass  # another run has just created it
    return raw
