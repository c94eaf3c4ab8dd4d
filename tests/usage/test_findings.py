"""Findings as cases: noted by runs, open until somebody closes them, open again if they are found again."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import connection, transaction
from django.db.utils import Error
from django.utils import timezone

from config.rounds import Round
from ledger.services.reconciliation.checks import Finding, Scope
from tests.backoffice import audit, found
from tests.factories import StaffFactory, UserFactory, customer_with
from tests.module_data import as_owner
from usage.errors import FindingClosed, FindingKeyReused, FindingNotFound
from usage.models import FindingEvent, ReconciliationFinding
from usage.services.findings.closing import close_finding
from usage.services.findings.noting import note_findings, subject_of
from usage.services.reconciliation import ALL_CHECKS

pytestmark = pytest.mark.django_db
# Facts that move on while a finding stays the same.
MOVE_ON = {
    "amount", "balance", "balance_after", "credits", "drawn", "expected", "expected_seq", "expired", "granted_total",
    "logged", "remaining", "requests", "reserved", "seq", "spent", "summed_credits", "summed_requests", "used",
}  # fmt: skip


def closed(finding, *, key="k", note="Settled by hand", actor=None):
    actor = actor or StaffFactory()
    return close_finding(finding_id=finding.pk, note=note, actor_id=actor.pk, idempotency_key=key)


def kinds(finding):
    return list(FindingEvent.objects.filter(finding=finding).order_by("id").values_list("kind", flat=True))


def test_a_finding_is_kept_once_however_often_it_is_found():
    alice = customer_with(1)

    for _ in range(3):
        finding = found(alice)

    assert ReconciliationFinding.objects.count() == 1
    assert (finding.times_found, finding.closed_at, kinds(finding)) == (3, None, ["found"])
    assert finding.subject == f"customer {alice.pk}, entry 7"


def test_noting_the_same_run_again_changes_nothing():
    run = audit(findings=1)
    first = found(customer_with(1), run=run)

    again = found(first.user, run=run)

    assert (again.times_found, again.last_found_at, kinds(again)) == (1, first.last_found_at, ["found"])


def test_findings_about_other_entries_or_customers_are_others():
    alice, bob = customer_with(1), customer_with(1)

    findings = {found(alice, 1).pk, found(alice, 2).pk, found(bob, 1).pk, found(None, 1).pk}

    assert len(findings) == 4


def test_figures_may_move_on_while_the_finding_stays_the_same():
    alice = customer_with(1)
    first, later = (Finding("balance_is_last_entry", alice.pk, "x", {"balance": each, "seq": each}) for each in (1, 2))

    assert subject_of(first) == subject_of(later) == f"customer {alice.pk}"


def test_what_moves_on_is_no_part_of_the_identity_of_any_finding():
    names = set()
    for check in ALL_CHECKS:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM ({check.query}) found LIMIT 0", Scope().parameters())
            names |= {column.name for column in cursor.description} - {"user_id"}
    naming = {name for name in names if subject_of(Finding("x", None, "", {name: 1})) != "everything"}

    assert names >= MOVE_ON
    assert not naming & MOVE_ON
    assert naming >= {"entry_id", "hold_id", "payment_id", "day", "endpoint"}


def test_a_finding_that_is_closed_and_found_again_is_open_again_with_its_history():
    finding = found(customer_with(1))
    closed(finding)

    again = found(finding.user)

    assert again.pk == finding.pk
    assert again.closed_at is None
    assert again.opened_at > finding.opened_at
    assert kinds(again) == ["found", "closed", "reopened"]


def test_a_run_that_looked_before_the_finding_was_closed_does_not_open_it_again():
    finding = found(customer_with(1))
    before = audit(findings=1, started_at=timezone.now() - dt.timedelta(minutes=1))
    closed(finding)

    again = found(finding.user, run=before)

    assert again.closed_at is not None
    assert kinds(again) == ["found", "closed"]


def test_closing_repeated_with_its_key_returns_the_first_closing():
    finding, staff = found(customer_with(1)), StaffFactory()

    first = closed(finding, actor=staff)
    again = closed(finding, actor=staff)

    assert (first.is_replay, again.is_replay, again.event) == (False, True, first.event)
    assert kinds(finding) == ["found", "closed"]


def test_closing_refuses_a_key_of_another_note_and_a_finding_that_is_closed_or_not_there():
    finding, staff = found(customer_with(1)), StaffFactory()
    closed(finding, actor=staff)

    with pytest.raises(FindingKeyReused):
        closed(finding, actor=staff, note="Another note")
    with pytest.raises(FindingClosed):
        closed(finding, actor=staff, key="other")
    with pytest.raises(FindingNotFound):
        close_finding(finding_id=0, note="x", actor_id=staff.pk, idempotency_key="k")


def test_a_finding_that_cannot_be_kept_does_not_stop_the_others():
    alice, said = UserFactory(), []
    findings = [Finding("c", alice.pk, "x", {"entry_id": float("nan")}), Finding("c", alice.pk, "x", {"entry_id": 2})]
    customers = Round(say=said.append)

    note_findings(audit(findings=2), findings, customers)

    assert [finding.subject for finding in ReconciliationFinding.objects.all()] == [f"customer {alice.pk}, entry 2"]
    assert list(customers.failed) == [alice.pk]
    assert len(said) == 1


def test_of_each_check_the_first_hundred_are_kept():
    findings = [Finding(check, None, "x", {"entry_id": number}) for check in ("a", "b") for number in range(105)]

    note_findings(audit(findings=len(findings)), findings, Round())

    kept = ReconciliationFinding.objects.values_list("check_name", flat=True)
    assert (list(kept).count("a"), list(kept).count("b")) == (100, 100)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE usage_findingevent SET note = 'nothing happened'",
        "DELETE FROM usage_findingevent",
        "DELETE FROM usage_reconciliationfinding",
        "UPDATE usage_reconciliationfinding SET subject = 'another'",
        "UPDATE usage_reconciliationfinding SET found_at = now()",
        "UPDATE usage_reconciliationfinding SET times_found = 0",
        "TRUNCATE usage_findingevent",
    ],
)
def test_not_even_the_owner_alters_what_became_of_a_finding(statement):
    with as_owner(), transaction.atomic():  # on a connection of its own, which no test rolls back
        closed(found(customer_with(1)))
        connection.check_constraints()  # so that no foreign key waits, which would refuse a TRUNCATE by itself

        with (
            pytest.raises(Error, match=r"is refused|cannot truncate"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
        transaction.set_rollback(True)


@pytest.mark.parametrize("table", ["usage_findingevent", "usage_reconciliationfinding"])
@pytest.mark.parametrize("statement", ["INSERT INTO {} DEFAULT VALUES", "UPDATE {} SET id = id", "DELETE FROM {}"])
def test_the_application_writes_findings_by_functions_alone(table, statement):
    with pytest.raises(Error, match="permission denied"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement.format(table))
