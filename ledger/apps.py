from django.apps import AppConfig

from config.db.calls import first_do


class LedgerConfig(AppConfig):
    name = "ledger"
    default_auto_field = "django.db.models.BigAutoField"

    # Written by SQL functions alone; the application's role may only read them (config/db/roles.py).
    guarded_tables = (
        "ledger_adjustmentday",
        "ledger_adjustmentline",
        "ledger_adjustmentrequest",
        "ledger_anchor",
        "ledger_anchorplace",
        "ledger_balance",
        "ledger_entry",
        "ledger_grant",
        "ledger_grantdraw",
        "ledger_grantprogress",
        "ledger_granttermschange",
        "ledger_hold",
        "ledger_operationkey",
        "ledger_subscriptionperiod",
        "ledger_termschange",
        "ledger_threshold",
    )
    # Facts about payments, auto-reload and subscriptions are append-only.
    insert_only_tables = (
        "ledger_autoreloadevent",
        "ledger_disputemessage",
        "ledger_paymentoutcome",
        "ledger_subscriptionchange",
    )
    # The SQL functions that the application's role may call.
    doors = (
        "ledger_begin_anchor",
        "ledger_sign_anchor",
        "ledger_post_entry",
        "ledger_request_adjustment",
        "ledger_decide_adjustment",
        "ledger_request_adjustment_file",
        "ledger_settle_adjustment_line",
        "ledger_open_hold",
        "ledger_release_hold",
        "ledger_extend_hold",
        "ledger_expire_holds",
        "ledger_correct_drift",
        "ledger_first_seq_at",
        "ledger_seal",
        "ledger_freeze",
        "ledger_set_overdraft",
        "ledger_settle_reversals",
        "ledger_open_grant",
        "ledger_change_grant_end",
        "ledger_settle_grants",
        "ledger_credits_by_category",
        "ledger_expired_credits",
        "ledger_watch",
        "ledger_rearm",
        "ledger_look_at_threshold",
        "ledger_renew",
        "ledger_subscription_due_at",
    )
    # The triggers that prevent even the owner's mistakes; `doctor` checks that they are in force.
    guards = (
        "closed_dispute_stays_closed",
        "dispute_message_is_append_only",
        "dispute_stays",
        "adjustment_day_only_rises",
        "adjustment_day_stays",
        "adjustment_line_is_settled_once",
        "adjustment_line_stays",
        "adjustment_request_is_decided_once",
        "adjustment_request_stays",
        "balance_changes_only_with_seq",
        "balance_notes_crossing",
        "balance_stays",
        "entry_is_append_only",
        "grant_draw_is_append_only",
        "grant_ends_as_recorded",
        "grant_keeps_its_terms",
        "grant_progress_goes_on",
        "grant_progress_stays",
        "grant_stays",
        "grant_terms_change_is_append_only",
        "hold_stays",
        "operation_key_is_append_only",
        "payment_dispute_stays",
        "payment_keeps_its_kind",
        "payment_outcome_is_append_only",
        "payment_refund_stays",
        "payment_refund_stays_what_it_is",
        "payment_stays",
        "payment_stays_what_it_is",
        "reload_event_is_append_only",
        "reload_goes_on_by_consent",
        "reload_stays",
        "settled_hold_stays_settled",
        "staff_log_is_append_only",
        "staff_refund_stays",
        "staff_refund_stays_what_it_is",
        "subscription_change_is_append_only",
        "subscription_period_is_append_only",
        "terms_change_is_append_only",
    )

    def ready(self) -> None:
        from ledger.services.grants import HISTORY_IS_LONG, settle_first  # noqa: PLC0415  models are there only now

        first_do[HISTORY_IS_LONG] = settle_first
