"""Test files that `make quick` leaves out: each takes seconds, grouped by the reason.

`make test` and `make check` run them all.
"""

from __future__ import annotations

from pathlib import Path

# fmt: off
SLOW = {
    "real processes, servers and sockets": (
        "accounts/test_deliver_webhooks_command", "accounts/test_webhook_post", "config/test_database_address",
        "config/test_db_calls", "config/test_embedded_postgres", "config/test_metrics", "config/test_pgbouncer",
        "config/test_postgres_command", "config/test_production", "config/test_server_parts", "config/test_serving",
        "config/test_slow_clients", "config/test_slow_neighbours", "config/test_worker",
        "journeys/test_foreign_clients", "ledger/test_stripe_for_real", "ledger/test_stripe_story",
        "ledger/test_turns", "usage/test_import_requests_command", "usage/test_killed_sessions",
        "usage/test_metered_outages", "usage/test_replay_spool_command", "usage/test_stopping",
    ),
    "histories of 20,000 rows and more, and whole installations": (
        "config/test_plans", "growth/test_explaining", "growth/test_front_page", "growth/test_growth",
        "journeys/test_the_demo", "ledger/test_auto_reload", "ledger/test_auto_reload_plans",
        "ledger/test_settling_in_bounded_work", "usage/test_demo", "usage/test_rebuild_usage_command",
        "usage/test_request_pages",
    ),
    "events and input drawn at random": (
        "config/test_encodings", "config/test_parsers_never_fail", "journeys/test_invalid_input",
        "journeys/test_openapi_conformance", "ledger/test_auto_reload_for_thirty_days", "ledger/test_burn_down",
        "ledger/test_money_as_a_machine", "ledger/test_reversals_at_random", "ledger/test_rules_as_a_machine",
        "ledger/test_subscriptions_at_random", "usage/test_alerts_are_announced_once", "usage/test_charge_batches",
        "usage/test_metering_bodies", "usage/test_runway",
    ),
    "every page, route or promise in turn": (
        "journeys/test_access_matrix", "usage/test_admin_access", "usage/test_admin_dashboard",
        "usage/test_admin_lists", "usage/test_admin_statements", "usage/test_admin_acting", "usage/test_reconcile",
        "usage/test_respelled_endpoints", "ledger/test_rollover", "ledger/test_reload_checks", "ledger/test_anchors",
        "ledger/test_adjustment_checks",
    ),
    "many callers at once": (
        "ledger/test_adjustment_races", "ledger/test_auto_reload_races", "ledger/test_payment_races",
        "ledger/test_races", "ledger/test_subscription_races", "usage/test_busy_customers",
        "usage/test_key_limit_races", "usage/test_metering_races", "usage/test_one_failing_customer",
        "usage/test_races", "usage/test_retention",
    ),
}
# fmt: on
SLOW_FILES = [Path(__file__).parent / f"{name}.py" for names in SLOW.values() for name in names]
