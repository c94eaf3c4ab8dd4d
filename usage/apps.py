from django.apps import AppConfig


class UsageConfig(AppConfig):
    name = "usage"
    default_auto_field = "django.db.models.BigAutoField"

    # The triggers that stop even the owner's mistakes, and a constraint that no model declares; `doctor` looks.
    guards = (
        "a_new_key_has_spent_nothing",
        "a_limit_is_counted_when_it_is_set",
        "a_limited_key_goes_on_counting",
        "dropped_month_stays",
        "refund_stays",
        "reversal_lowers_the_statistics",
        "request_log_is_append_only",
        "event_key_stays",
        "finding_event_is_append_only",
        "finding_keeps_its_identity",
        "finding_stays",
    )
    sql_constraints = ("request_is_plausible",)

    # Written only by SQL functions; the application's role may only read them (config/db/roles.py).
    guarded_tables = (
        "usage_requestlog",
        "usage_dailyusage",
        "usage_importedline",
        "usage_droppedmonth",
        "usage_eventkey",
        "usage_keyspending",
        "usage_refund",
        "usage_reconciliationfinding",
        "usage_findingevent",
    )
    # Never changed: versions of a price, the findings of an audit, and the customers of names in logs.
    insert_only_tables = ("usage_price", "usage_reconciliationrun", "usage_importedcustomer")
    # The SQL functions that the application's role may call.
    doors = (
        "usage_charge",
        "usage_charge_batch",
        "usage_open_hold",
        "usage_capture_hold",
        "usage_refund",
        "usage_record_events",
        "usage_record_lines",
        "usage_ensure_partition",
        "usage_rebuild_sums",
        "usage_find_price",
        "usage_cost",
        "usage_is_rejected",
        "usage_spending_began",
        "usage_spending_ends",
        "usage_key_spent",
        "usage_key_spent_in_log",
        "usage_key_held",
        "usage_key_standing",
        "usage_count_key",
        "usage_has_been_done",
        "usage_note_finding",
        "usage_close_finding",
        "usage_number_repeat",
    )
