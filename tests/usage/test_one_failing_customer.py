"""A database error for one customer does not stop the others, in every command over all customers."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest
from django.core import mail
from django.db import connection
from django.utils import timezone

from accounts.models import Notice, User, WebhookEndpoint
from accounts.services.notices import notify_customer
from config.cli.command import EXIT_ERROR
from ledger.models import Entry, Hold, HoldStatus, Payment, PaymentState
from ledger.providers import fake as cards
from ledger.selectors import balance_of
from ledger.services.reconciliation.checks import Scope
from tests.accounts.receivers import LOOPBACK, receiving
from tests.accounts.webhooks import endpoint_of, tell
from tests.conftest import owner_connection
from tests.factories import StaffFactory, UserFactory, customer_with
from tests.failing import failing
from tests.ledger.adjusting import send
from tests.ledger.granting import end, granted
from tests.ledger.paying import LATER, bought
from tests.ledger.posting import hold, post
from tests.ledger.reloading import low, soon
from tests.ledger.running import run
from tests.ledger.subscribing import let_time_pass, plan, spans, subscribe
from tests.ledger.tampering import tamper
from tests.usage.histories import eventful, prices
from tests.usage.metering import price
from usage.models import AlertKind, RequestLog
from usage.services.alerts.actions import create_alert
from usage.services.metered_requests import Announced, Outcome
from usage.services.reconciliation import reconcile
from usage.services.spool.files import Spool
from usage.services.spool.lines import SpooledRequest, to_line

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])


@dataclass
class Case:
    """One command over customers: how to make one due, where it fails, and how to read who was served."""

    command: Callable[[Path], tuple[object, ...]]
    table: str
    make: Callable[[Path], User]
    served: Callable[[User], object]
    counts: str = "failed"
    names: Callable[[User], object] = lambda user: user.pk
    failures: int = 1


def with_expired_hold(_: Path) -> User:
    user = customer_with(50)
    hold(user, 5, seconds=0)
    return user


def with_expired_grant(_: Path) -> User:
    user = UserFactory()
    end(granted(user, 10, days=1))
    return user


def with_due_period(_: Path) -> User:
    user = UserFactory()
    subscribe(user, plan(100))
    let_time_pass(user, months=1)
    return user


def with_line_of_a_file(_: Path) -> User:
    user = UserFactory()
    send(f"{user.pk},5,goodwill,Sorry,", by=StaffFactory())
    return user


def with_open_payment(_: Path) -> User:
    user = UserFactory()
    bought(user, cards.ANSWER_LOST, now=timezone.now() - LATER)
    return user


def with_refund_to_take(_: Path) -> User:
    user = UserFactory()
    payment = bought(user, cards.APPROVE)
    Payment.objects.filter(pk=payment.pk).update(refunded_minor=1250)  # noted, and killed before it was settled
    return user


def with_low_credits(_: Path) -> User:
    return low(50, now=soon())


def with_crossing(_: Path) -> User:
    user = customer_with(100)
    create_alert(user_id=user.pk, kind=AlertKind.BALANCE_BELOW, threshold=Decimal(50), now=timezone.now())
    post(user, -60)
    return user


def with_expiring_grant(_: Path) -> User:
    user = UserFactory()
    granted(user, 10, days=3)
    run("send_alerts", "--json")  # watches, and sends no notice yet
    Notice.objects.all().delete()
    return user


def with_spooled_request(folder: Path) -> User:
    user = customer_with(10)
    price("search", 1)
    announced = Announced(user.pk, None, "search", "POST", Decimal(1), None, 900, str(uuid.uuid4()))
    request = SpooledRequest(announced, Outcome(200, None, None, 5, "r"), None, timezone.now())
    for _ in range(2):
        another = announced._replace(key=str(uuid.uuid4()))
        Spool(folder, max_bytes=10**7).append(to_line(request._replace(announced=another)))
    return user


def with_log_lines(folder: Path) -> User:
    user = customer_with(10)
    price("*", 1)
    with (folder / "access.log").open("a") as log:
        for _ in range(2):
            log.write(f'10.0.0.1 - {user.email} [10/Nov/2026:13:55:36 +0000] "GET /a HTTP/1.1" 200 5\n')
    return user


def with_wrong_sums(_: Path) -> User:
    prices()
    user = eventful(f"{uuid.uuid4().hex}@example.com")
    tamper(f"UPDATE usage_dailyusage SET successful = successful + 1 WHERE user_id = {user.pk}")
    return user


def without(*checks: str) -> Callable[[User], bool]:
    return lambda user: not {finding.check for finding in reconcile(Scope(user.pk))[1]} & set(checks)


def state_of_payment(user: User) -> bool:
    return Payment.objects.get(user=user).state == PaymentState.SUCCEEDED


CASES = {
    "expire_holds": Case(
        lambda _: ("expire_holds",), "ledger_hold", with_expired_hold,
        lambda user: Hold.objects.get(user=user).status == HoldStatus.EXPIRED,
    ),
    "expire_grants": Case(
        lambda _: ("expire_grants",), "ledger_grant", with_expired_grant,
        lambda user: Entry.objects.filter(user=user, reason="expiry").exists(),
    ),
    "renew_subscriptions": Case(
        lambda _: ("renew_subscriptions",), "ledger_subscriptionperiod", with_due_period,
        lambda user: len(spans(user)) == 2,
    ),
    "post_adjustments": Case(
        lambda _: ("post_adjustments",), "ledger_entry", with_line_of_a_file,
        lambda user: Entry.objects.filter(user=user, operation="adjustment").exists(),
    ),
    "settle_payments": Case(
        lambda _: ("settle_payments",), "ledger_payment", with_open_payment, state_of_payment, "errors",
        lambda user: Payment.objects.get(user=user).pk,
    ),
    "settle_payments, taking back": Case(
        lambda _: ("settle_payments",), "ledger_entry", with_refund_to_take,
        lambda user: balance_of(user_id=user.pk).balance == 0, "errors",
        lambda user: Payment.objects.get(user=user).pk,
    ),
    "run_auto_reload": Case(
        lambda _: ("run_auto_reload",), "ledger_payment", with_low_credits,
        lambda user: Payment.objects.filter(user=user).exists(), "errors",
    ),
    "send_alerts, crossings": Case(
        lambda _: ("send_alerts",), "usage_alert", with_crossing,
        lambda user: user.email in {to for email in mail.outbox for to in email.to},
    ),
    "send_alerts, expiring grants": Case(
        lambda _: ("send_alerts",), "accounts_notice", with_expiring_grant,
        lambda user: Notice.objects.filter(user=user, type="grant.expiring").exists(),
    ),
    "replay_spool": Case(
        lambda folder: ("replay_spool", folder), "usage_requestlog", with_spooled_request,
        lambda user: RequestLog.objects.filter(user=user).count() == 2,
    ),
    "import_requests": Case(
        lambda folder: (
            "import_requests", folder / "access.log", "--format", "combined", "--customer-field", "user",
            "--customers", folder / "map.csv", "--source", "gw", "--charge",
        ),
        "usage_requestlog", with_log_lines, lambda user: RequestLog.objects.filter(user=user).count() == 2,
        failures=2,  # lines
    ),
    "rebuild_usage": Case(
        lambda _: ("rebuild_usage", "--from", "2026-01-01", "--to", "2026-12-31"), "usage_dailyusage", with_wrong_sums,
        without("sums_are_the_log"),
    ),
    "reconcile --fix": Case(
        lambda _: ("reconcile", "--fix"), "usage_dailyusage", with_wrong_sums, without("sums_are_the_log"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_command_serves_the_others_when_one_customer_fails(name, tmp_path):
    case = CASES[name]
    first, failed, last = (case.make(tmp_path) for _ in range(3))
    (tmp_path / "map.csv").write_text("".join(f"{user.email},{user.pk}\n" for user in (first, failed, last)))
    mail.outbox.clear()

    with failing(failed, case.table):
        ran = run(*case.command(tmp_path), "--json")
        served = [case.served(user) for user in (first, failed, last)]
    again = run(*case.command(tmp_path), "--json")

    assert served == [True, False, True]
    assert (ran.code, again.code) == (EXIT_ERROR, 0), (ran.err, again.err)
    assert (ran.json[case.counts], again.json.get(case.counts, 0)) == (case.failures, 0)
    assert f" {case.names(failed)}: The database refused: broken for a test" in ran.err
    assert ran.err.rstrip().endswith(f"could not be served: {case.names(failed)}.")
    assert [case.served(user) for user in (first, failed, last)] == [True] * 3


def test_a_customer_whose_rows_are_locked_keeps_no_other_waiting(tmp_path):
    first, locked, last = (with_expired_hold(tmp_path) for _ in range(3))
    with owner_connection() as owner:
        owner.execute("SELECT FROM ledger_balance WHERE user_id = %s FOR UPDATE", [locked.pk])
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '50ms'")
        try:
            ran = run("expire_holds", "--json")
        finally:
            connection.close()

    assert (ran.code, ran.json["holds"], ran.json["failed"]) == (EXIT_ERROR, 2, 1)
    assert f"Customer {locked.pk}: The database cannot be used: canceling statement due to lock timeout" in ran.err
    assert [Hold.objects.get(user=user).status for user in (first, last)] == [HoldStatus.EXPIRED] * 2


def test_emails_go_out_to_the_others_when_one_cannot_be_noted():
    people = [UserFactory() for _ in range(3)]
    for user in people:
        notify_customer(
            user_id=user.pk, type="balance.low", key="1", data={}, subject="Low", body="…", now=timezone.now()
        )

    with failing(people[0], "accounts_notice"):
        ran = run("send_alerts", "--json")

    assert (ran.code, ran.json["emails"], ran.json["failed"]) == (EXIT_ERROR, 2, 1)
    assert [email.to for email in mail.outbox] == [[user.email] for user in people[1:]]


@pytest.mark.parametrize("table", ["accounts_webhookattempt", "accounts_webhookdelivery"])
def test_webhooks_of_the_others_are_delivered_when_one_cannot_be_noted(settings, table):
    settings.WEBHOOKS_MAY_REACH = [LOOPBACK]
    people = [UserFactory() for _ in range(3)]
    with receiving() as receiver:
        endpoints = [endpoint_of(user, receiver.url(f"/{user.pk}")) for user in people]
        for user in people:
            tell(user, now=timezone.now())

        with failing(people[0], table):
            ran = run("deliver_webhooks", "--json")

    assert (ran.code, ran.json["delivered"], ran.json["errors"]) == (EXIT_ERROR, 2, 1)
    assert f"Endpoint {endpoints[0].pk}: The database refused: broken for a test" in ran.err
    assert {f"/{user.pk}" for user in people[1:]} <= {message.path for message in receiver.got}


def test_deliveries_of_the_others_are_given_up_when_one_cannot_be():
    people = [UserFactory() for _ in range(3)]
    endpoints = [endpoint_of(user) for user in people]
    for user in people:
        tell(user, now=timezone.now())
    WebhookEndpoint.objects.update(is_active=False, disabled_at=timezone.now(), disabled_reason="customer")

    with failing(people[0], "accounts_webhookdelivery"):
        ran = run("deliver_webhooks", "--json")

    assert (ran.code, ran.json["failed"], ran.json["errors"]) == (EXIT_ERROR, 2, 1)
    assert f"Endpoint {endpoints[0].pk}: " in ran.err
