-- Leads back from 0002_rules.sql to what was before it.

DROP TRIGGER balance_notes_crossing ON ledger_balance;

DROP TRIGGER terms_change_is_append_only ON ledger_termschange;

DROP TRIGGER subscription_period_is_append_only ON ledger_subscriptionperiod;

DROP TRIGGER subscription_change_is_append_only ON ledger_subscriptionchange;

DROP TRIGGER payment_refund_stays_what_it_is ON ledger_paymentrefund;

DROP TRIGGER payment_refund_stays ON ledger_paymentrefund;

DROP TRIGGER payment_outcome_is_append_only ON ledger_paymentoutcome;

DROP TRIGGER payment_dispute_stays ON ledger_paymentdispute;

DROP TRIGGER payment_stays_what_it_is ON ledger_payment;

DROP TRIGGER payment_stays ON ledger_payment;

DROP TRIGGER payment_keeps_its_kind ON ledger_payment;

DROP TRIGGER operation_key_is_append_only ON ledger_operationkey;

DROP TRIGGER settled_hold_stays_settled ON ledger_hold;

DROP TRIGGER hold_stays ON ledger_hold;

DROP TRIGGER grant_progress_stays ON ledger_grantprogress;

DROP TRIGGER grant_progress_goes_on ON ledger_grantprogress;

DROP TRIGGER grant_draw_is_append_only ON ledger_grantdraw;

DROP TRIGGER grant_stays ON ledger_grant;

DROP TRIGGER grant_keeps_its_terms ON ledger_grant;

DROP TRIGGER entry_is_append_only ON ledger_entry;

DROP TRIGGER balance_stays ON ledger_balance;

DROP TRIGGER balance_changes_only_with_seq ON ledger_balance;

DROP TRIGGER reload_event_is_append_only ON ledger_autoreloadevent;

DROP TRIGGER reload_stays ON ledger_autoreload;

DROP TRIGGER reload_goes_on_by_consent ON ledger_autoreload;

DROP TRIGGER anchor_place_stays ON ledger_anchorplace;

DROP TRIGGER anchor_place_is_append_only ON ledger_anchorplace;

DROP TRIGGER anchor_stays ON ledger_anchor;

DROP TRIGGER anchor_is_append_only ON ledger_anchor;

DROP FUNCTION ledger_look_at_threshold;

DROP FUNCTION ledger_rearm;

DROP FUNCTION ledger_watch;

DROP FUNCTION ledger_note_crossing;

DROP FUNCTION ledger_renew;

DROP FUNCTION ledger_note_periods;

DROP FUNCTION ledger_subscription_due_at;

DROP FUNCTION ledger_prorated;

DROP FUNCTION ledger_months_of;

DROP FUNCTION ledger_months_after;

DROP FUNCTION ledger_expired_credits;

DROP FUNCTION ledger_settle_reversing_entry;

DROP FUNCTION ledger_settle_due;

DROP FUNCTION ledger_settle_expired;

DROP FUNCTION ledger_with_entries;

DROP FUNCTION ledger_post_expiries;

DROP FUNCTION ledger_period_entry;

DROP FUNCTION ledger_expiry_entry;

DROP FUNCTION ledger_settle_history;

DROP FUNCTION ledger_correct_drift;

DROP FUNCTION ledger_first_seq_at;

DROP FUNCTION ledger_collect_owed_credits;

DROP FUNCTION ledger_settle_reversals;

DROP FUNCTION ledger_expire_holds;

DROP FUNCTION ledger_extend_hold;

DROP FUNCTION ledger_release_hold;

DROP FUNCTION ledger_capture_hold;

DROP FUNCTION ledger_open_hold;

DROP FUNCTION ledger_lock_hold;

DROP FUNCTION ledger_hold_result;

DROP FUNCTION ledger_refuse_to_forget_anchors;

DROP FUNCTION ledger_refuse_move_without_seq;

DROP FUNCTION ledger_refuse_change;

DROP FUNCTION ledger_grants_concerned;

DROP FUNCTION ledger_grant_moves;

DROP FUNCTION ledger_places_to;

DROP FUNCTION ledger_place_of_draw;

DROP FUNCTION ledger_drawn_at;

DROP FUNCTION ledger_rows_of_credit;

DROP FUNCTION ledger_changes_by_credit;

DROP FUNCTION ledger_level_of_reversed;

DROP FUNCTION ledger_takings;

DROP FUNCTION ledger_rows_of_taking;

DROP FUNCTION ledger_rows_before;

DROP FUNCTION ledger_grants_at;

DROP FUNCTION ledger_grant_events;

DROP FUNCTION ledger_grants_of_due_periods;

DROP FUNCTION ledger_periods_due;

DROP FUNCTION ledger_burn_down;

DROP FUNCTION ledger_rows_of_debits;

DROP FUNCTION ledger_changes_by_debits;

DROP FUNCTION ledger_next_debits;

DROP FUNCTION ledger_start_burn_down;

DROP FUNCTION ledger_grant_steps;

DROP FUNCTION ledger_balance_at;

DROP FUNCTION ledger_place_of_grant;

DROP FUNCTION ledger_has_grants_that_end;

DROP FUNCTION ledger_refuse_long_history;

DROP FUNCTION ledger_may_skip;

DROP FUNCTION ledger_is_far_behind;

DROP FUNCTION ledger_moves_at_once;

DROP FUNCTION ledger_note_grants;

DROP FUNCTION ledger_settle_grants;

DROP FUNCTION ledger_open_grant;

DROP FUNCTION ledger_refund;

DROP FUNCTION ledger_post_entry;

DROP FUNCTION ledger_move;

DROP FUNCTION ledger_refusal;

DROP FUNCTION ledger_operation_replay;

DROP FUNCTION ledger_replay;

DROP FUNCTION ledger_refuse_inexact;

DROP FUNCTION ledger_seal;

DROP FUNCTION ledger_debit_batch;

DROP FUNCTION ledger_set_overdraft;

DROP FUNCTION ledger_freeze;

DROP FUNCTION ledger_replay_terms;

DROP FUNCTION ledger_lock_used_balance;

DROP FUNCTION ledger_lock_balance;

DROP FUNCTION ledger_oldest_anchor;

DROP FUNCTION ledger_sign_anchor;

DROP FUNCTION ledger_begin_anchor;

DROP TYPE ledger_due_period;

DROP TYPE ledger_hold_outcome;

DROP TYPE ledger_grant_change;

DROP TYPE ledger_debit_run;

DROP TYPE ledger_burn_down_state;

DROP TYPE ledger_grant_move;

DROP TYPE ledger_grants_standing;

DROP TYPE ledger_grant_draw;

DROP TYPE ledger_grant_state;

DROP TYPE ledger_grant_expiry;

DROP TYPE ledger_outcome;

DROP TYPE ledger_debit;

DROP TYPE ledger_terms_outcome;
