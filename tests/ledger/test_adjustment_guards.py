"""What the database refuses about adjustments even to the owner of the tables."""

import psycopg
import pytest

DECIDED = "adjustment_is_approved_by_a_second_person"


@pytest.fixture
def people(owner):
    """Create an author, a second person and a customer, in the owner's transaction; return their ids by name."""
    rows = owner.execute(
        "INSERT INTO accounts_user (email, password, full_name, is_superuser, is_active, is_staff, created_at)"
        " SELECT name || '@example.com', '!', '', false, true, false, now()"
        " FROM unnest(ARRAY['author', 'boss', 'alice']) name RETURNING split_part(email, '@', 1), id"
    ).fetchall()
    return dict(rows)


@pytest.fixture
def pending(owner, people):
    """Ask for 60 credits, above the limits; return the request's id."""
    row = owner.execute(
        "SELECT * FROM ledger_request_adjustment(%(alice)s, 60, 'goodwill', 'Sorry', NULL, NULL, %(author)s, 'k', '',"
        " 50, 100)",
        people,
    ).fetchone()
    owner.execute("SET CONSTRAINTS ALL IMMEDIATE")
    assert row[0] == "pending"
    return row[1]


def decide(owner, request_id, **columns):
    named = ", ".join(f"{name} = %s" for name in columns)
    owner.execute(
        f"UPDATE ledger_adjustmentrequest SET {named}, decided_at = now() WHERE id = %s",
        [*columns.values(), request_id],
    )


def refused_by(owner, constraint, request_id, **columns):
    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        decide(owner, request_id, **columns)
    assert refused.value.diag.constraint_name == constraint


@pytest.mark.parametrize("approver", ["author", "alice"])
def test_neither_author_nor_customer_approves(owner, people, pending, approver):
    refused_by(owner, DECIDED, pending, state="approved", decided_by_id=people[approver], entry_id=1)


def test_nobody_approves_without_a_name(owner, pending):
    refused_by(owner, DECIDED, pending, state="approved", entry_id=1)


def test_the_author_does_not_reject_and_others_do_not_withdraw(owner, people, pending):
    owner.execute("SAVEPOINT before")
    refused_by(owner, DECIDED, pending, state="rejected", decided_by_id=people["author"])
    owner.execute("ROLLBACK TO before")
    refused_by(owner, DECIDED, pending, state="withdrawn", decided_by_id=people["boss"])


@pytest.mark.parametrize(("state", "entry_id"), [("approved", None), ("rejected", 1)])
def test_an_entry_and_an_approval_come_together(owner, people, pending, state, entry_id):
    refused_by(
        owner, "adjustment_has_its_entry_once_approved", pending,
        state=state, decided_by_id=people["boss"], entry_id=entry_id,
    )  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        "amount = 61, total = 61",
        "note = 'other'",
        "user_id = author_id",
        "author_id = user_id",
        "second_person_because = NULL",
        "reason = 'correction'",
        "reverses_id = 1",
        "idempotency_key = 'other'",
    ],
)
def test_what_was_asked_for_never_changes(owner, pending, change):
    with pytest.raises(psycopg.errors.RestrictViolation):
        owner.execute(f"UPDATE ledger_adjustmentrequest SET {change} WHERE id = %s", [pending])


@pytest.mark.parametrize("change", ["state = 'pending'", "state = 'rejected'", "decision_note = 'other'"])
def test_a_decision_never_changes(owner, people, pending, change):
    owner.execute("SELECT ledger_decide_adjustment(%s, 'approved', %s, 'Seen')", [pending, people["boss"]])

    with pytest.raises(psycopg.errors.RestrictViolation):
        owner.execute(f"UPDATE ledger_adjustmentrequest SET {change} WHERE id = %s", [pending])


@pytest.mark.parametrize(
    "statement",
    [
        *(f"DELETE FROM ledger_adjustment{table}" for table in ("request", "line", "day")),
        *(f"TRUNCATE ledger_adjustment{table} CASCADE" for table in ("request", "line", "day")),
        "UPDATE ledger_adjustmentday SET credits = -1 + credits",
        "UPDATE ledger_adjustmentday SET day = day - 1",
    ],
)
def test_nothing_of_it_is_removed_and_the_sum_of_a_day_only_rises(owner, pending, statement):
    with pytest.raises(psycopg.errors.RestrictViolation):
        owner.execute(statement)


@pytest.mark.parametrize("amount", ["0", "'NaN'", "0.0000001"])
def test_no_amount_is_no_adjustment(owner, people, amount):
    with pytest.raises(psycopg.Error) as refused:
        owner.execute(
            f"SELECT ledger_request_adjustment(%s, {amount}, 'goodwill', 'x', NULL, NULL, %s, 'k', '', 50, 100)",
            [people["alice"], people["author"]],
        )
    assert refused.value.sqlstate in {"23514", "22023", "22003"}


def test_the_author_is_refused_by_the_door_too(owner, people, pending):
    outcomes = [
        owner.execute("SELECT outcome FROM ledger_decide_adjustment(%s, 'approved', %s, 'x')", [pending, people[who]])
        .fetchone()[0]
        for who in ("author", "alice")
    ]  # fmt: skip

    assert outcomes == ["own_request", "own_account"]
