"""The rights of the application's role: the application cannot forge history."""

import datetime as dt

import pytest
from django.apps import apps
from django.contrib.admin.models import CHANGE, LogEntry
from django.db import ProgrammingError, connection, connections, transaction
from psycopg.errors import InsufficientPrivilege

from config.db.prepared import sqlstate
from config.db.roles import doors, grant_application_rights, guarded_tables
from tests.factories import StaffFactory, customer_with
from usage.services.partitions import ensure_partition

pytestmark = pytest.mark.django_db

GUARDED = {
    "ledger_adjustmentday",
    "ledger_adjustmentline",
    "ledger_adjustmentrequest",
    "ledger_anchor",
    "ledger_anchorplace",
    "ledger_balance",
    "ledger_entry",
    "ledger_grant",
    "ledger_granttermschange",
    "ledger_grantdraw",
    "ledger_grantprogress",
    "ledger_hold",
    "ledger_operationkey",
    "ledger_subscriptionperiod",
    "ledger_termschange",
    "ledger_threshold",
    "usage_dailyusage",
    "usage_droppedmonth",
    "usage_eventkey",
    "usage_findingevent",
    "usage_importedline",
    "usage_keyspending",
    "usage_reconciliationfinding",
    "usage_refund",
    "usage_requestlog",
}
# Tables that the application may write: no credits and no evidence.
WRITABLE_APPS = (
    "accounts_",
    "auth_",
    "config_",
    "django_",
    "procrastinate_",
    *("account_", "mfa_", "socialaccount_", "usersessions_"),  # of django-allauth
)
# Facts from providers and terms of customers; their effects on a balance go through the doors.
PAYMENTS = {
    "ledger_autoreload",
    "ledger_autoreloadevent",
    "ledger_payment",
    "ledger_cardsaving",
    "ledger_paymentcustomer",
    "ledger_paymentrefund",
    "ledger_paymentdispute",
    "ledger_paymentmethod",
    "ledger_paymentoutcome",
    "ledger_staffrefund",
    "ledger_topuppackage",
}
CHANGES = {"ledger_subscriptionchange"}  # rows are inserted and never changed
FIGURES = {"usage_dayfigures", "usage_endpointfigures", "usage_customerfigures"}  # derived, and made again each minute
DISPUTES = {"ledger_entrydispute", "ledger_disputemessage"}  # messages are inserted and never changed
LIMITS = {"ledger_adjustmentlimit"}  # which superusers set, as they set roles
WRITABLE = (
    {"usage_alert", "usage_importedcustomer", "usage_price", "usage_reconciliationrun", "usage_requestedrun"}
    | FIGURES
    | PAYMENTS
    | CHANGES
    | DISPUTES
    | LIMITS
)
DOORS = {
    "ledger_decide_adjustment",
    "ledger_request_adjustment",
    "ledger_request_adjustment_file",
    "ledger_settle_adjustment_line",
    "ledger_begin_anchor",
    "ledger_change_grant_end",
    "ledger_sign_anchor",
    "ledger_correct_drift",
    "ledger_extend_hold",
    "ledger_expire_holds",
    "ledger_first_seq_at",
    "ledger_freeze",
    "ledger_credits_by_category",
    "ledger_expired_credits",
    "ledger_watch",
    "ledger_rearm",
    "ledger_look_at_threshold",
    "ledger_open_grant",
    "ledger_open_hold",
    "ledger_post_entry",
    "ledger_release_hold",
    "ledger_renew",
    "ledger_seal",
    "ledger_set_overdraft",
    "ledger_settle_reversals",
    "ledger_settle_grants",
    "ledger_subscription_due_at",
    "usage_capture_hold",
    "usage_charge",
    "usage_charge_batch",
    "usage_close_finding",
    "usage_cost",
    "usage_count_key",
    "usage_ensure_partition",
    "usage_find_price",
    "usage_has_been_done",
    "usage_is_rejected",
    "usage_key_held",
    "usage_key_spent",
    "usage_key_spent_in_log",
    "usage_key_standing",
    "usage_number_repeat",
    "usage_note_finding",
    "usage_open_hold",
    "usage_rebuild_sums",
    "usage_record_events",
    "usage_record_lines",
    "usage_refund",
    "usage_spending_began",
    "usage_spending_ends",
}
# procrastinate's functions, which run with the application's own rights, on tables that it may write anyway.
JOBS = "procrastinate_"
DOORS_OF_JOBS = {
    "procrastinate_defer_jobs_v1",
    "procrastinate_defer_periodic_job_v2",
    "procrastinate_fetch_job_v2",
    "procrastinate_finish_job_v1",
    "procrastinate_prune_stalled_workers_v1",
    "procrastinate_register_worker_v1",
    "procrastinate_unregister_worker_v1",
    "procrastinate_update_heartbeat_v1",
}
# Doors that only read what the application may read anyway, and so run with its own rights.
DOORS_WITHOUT_RIGHTS = {
    "ledger_seal",
    "ledger_subscription_due_at",
    "usage_cost",
    "usage_find_price",
    "usage_is_rejected",
    "usage_key_held",
    "usage_key_spent",
    "usage_key_spent_in_log",
    "usage_key_standing",
    "usage_spending_began",
    "usage_spending_ends",
}
# Triggers of what the application may do; not callable.
TRIGGERS_WITH_RIGHTS = {"usage_begin_key_spending", "usage_note_reversal"}
INNER_ROOMS = {
    "ledger_adjustment_limits",
    "ledger_adjustment_outcome_of",
    "ledger_balance_at",
    "ledger_burn_down",
    "ledger_capture_hold",
    "ledger_changes_by_credit",
    "ledger_changes_by_debits",
    "ledger_collect_owed_credits",
    "ledger_count_adjustment",
    "ledger_debit_batch",
    "ledger_drawn_at",
    "ledger_end_by_staff",
    "ledger_expiry_entry",
    "ledger_grant_events",
    "ledger_grant_moves",
    "ledger_grant_steps",
    "ledger_grants_at",
    "ledger_grants_concerned",
    "ledger_grants_of_due_periods",
    "ledger_has_grants_that_end",
    "ledger_hold_result",
    "ledger_is_adjusted_by",
    "ledger_is_far_behind",
    "ledger_left_to_reverse",
    "ledger_level_of_reversed",
    "ledger_lock_balance",
    "ledger_lock_hold",
    "ledger_lock_used_balance",
    "ledger_may_skip",
    "ledger_months_after",
    "ledger_months_of",
    "ledger_move",
    "ledger_moves_at_once",
    "ledger_next_debits",
    "ledger_note_crossing",
    "ledger_note_grants",
    "ledger_note_periods",
    "ledger_oldest_anchor",
    "ledger_operation_replay",
    "ledger_period_entry",
    "ledger_periods_due",
    "ledger_place_of_draw",
    "ledger_place_of_grant",
    "ledger_places_to",
    "ledger_post_adjustment",
    "ledger_post_expiries",
    "ledger_prorated",
    "ledger_refund",
    "ledger_refusal",
    "ledger_refuse_change",
    "ledger_refuse_inexact",
    "ledger_refuse_long_history",
    "ledger_refuse_move_without_seq",
    "ledger_refuse_unrecorded_end",
    "ledger_refuse_to_forget_anchors",
    "ledger_replay",
    "ledger_replay_terms",
    "ledger_reversal_reason",
    "ledger_rows_before",
    "ledger_rows_of_credit",
    "ledger_rows_of_debits",
    "ledger_rows_of_taking",
    "ledger_second_person_because",
    "ledger_settle_due",
    "ledger_settle_expired",
    "ledger_settle_history",
    "ledger_settle_reversing_entry",
    "ledger_start_burn_down",
    "ledger_takings",
    "ledger_why_not_reversible",
    "ledger_with_entries",
    "usage_begin_key_spending",
    "usage_charge_each",
    "usage_count_key_from_log",
    "usage_count_key_spending",
    "usage_debit_batch",
    "usage_drop_month",
    "usage_entry_metadata",
    "usage_find_customer",
    "usage_key_left",
    "usage_lock_balance_of_finding",
    "usage_log_batch",
    "usage_log_request",
    "usage_metadata_beside",
    "usage_move_within_limit",
    "usage_note_free_charge",
    "usage_note_refund",
    "usage_note_reversal",
    "usage_note_key_spending",
    "usage_read_batch",
    "usage_rebuild_days",
    "usage_return_call",
    "usage_settle_reported",
    "usage_take_call",
}
# Tables without a user_id.
COLUMN_OF = {
    "usage_findingevent": "finding_id",
    "usage_droppedmonth": "month",
    "ledger_anchor": "customers",
    "ledger_adjustmentday": "day",
}
A_MONTH = dt.datetime(2031, 5, 17, tzinfo=dt.UTC)
ITS_PARTITION = "usage_requestlog_2031_05"


def rows(query, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return cursor.fetchall()


def assert_denied(statement):
    with pytest.raises(ProgrammingError) as refused, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert sqlstate(refused.value) == "42501", refused.value


def test_the_tests_run_as_the_applications_role():
    ((user, is_superuser, owns_something),) = rows(
        "SELECT current_user, rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls,"
        " EXISTS (SELECT FROM pg_class WHERE relowner = pg_roles.oid)"
        " FROM pg_roles WHERE rolname = current_user"
    )

    assert user != connection.settings_dict["NAME"]
    assert (is_superuser, owns_something) == (False, False)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO {} DEFAULT VALUES",
        "UPDATE {} SET {column} = {column}",
        "DELETE FROM {}",
        "TRUNCATE {}",
        "SELECT FROM {} FOR UPDATE",
        "LOCK TABLE {} IN SHARE MODE",
        "ALTER TABLE {} DISABLE TRIGGER USER",
        "ALTER TABLE {} ADD COLUMN extra integer",
        "CREATE TRIGGER extra BEFORE INSERT ON {} EXECUTE FUNCTION ledger_refuse_change()",
        "DROP TABLE {}",
    ],
)
@pytest.mark.parametrize("table", [*sorted(GUARDED), ITS_PARTITION])
def test_a_guarded_table_is_only_read(table, statement):
    ensure_partition(A_MONTH)

    assert_denied(statement.format(table, column=COLUMN_OF.get(table, "user_id")))


@pytest.mark.parametrize("table", sorted(GUARDED))
def test_a_guarded_table_is_read(table):
    assert rows(f"SELECT count(*) FROM {table}") == [(0,)]


def test_a_copy_into_the_ledger_is_refused():
    copying = "COPY ledger_entry FROM STDIN"

    with pytest.raises(InsufficientPrivilege), connection.cursor() as cursor, cursor.copy(copying):
        pass


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE extra (id integer)",
        "CREATE FUNCTION extra() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE SCHEMA extra",
        "CREATE ROLE extra",
        "SET ROLE tollbook_owner",
        "SET SESSION AUTHORIZATION tollbook_owner",
        "SET session_replication_role = replica",
        "ALTER FUNCTION ledger_seal SECURITY DEFINER",
        "DROP FUNCTION ledger_seal",
        "ALTER SEQUENCE ledger_entry_id_seq RESTART",
        "SELECT setval('ledger_entry_id_seq', 1)",
        "INSERT INTO django_migrations (app, name, applied) VALUES ('ledger', '9999', now())",
    ],
)
def test_the_application_changes_no_structure_and_no_role(statement):
    assert_denied(statement)


@pytest.mark.parametrize(
    "call",
    [
        "ledger_lock_balance(1)",
        "ledger_settle_expired(1)",
        "ledger_replay(1, '', '', '')",
        "ledger_replay_terms(1, '', '')",
        "ledger_move(1, 'credit', 'grant', 1, '', NULL, '{}', '', '', '')",
        "ledger_refusal(NULL, 1)",
        "usage_note_free_charge(1, 1, '', '', gen_random_uuid())",
        "usage_drop_month('2020-01-01', now())",
        "usage_rebuild_days(NULL, '2020-01-01', '2020-01-02')",
    ],
)
def test_inner_functions_cannot_be_called(call):
    assert_denied(f"SELECT {call}")


def test_every_function_is_a_door_or_closed():
    functions = rows(
        "SELECT proname, has_function_privilege(oid, 'EXECUTE') FROM pg_proc"
        " WHERE pronamespace = 'public'::regnamespace"
    )

    ours = [(name, is_open) for name, is_open in functions if not name.startswith(JOBS)]
    assert {name for name, is_open in functions if is_open} == DOORS | DOORS_OF_JOBS == set(doors())
    assert {name for name, is_open in ours if not is_open} == INNER_ROOMS


def test_every_door_has_one_form():
    names = [name for (name,) in rows("SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace")]

    assert len(names) == len(set(names))  # rights are granted by name: an overload would get them too


def test_functions_with_the_owners_rights_have_a_fixed_search_path():
    functions = rows("SELECT proname, proconfig FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef")

    assert {name for name, _ in functions} == DOORS - DOORS_WITHOUT_RIGHTS | TRIGGERS_WITH_RIGHTS
    assert {tuple(config or ()) for _, config in functions} == {("search_path=pg_catalog, public, pg_temp",)}


def test_every_table_is_guarded_or_known_to_be_writable():
    ensure_partition(A_MONTH)
    tables = rows(
        "SELECT c.relname, coalesce(parent.relname, c.relname),"
        " has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')"
        " FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid"
        " LEFT JOIN pg_class parent ON parent.oid = i.inhparent"
        " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
    )

    not_writable = {whole for _, whole, is_writable in tables if not is_writable}
    writable = {name for name, _, is_writable in tables if is_writable}
    assert not_writable == GUARDED | {"django_migrations"}
    assert set(guarded_tables()) == GUARDED
    assert {name for name in writable if not name.startswith(WRITABLE_APPS)} == WRITABLE


def test_every_model_of_the_ledger_but_payments_is_guarded():
    tables = {model._meta.db_table for model in apps.get_app_config("ledger").get_models()}

    assert tables <= GUARDED | PAYMENTS | CHANGES | DISPUTES | LIMITS


def test_no_column_is_granted_by_itself():
    columns = rows(
        "SELECT attrelid::regclass::text, attname FROM pg_attribute WHERE attacl IS NOT NULL AND attnum > 0"
        " AND attrelid::regclass::text = ANY(%s)",
        sorted(GUARDED),
    )

    assert columns == []


@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
def test_granting_the_rights_again_changes_nothing():
    query = "SELECT relname, relacl::text FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"
    owner = connections["owner"].copy()
    owner.connect()
    grant_application_rights(owner, connection.settings_dict["USER"])  # there may be partitions since `migrate`
    before = rows(query)

    grant_application_rights(owner, connection.settings_dict["USER"])
    owner.close()

    assert rows(query) == before
    customer_with(1)  # the doors are still open


@pytest.mark.parametrize("statement", ["UPDATE {} SET id = id", "DELETE FROM {}", "TRUNCATE {}"])
@pytest.mark.parametrize("table", ["usage_price", "usage_reconciliationrun", "django_admin_log"])
def test_rows_that_are_evidence_are_added_and_never_changed(table, statement):
    with pytest.raises(ProgrammingError, match="permission denied"), connection.cursor() as cursor:
        cursor.execute(statement.format(table))


def test_the_application_writes_and_reads_the_staff_log():
    staff = StaffFactory()

    LogEntry.objects.log_actions(staff.pk, [staff], CHANGE, change_message="Froze the balance.")

    assert LogEntry.objects.get().get_change_message() == "Froze the balance."
