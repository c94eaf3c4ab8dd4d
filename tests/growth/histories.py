"""Two customers, one with a long history and one with a short one, written by SQL rather than services.

Everything is done by the owner in one transaction, which is rolled back. The seals are empty.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from ledger.models import PaymentMethod
from tests.backoffice import audit
from tests.conftest import owner_connection
from tests.emptying import Emptying
from tests.growth.statements import WRITTEN
from tests.growth.triggers import without_triggers
from tests.journeys.access_table import World, owners_world
from tests.ledger.reloading import agreed
from tests.module_data import as_owner
from usage.services.forecasts.outlook import outlook_of
from usage.services.prices import set_price

SHORT = 1_000
DAYS = 60
_TABLES = (
    "ledger_entry", "ledger_balance", "ledger_hold", "ledger_grant", "ledger_grantdraw", "ledger_grantprogress",
    "ledger_granttermschange",
    "ledger_operationkey", "ledger_payment", "ledger_paymentoutcome", "ledger_staffrefund", "ledger_termschange",
    "ledger_adjustmentrequest", "ledger_autoreloadevent", "usage_requestlog", "usage_dailyusage", "usage_eventkey",
    "usage_importedline", "usage_refund", "accounts_notice", "accounts_webhookdelivery", "accounts_webhookattempt",
    "accounts_apikey", "accounts_loginattempt", "accounts_tokenfamily", "accounts_spentrefreshtoken", "accounts_user",
    "django_admin_log",
)  # fmt: skip


@contextmanager
def two_customers(*, rows: int) -> Iterator[tuple[World, World]]:
    """Connect Django as the owner, in a transaction with a customer of SHORT and one of `rows` entries and requests.

    Of holds, grants, payments, notices and the like the short history has a thousand too, the long one a tenth of its
    rows; of rarer things a tenth of that, and a thousand at most. Plans of prepared statements are the generic ones, as
    they are after a few calls.
    """
    emptying = Emptying(owner_connection)
    emptying.empty_files()
    emptying.close()
    outermost = transaction.atomic()
    outermost._from_testcase = True  # as Django's own TestCase: durable transactions are part of this one
    with as_owner() as owner, outermost:
        with owner.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
            cursor.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        yield _grow(owner, rows)
        transaction.set_rollback(True)


def _grow(owner: Any, rows: int) -> tuple[World, World]:
    now = timezone.now()
    with owner.cursor() as cursor:
        for days in (0, 31, 62):
            cursor.execute("SELECT usage_ensure_partition(%s)", [now - dt.timedelta(days=days)])
        set_price(endpoint="search", credits=1, effective_from=now - dt.timedelta(days=90))
        worlds = _world("short"), _world("long")
        audit()
        Group.objects.create(name="growth")
        with without_triggers():
            for world, each in zip(worlds, (SHORT, rows), strict=True):
                _write(cursor, world, each)
        cursor.execute(f"ANALYZE {', '.join(_TABLES)}")
    for world in worlds:
        outlook_of(user_id=world.owner.pk, now=now)  # nothing of the past is left to settle
    return worlds


def _world(name: str) -> World:
    """Make a customer with one of everything, under names that only they have."""
    world = owners_world()
    world.owner.email = f"{name}-history@example.com"
    User.objects.filter(pk=world.owner.pk).update(email=world.owner.email)
    PaymentMethod.objects.filter(user=world.owner).update(provider_method_id=name)
    agreed(world.owner)
    return world


def _write(cursor: Any, world: World, rows: int) -> None:
    cursor.execute("SELECT seq FROM ledger_balance WHERE user_id = %s", [world.owner.pk])
    (seq,) = cursor.fetchone()
    values = {
        "user": world.owner.pk,
        "email": world.owner.email,
        "key": world.ids["api key"],
        "webhook": world.ids["webhook"],
        "content_type": ContentType.objects.get_for_model(User).pk,
        "seq": seq,
        "rows": rows,
        "entries": max(rows, 2 * SHORT),
        "each": 2 if rows == SHORT else 10,
        "many": max(rows // 10, SHORT),
        "some": min(max(rows // 100, SHORT // 10), SHORT),
        "days": DAYS,
    }
    for statement in WRITTEN:
        cursor.execute(statement, values)
