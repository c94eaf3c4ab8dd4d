"""Cases of the commands: each has work to do for the customer, and none for others."""

from __future__ import annotations

import datetime as dt
import tempfile
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from django.core.management import get_commands
from django.db import connection
from django.utils import timezone

from accounts.models import ApiKey, Subscription, WebhookEndpoint
from ledger.models import OPEN_STATES, Payment
from ledger.providers import fake as cards
from ledger.selectors import balance_of
from tests.accounts.receivers import receiving
from tests.accounts.webhooks import tell
from tests.factories import PlanFactory, StaffFactory
from tests.growth.cases import Case, NotMeasured
from tests.growth.triggers import without_triggers
from tests.journeys.access_table import World
from tests.ledger.adjusting import send
from tests.ledger.paying import LATER, bought
from tests.ledger.posting import post
from tests.ledger.running import run
from tests.ledger.subscribing import plan, subscribe
from usage.models import AlertKind
from usage.services.alerts.actions import create_alert
from usage.services.metered_requests import Announced, Outcome
from usage.services.spool.files import Spool
from usage.services.spool.lines import SpooledRequest, to_line

OURS = ("accounts", "config", "ledger", "usage")


def done(*arguments: Callable[[World], object] | object, codes: tuple[int, ...] = (0,)) -> Callable[[World], None]:
    """Run a command about the customer, and check that it succeeds."""

    def call(world: World) -> None:
        ran = run(*(each(world) if callable(each) else each for each in arguments))
        assert ran.code in codes, ran

    return call


def email(world: World) -> str:
    return world.owner.email


def key(_: World) -> str:
    return uuid.uuid4().hex


def execute(statement: str, world: World) -> None:
    """Run SQL as the owner, past the triggers, in place of the passage of time."""
    with without_triggers(), connection.cursor() as cursor:
        cursor.execute(statement, {"user": world.owner.pk})


def holds_have_expired(world: World) -> None:
    execute(
        """UPDATE ledger_hold SET expires_at = now() - interval '1 minute' WHERE id IN (
            SELECT id FROM ledger_hold WHERE user_id = %(user)s AND status = 'open' ORDER BY id LIMIT 5);
        UPDATE ledger_balance SET next_expiry_at = now() - interval '1 minute' WHERE user_id = %(user)s""",
        world,
    )


def grants_have_expired(world: World) -> None:
    execute(
        """UPDATE ledger_grant SET expires_at = now() - interval '1 minute' WHERE entry_id IN (
            SELECT entry_id FROM ledger_grant WHERE user_id = %(user)s AND remaining > 0 ORDER BY expires_at LIMIT 3);
        UPDATE ledger_balance SET next_expiry_at = now() - interval '1 minute' WHERE user_id = %(user)s""",
        world,
    )


def has_subscribed(world: World) -> None:
    execute(
        """DELETE FROM ledger_subscriptionchange WHERE user_id = %(user)s;
        DELETE FROM accounts_subscription WHERE user_id = %(user)s""",
        world,
    )
    subscribe(world.owner, plan(100))


def period_is_over(world: World) -> None:
    has_subscribed(world)
    times = ("anchor_at", "started_at", "current_period_start", "current_period_end", "next_grant_at")
    back = ", ".join(f"{name} = {name} - interval '31 days'" for name in times)
    execute(
        f"""UPDATE accounts_subscription SET {back} WHERE user_id = %(user)s;
        UPDATE ledger_subscriptionperiod SET starts_at = starts_at - interval '31 days',
            ends_at = ends_at - interval '31 days' WHERE user_id = %(user)s;
        UPDATE ledger_balance SET next_expiry_at = now() - interval '1 minute' WHERE user_id = %(user)s""",
        world,
    )


def has_no_subscription(world: World) -> None:
    has_subscribed(world)
    Subscription.objects.filter(user=world.owner).update(
        status="canceled", canceled_at=timezone.now(), next_grant_at=None
    )
    PlanFactory(code="growth")


def payment_is_open(world: World) -> None:
    Payment.objects.filter(state__in=OPEN_STATES).update(asked_at=timezone.now())  # others are not in doubt
    bought(world.owner, cards.ANSWER_LOST, now=timezone.now() - LATER)


def runs_low(world: World) -> None:
    post(world.owner, Decimal(50) - balance_of(user_id=world.owner.pk).available)


def has_crossed(world: World) -> None:
    run("send_alerts")  # looks at all who have credits, once
    available = balance_of(user_id=world.owner.pk).available
    create_alert(user_id=world.owner.pk, kind=AlertKind.BALANCE_BELOW, threshold=available, now=timezone.now())
    post(world.owner, -1)


def has_notice_due(world: World) -> None:
    tell(world.owner, now=timezone.now())


def delivered(world: World) -> None:
    with receiving() as receiver:
        WebhookEndpoint.objects.filter(user=world.owner).update(url=receiver.url())
        done("deliver_webhooks")(world)
        assert receiver.got


def imported(world: World) -> None:
    now = timezone.now() - dt.timedelta(minutes=1)
    line = f'10.0.0.1 - {world.owner.email} [{now:%d/%b/%Y:%H:%M:%S +0000}] "GET /a HTTP/1.1" 200 5\n'
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "access.log").write_text(line * 5)
        (folder / "map.csv").write_text(f"{world.owner.email},{world.owner.pk}\n")
        done(
            "import_requests", folder / "access.log", "--format", "combined", "--customer-field", "user",
            "--customers", folder / "map.csv", "--source", "growth", "--charge",
        )(world)  # fmt: skip


def replayed(world: World) -> None:
    announced = Announced(world.owner.pk, None, "search", "POST", Decimal(1), None, 900, uuid.uuid4().hex)
    line = to_line(SpooledRequest(announced, Outcome(200, None, None, 5, "r"), None, timezone.now()))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Spool(folder, max_bytes=10**6).append(line)
        done("replay_spool", folder)(world)


def file_is_allowed(world: World) -> None:
    clerk = StaffFactory(email=f"{uuid.uuid4().hex}@example.com")
    send(f"{world.owner.pk},5,goodwill,{uuid.uuid4().hex},", by=clerk)


def yesterday(_: World) -> str:
    return f"{timezone.now().astimezone(dt.UTC) - dt.timedelta(days=1):%Y-%m-%d}"


def locked_out(world: World) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO accounts_loginattempt (account, attempted_at, device)"
            " SELECT %s, now(), '' FROM generate_series(1, 20)",
            [world.owner.email],
        )


def prefix(world: World) -> str:
    return ApiKey.objects.get(pk=world.ids["api key"]).prefix


def statement_written(world: World) -> None:
    with tempfile.TemporaryDirectory() as name:
        done("statement", email, "--month", f"{timezone.now():%Y-%m}", "--output", Path(name) / "statement.pdf")(world)


BISECTED = (
    "The place at each of 31 midnights is found by bisection, twenty steps for a million entries; grants and other "
    "entries that are not usage are read one by one."
)
IT_RUNS = "It runs for as long as the server does."
COMMANDS: dict[str, Case | NotMeasured] = {
    "adjust_credits": Case(
        done("adjust_credits", email, "5", "--reason", "goodwill", "--note", "x", "--actor", "staff@example.com",
             "--idempotency-key", key),
        lambda _: StaffFactory(email="staff@example.com", is_superuser=True),
    ),
    "anchor": Case(done("anchor")),
    "change_subscription": Case(
        done("change_subscription", email, "plan", "--plan", "growth", "--idempotency-key", key),
        lambda world: (has_subscribed(world), PlanFactory(code="growth", credits_per_period=Decimal(5000))),
    ),
    "create_api_key": Case(done("create_api_key", "--user", email, "--name", "x", "--scope", "account:read")),
    "create_customer": Case(done("create_customer", "new@example.com", "--credits", "5")),
    "dbshell": NotMeasured("It starts psql."),
    "deliver_webhooks": Case(delivered, has_notice_due),
    "doctor": Case(
        done("doctor", codes=(0, 3))),
    "expire_grants": Case(done("expire_grants"), grants_have_expired),
    "expire_holds": Case(done("expire_holds"), holds_have_expired),
    "fold_figures": NotMeasured("It counts what all customers have and use, so that no page does."),
    "freeze_sql": NotMeasured("It writes files of the code, and reads no database."),
    "grant_credits": Case(done("grant_credits", email, "5", "--reason", "grant", "--idempotency-key", key)),
    "import_requests": Case(imported),
    "maintain_partitions": Case(done("maintain_partitions", "--dry-run")),
    "migrate": NotMeasured("It changes tables, and no customer's rows."),
    "post_adjustments": Case(done("post_adjustments"), file_is_allowed),
    "postgres": NotMeasured("It starts and stops the server."),
    "rebuild_usage": Case(
        done("rebuild_usage", "--user", email, "--from", yesterday, "--to", yesterday), most=500, per_row=0.05,
        why="It counts the requests of a day anew: it reads those of that day, a sixtieth of the history.",
    ),
    "reconcile": Case(
        done("reconcile", "--user", email, "--no-provider", codes=(0, 3)), most=5_000, per_row=3.0,
        why="It looks at everything that there is of the customer, once a night: so many buffers for each row.",
    ),
    "reconcile_on_request": NotMeasured("It is `reconcile` of everybody, when staff ask for it."),
    "renew_subscriptions": Case(done("renew_subscriptions"), period_is_over),
    "replay_spool": Case(replayed),
    "revoke_api_key": Case(done("revoke_api_key", prefix)),
    "run_auto_reload": Case(done("run_auto_reload"), runs_low),
    "reset_second_factor": NotMeasured("It is about one member of staff, and nothing of a customer's."),
    "setup_roles": NotMeasured("It reads and writes permissions of roles, and nothing of a customer's."),
    "seed_demo": NotMeasured("It makes a demo company of a fixed size, in an installation of its own."),
    "send_alerts": Case(done("send_alerts"), has_crossed),
    "set_price": Case(done("set_price", "growth", "1")),
    "settle_payments": Case(done("settle_payments"), payment_is_open),
    "start_subscription": Case(
        done("start_subscription", email, "growth", "--idempotency-key", key), has_no_subscription,
    ),
    "statement": Case(statement_written, most=6_000, per_row=0.02, why=BISECTED),
    "unlock": Case(done("unlock", email), locked_out),
    "worker": NotMeasured(IT_RUNS),
}  # fmt: skip


def our_commands() -> list[str]:
    """Return the names of all commands of this project."""
    return sorted(name for name, app in get_commands().items() if str(app).split(".")[0] in OURS)
