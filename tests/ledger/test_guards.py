"""What the database refuses even to the owner of the tables, to prevent mistakes."""

import psycopg
import pytest

A_MONTH, ITS_PARTITION = "2031-05-17", "usage_requestlog_2031_05"


@pytest.fixture
def history(owner):
    """Create a customer with one entry of 100 and an open hold of 30, in the owner's transaction; return the id."""
    (user_id,) = owner.execute(
        "INSERT INTO accounts_user (email, password, full_name, is_superuser, is_active, is_staff, created_at)"
        " VALUES ('guarded@example.com', '!', '', false, true, false, now()) RETURNING id"
    ).fetchone()
    owner.execute(
        "SELECT ledger_post_entry(%s, 'credit', 'grant', 100, '', NULL, '{}', 'test', 'k', '', NULL)", [user_id]
    )
    owner.execute("SELECT ledger_open_hold(%s, 30, 900, NULL, '{}', 'k', '')", [user_id])
    owner.execute("SELECT usage_ensure_partition(%s)", [A_MONTH])
    owner.execute("SET CONSTRAINTS ALL IMMEDIATE")  # a table with pending checks cannot be truncated
    return user_id


def assert_refused(owner, statement, parameters=None):
    with pytest.raises(psycopg.errors.RestrictViolation, match="is refused: what it records is never altered"):
        owner.execute(statement, parameters)


@pytest.mark.parametrize(
    "statement",
    [
        *(
            form.format(table)
            for table in (
                "ledger_entry",
                "ledger_grantdraw",
                "ledger_operationkey",
                "ledger_termschange",
                "usage_requestlog",
                ITS_PARTITION,
            )
            for form in ("UPDATE {} SET user_id = 1", "DELETE FROM {}", "TRUNCATE {}")
        ),
        "UPDATE usage_requestlog SET user_id = 1 WHERE false",
        "DELETE FROM ledger_entry WHERE false",
        "TRUNCATE ledger_entry CASCADE",
        "INSERT INTO ledger_entry SELECT * FROM ledger_entry ON CONFLICT (id) DO UPDATE SET amount = 1",
        "DELETE FROM ledger_balance",
        "TRUNCATE ledger_balance",
        "TRUNCATE accounts_user CASCADE",
        "DELETE FROM ledger_grant",
        "TRUNCATE ledger_grant",
        "DELETE FROM ledger_grantprogress",
        "TRUNCATE ledger_grantprogress",
        "DELETE FROM ledger_hold",
        "TRUNCATE ledger_hold",
    ],
)
def test_a_record_is_never_altered_or_removed(owner, history, statement):
    assert_refused(owner, statement)


@pytest.mark.parametrize(
    "change",
    [
        "balance = balance + 1",
        "granted_total = granted_total + 1",
        "seal = ''",
        "balance = balance + 1, seq = seq - 1",
        "seq = seq - 1",
        "balance = 0, seq = 0, seal = '', reserved = 0, granted_total = 0",
        "user_id = user_id + 1, seq = seq + 1",
    ],
)
def test_a_balance_changes_only_with_the_next_entry(owner, history, change):
    assert_refused(owner, f"UPDATE ledger_balance SET {change} WHERE user_id = %s", [history])


@pytest.mark.parametrize("change", ["frozen_at = now()", "overdraft_limit = 10", "reserved = 0", "updated_at = now()"])
def test_fields_that_no_entry_records_may_change(owner, history, change):
    changed = owner.execute(f"UPDATE ledger_balance SET {change} WHERE user_id = %s", [history])

    assert changed.rowcount == 1


@pytest.mark.parametrize("settled", ["captured", "released", "expired"])
@pytest.mark.parametrize(
    "change", ["status = 'open'", "settled_at = now()", "captured = 1", "reference = 'other'", "metadata = '[]'"]
)
def test_a_settled_hold_stays_as_it_is(owner, history, settled, change):
    owner.execute("UPDATE ledger_hold SET status = %s, settled_at = now() WHERE user_id = %s", [settled, history])

    assert_refused(owner, f"UPDATE ledger_hold SET {change} WHERE user_id = %s", [history])


@pytest.mark.parametrize(
    "change",
    [
        "credits = credits + 1",
        "expires_at = expires_at - interval '1 second'",
        "user_id = user_id + 1",
    ],
)
def test_an_open_hold_keeps_what_it_was_opened_for(owner, history, change):
    assert_refused(owner, f"UPDATE ledger_hold SET {change} WHERE user_id = %s", [history])


def test_captured_credits_are_not_taken_back(owner, history):
    owner.execute("UPDATE ledger_hold SET captured = 10 WHERE user_id = %s", [history])

    assert_refused(owner, "UPDATE ledger_hold SET captured = 9 WHERE user_id = %s", [history])


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE ledger_balance SET reserved = -1", "balance_covers_holds_and_overdraft"),
        ("UPDATE ledger_balance SET reserved = 101", "balance_covers_holds_and_overdraft"),
        ("UPDATE ledger_balance SET overdraft_limit = -1", "balance_covers_holds_and_overdraft"),
        ("UPDATE ledger_balance SET balance = 29, seq = seq + 1", "balance_covers_holds_and_overdraft"),
        ("UPDATE ledger_balance SET balance = 'NaN', seq = seq + 1", "balance_covers_holds_and_overdraft"),
        ("UPDATE ledger_balance SET overdraft_limit = 'NaN'", "balance_covers_holds_and_overdraft"),
        ("UPDATE ledger_hold SET captured = 31", "hold_captures_at_most_what_it_holds"),
        ("UPDATE ledger_hold SET captured = 'NaN'", "hold_captures_at_most_what_it_holds"),
    ],
)
def test_an_impossible_row_is_refused_by_its_constraint(owner, history, statement, constraint):
    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        owner.execute(f"{statement} WHERE user_id = %s", [history])

    assert refused.value.diag.constraint_name == constraint


_INSERT_ENTRY = """
    INSERT INTO ledger_entry (user_id, seq, type, reason, amount, balance_after, description, operation,
        idempotency_key, fingerprint, created_at, seal)
    VALUES (%(user)s, %(seq)s, %(type)s, 'grant', %(amount)s, 1, '', %(operation)s, %(key)s, '', now(), '')
"""


@pytest.mark.parametrize(
    ("changed", "constraint"),
    [
        ({"seq": 1}, "entry_seq_is_gapless_per_user"),
        ({"operation": "test", "key": "k"}, "entry_key_is_used_once_per_operation"),
        ({"seq": 0}, "entry_sign_fits_type"),
        ({"seq": -1}, "entry_sign_fits_type"),
        ({"amount": "-1"}, "entry_sign_fits_type"),
        ({"amount": "0"}, "entry_sign_fits_type"),
        ({"amount": "NaN"}, "entry_sign_fits_type"),
        ({"type": "debit", "amount": "1"}, "entry_sign_fits_type"),
        ({"type": "debit", "amount": "0"}, "entry_sign_fits_type"),
        ({"type": "adjustment", "amount": "0"}, "entry_sign_fits_type"),
        ({"type": "adjustment", "amount": "NaN"}, "entry_sign_fits_type"),
        ({"type": "gift"}, "entry_sign_fits_type"),
    ],
)
def test_an_impossible_entry_is_refused_by_its_constraint(owner, history, changed, constraint):
    entry = {"user": history, "seq": 2, "type": "credit", "amount": "1", "operation": "other", "key": "other"}

    with pytest.raises(psycopg.errors.IntegrityError) as refused:
        owner.execute(_INSERT_ENTRY, entry | changed)

    assert refused.value.diag.constraint_name == constraint


def test_every_partition_of_the_log_has_its_own_guard(owner, history):
    unguarded = owner.execute(
        "SELECT inhrelid::regclass::text FROM pg_inherits i WHERE inhparent = 'usage_requestlog'::regclass"
        " AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = i.inhrelid AND t.tgenabled = 'O'"
        "  AND t.tgname = 'request_log_is_append_only')"
    ).fetchall()

    assert unguarded == []


def test_a_customer_with_a_balance_is_not_deleted(owner, history):
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        owner.execute("DELETE FROM accounts_user WHERE id = %s", [history])
