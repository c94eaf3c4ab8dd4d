"""The findings of the doctor after damage to an installation, which is undone after each test."""

import datetime as dt
import ipaddress
from contextlib import contextmanager
from decimal import Decimal

import pytest
import time_machine
from django.db import connection, connections
from django.utils import timezone

from config.doctor import installation, rights, server, structure
from config.management.commands import doctor
from tests.accounts.webhooks import endpoint_of, tell
from tests.conftest import owner_connection
from tests.factories import UserFactory, customer_with
from tests.ledger.paying import bought
from tests.ledger.running import run
from tests.ledger.subscribing import let_time_pass, plan, subscribe
from usage.models import AlertKind
from usage.selectors import log_months
from usage.services.alerts.actions import create_alert
from usage.services.partitions import ensure_partition
from usage.services.spool.files import append_to_spool

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])
# The test server may lose everything in a crash, so the doctor always reports that here.
THROW_AWAY = {"durability"}


@pytest.fixture(autouse=True)
def _months():
    """Create the partitions that the doctor checks."""
    for days in (0, 31):
        ensure_partition(dt.datetime.now(dt.UTC).replace(day=1) + dt.timedelta(days=days))


@contextmanager
def done(statement, undo):
    """Run a damaging statement as the owner, and undo it."""
    with owner_connection(autocommit=True) as owner:
        owner.execute(statement)
    try:
        yield
    finally:
        with owner_connection(autocommit=True) as owner:
            owner.execute(undo)


def details(check):
    return [finding.detail for finding in check()]


def test_a_sound_installation_has_only_the_findings_of_a_test_server():
    ran = run("doctor", "--json")

    durable = connection.cursor().execute("SHOW fsync").fetchone() == ("on",)
    assert {finding["check"] for finding in ran.json["findings"]} == (set() if durable else THROW_AWAY)
    assert ran.code == (0 if durable else 3)
    assert ran.json["checked"] == list(doctor.CHECKS)
    assert ran.json["server_version"]


def test_people_read_a_sentence_for_each_finding_and_a_verdict():
    with done("REVOKE EXECUTE ON FUNCTION ledger_post_entry FROM tollbook_app", GIVE_BACK):
        lines = run("doctor").out.splitlines()

    assert "doors: The application may not call ledger_post_entry: run manage.py migrate" in "\n".join(lines)
    assert lines[-1].startswith("PostgreSQL 1")
    assert lines[-1].endswith(" findings.")


GIVE_BACK = "GRANT EXECUTE ON FUNCTION ledger_post_entry TO tollbook_app"


class TestTheServer:
    def test_settings_that_lose_committed_data_are_found(self):
        with connection.cursor() as cursor:
            cursor.execute("SHOW fsync")
            (fsync,) = cursor.fetchone()
            cursor.execute("SET synchronous_commit = off")
        try:
            found = details(server.durability)
        finally:
            connection.close()

        assert any(detail.startswith("synchronous_commit is off: a charge that was confirmed") for detail in found)
        assert any(detail.startswith("fsync is off") for detail in found) == (fsync == "off")

    @pytest.mark.parametrize("name", ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"])
    def test_a_limit_that_is_not_set_is_found(self, name):
        assert details(server.timeouts) == []

        with connection.cursor() as cursor:
            cursor.execute(f"SET {name} = 0")
        try:
            assert details(server.timeouts) == [
                f"{name} is not set for the application: ALTER ROLE tollbook_app SET {name} = '{server._LIMITS[name]}'."
            ]
        finally:
            connection.close()

    @pytest.mark.parametrize(("hours", "word"), [(1, "behind"), (-1, "ahead of")])
    def test_clocks_that_differ_are_found(self, hours, word):
        assert details(server.clock) == []

        with time_machine.travel(dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours)):
            (detail,) = details(server.clock)

        assert f"s {word} this machine's" in detail

    def test_a_database_that_does_not_answer_is_a_finding_of_each_check(self, monkeypatch):
        monkeypatch.setitem(connections["default"].settings_dict, "PORT", "1")
        connection.close()

        ran = run("doctor", "--json")

        assert ran.code == 3
        assert {"version", "rights", "triggers"} <= {finding["check"] for finding in ran.json["findings"]}
        assert ran.json["server_version"] is None


class TestRights:
    @pytest.mark.parametrize("right", ["INSERT", "UPDATE", "DELETE", "TRUNCATE", "TRIGGER", "UPDATE (amount)"])
    def test_a_right_to_write_guarded_tables_is_found(self, right):
        grant = f"GRANT {right} ON ledger_entry TO tollbook_app"

        with done(grant, grant.replace("GRANT", "REVOKE").replace(" TO ", " FROM ")):
            (detail,) = details(rights.tables)

        assert detail.startswith("The application may write ledger_entry past the doors: run manage.py migrate")

    def test_a_right_to_write_a_partition_is_found(self):
        partition = f"usage_requestlog_{log_months()[0]:%Y_%m}"

        with done(f"GRANT INSERT ON {partition} TO PUBLIC", f"REVOKE INSERT ON {partition} FROM PUBLIC"):
            (detail,) = details(rights.tables)

        assert partition in detail

    @pytest.mark.parametrize(
        ("table", "right"),
        [
            ("usage_price", "UPDATE"), ("usage_price", "DELETE"), ("usage_price", "UPDATE (credits)"),
            ("django_admin_log", "UPDATE"), ("django_admin_log", "DELETE"), ("django_admin_log", "TRUNCATE"),
            ("django_admin_log", "UPDATE (change_message)"), ("usage_reconciliationrun", "DELETE"),
        ],
    )  # fmt: skip
    def test_a_right_to_change_rows_of_an_insert_only_table_is_found(self, table, right):
        grant = f"GRANT {right} ON {table} TO tollbook_app"

        with done(grant, grant.replace("GRANT", "REVOKE").replace(" TO ", " FROM ")):
            (detail,) = details(rights.tables)

        assert detail.startswith(f"The application may change rows of {table}, not only add them")

    def test_a_table_that_cannot_be_read_is_found(self):
        with done("REVOKE SELECT ON ledger_hold FROM tollbook_app", "GRANT SELECT ON ledger_hold TO tollbook_app"):
            assert details(rights.tables)[0].startswith("The application may not read ledger_hold")

    def test_an_inner_function_that_may_be_called_is_found(self):
        grant = "GRANT EXECUTE ON FUNCTION ledger_settle_expired TO PUBLIC"

        with done(grant, grant.replace("GRANT", "REVOKE").replace(" TO ", " FROM ")):
            (detail,) = details(rights.functions)

        assert detail.startswith("The application may call ledger_settle_expired, which is no door")

    def test_a_door_with_an_open_search_path_is_found(self):
        reset = "ALTER FUNCTION ledger_open_hold RESET search_path"
        pinned = "ALTER FUNCTION ledger_open_hold SET search_path = pg_catalog, public, pg_temp"

        with done(reset, pinned):
            assert details(rights.functions) == [
                f"ledger_open_hold runs with its owner's rights and an open search path: {pinned}."
            ]
        assert details(rights.functions) == []

    def test_one_login_for_both_is_found(self, monkeypatch):
        assert details(rights.logins) == []
        owner = connections["owner"].settings_dict
        for name in ("USER", "PASSWORD"):
            monkeypatch.setitem(connection.settings_dict, name, owner[name])
        connection.close()

        found = details(rights.logins)
        connection.close()

        assert any("owns the ledger or may act as its owner" in detail for detail in found)

    def test_an_owners_login_that_cannot_be_used_is_found(self, monkeypatch):
        monkeypatch.setitem(connections["owner"].settings_dict, "USER", "nobody_of_this_name")

        (detail,) = details(rights.logins)

        assert detail.startswith("DATABASE_OWNER_URL cannot be used (")

    def test_an_owners_login_that_owns_nothing_is_found(self, monkeypatch):
        application = connection.settings_dict
        for name in ("USER", "PASSWORD"):
            monkeypatch.setitem(connections["owner"].settings_dict, name, application[name])

        (detail,) = details(rights.logins)

        assert "does not own every table" in detail


class TestStructure:
    @pytest.mark.parametrize(
        ("table", "trigger"),
        [("ledger_entry", "entry_is_append_only"), ("ledger_balance", "balance_changes_only_with_seq")],
    )
    @pytest.mark.parametrize("switch", ["DISABLE TRIGGER", "ENABLE REPLICA TRIGGER"])
    def test_a_trigger_that_is_off_is_found(self, table, trigger, switch):
        enable = f"ALTER TABLE {table} ENABLE TRIGGER {trigger}"

        with done(f"ALTER TABLE {table} {switch} {trigger}", enable):
            assert details(structure.triggers) == [f"The trigger {trigger} is off: {enable}."]
        assert details(structure.triggers) == []

    def test_a_trigger_that_is_gone_is_found(self):
        again = (
            "CREATE TRIGGER hold_stays BEFORE DELETE OR TRUNCATE ON ledger_hold"
            " FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change()"
        )

        with done("DROP TRIGGER hold_stays ON ledger_hold", again):
            (detail,) = details(structure.triggers)

        assert detail.startswith("The trigger hold_stays is gone")

    def test_a_partition_without_its_trigger_is_found_with_the_statement_that_makes_it(self):
        partition = f"usage_requestlog_{log_months()[0]:%Y_%m}"

        with owner_connection(autocommit=True) as owner:
            owner.execute(f"DROP TRIGGER request_log_is_append_only ON {partition}")
            (detail,) = details(structure.triggers)
            owner.execute(detail.partition(": ")[2].removesuffix("."))

        assert detail.startswith(f"The partition {partition} is not guarded")
        assert details(structure.triggers) == []

    @pytest.mark.parametrize(
        ("table", "name"),
        [
            ("ledger_entry", "entry_sign_fits_type"),
            ("ledger_balance", "balance_covers_holds_and_overdraft"),
            ("usage_requestlog", "request_is_plausible"),
            ("ledger_operationkey", "operation_key_is_used_once_per_operation"),
        ],
    )
    def test_a_constraint_that_is_gone_is_found(self, table, name):
        with owner_connection(autocommit=True) as owner:
            (definition,) = owner.execute(
                "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s AND conrelid = %s::regclass",
                (name, table),
            ).fetchone()

        with done(
            f"ALTER TABLE {table} DROP CONSTRAINT {name}", f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}"
        ):
            assert f"{name} is missing or not valid" in details(structure.constraints)[0]
        assert details(structure.constraints) == []

    def test_a_constraint_that_was_never_checked_is_found(self):
        with done(
            "ALTER TABLE ledger_hold DROP CONSTRAINT hold_captures_at_most_what_it_holds,"
            " ADD CONSTRAINT hold_captures_at_most_what_it_holds CHECK (credits > 0) NOT VALID",
            "ALTER TABLE ledger_hold DROP CONSTRAINT hold_captures_at_most_what_it_holds,"
            " ADD CONSTRAINT hold_captures_at_most_what_it_holds"
            " CHECK (credits > 0 AND captured >= 0 AND captured <= credits)",
        ):
            assert len(details(structure.constraints)) == 1

    def test_an_index_that_is_gone_is_found(self):
        again = "CREATE INDEX open_holds_by_expiry ON ledger_hold (user_id, expires_at) WHERE status = 'open'"

        with done("DROP INDEX open_holds_by_expiry", again):
            assert details(structure.constraints)[0].startswith("open_holds_by_expiry is missing")

    def test_a_month_that_is_not_prepared_is_found(self):
        this_month = dt.datetime.now(dt.UTC)

        with time_machine.travel(this_month + dt.timedelta(days=365 * 20)):
            (detail,) = details(structure.partitions)

        assert f"{this_month.year + 20}-" in detail
        assert "run manage.py maintain_partitions" in detail

    def test_migrations_that_are_not_applied_are_found(self, monkeypatch):
        monkeypatch.setattr("config.health._known_migrations", lambda: frozenset({("config", "9999_next")}))

        assert details(structure.migrations) == ["Migrations: 1 not applied. Run manage.py migrate."]


class TestSettings:
    def test_a_warning_of_djangos_checks_is_found(self, settings):
        settings.X_FRAME_OPTIONS = "SAMEORIGIN"
        settings.IN_PRODUCTION = True

        assert any("(security.W019)" in detail for detail in details(installation.site_settings))

    def test_a_proxy_that_hides_all_addresses_is_found(self, settings):
        settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
        assert any("TRUSTED_PROXIES" in detail for detail in details(installation.site_settings))

        settings.TRUSTED_PROXIES = [ipaddress.ip_network("10.0.0.0/8")]
        assert details(installation.site_settings) == []


class TestSpool:
    def test_without_one_nothing_is_found(self, settings, tmp_path):
        assert details(installation.spool) == []
        settings.METERING_SPOOL = str(tmp_path / "not made yet")
        assert details(installation.spool) == []

    def test_spooled_requests_are_named_with_the_command_that_settles_them(self, settings, tmp_path):
        settings.METERING_SPOOL = str(tmp_path)
        append_to_spool(b"{}\n")

        assert details(installation.spool) == [f"3 bytes of requests wait in {tmp_path}: run manage.py replay_spool."]

    def test_a_spool_that_is_no_folder_is_named(self, settings, tmp_path):
        settings.METERING_SPOOL = str(tmp_path / "file")
        (tmp_path / "file").touch()

        assert any("may be written" in detail for detail in details(installation.spool))


class TestPayments:
    def test_an_overdue_webhook_delivery_is_named_with_its_command(self, db):
        endpoint = endpoint_of(UserFactory())
        tell(endpoint.user, now=timezone.now())
        assert details(installation.webhooks) == []

        tell(endpoint.user, now=timezone.now() - dt.timedelta(hours=2))

        assert details(installation.webhooks) == ["1 webhook deliveries were due an hour ago: run deliver_webhooks."]

    def test_an_overdue_alert_is_named_with_its_command(self, db):
        alice = customer_with(100)
        create_alert(user_id=alice.pk, kind=AlertKind.BALANCE_BELOW, threshold=Decimal(150), now=timezone.now())
        assert details(installation.alerts) == []

        with time_machine.travel(timezone.now() + dt.timedelta(hours=2), tick=False):
            assert details(installation.alerts) == ["1 customers' alerts were not told for an hour: run send_alerts."]

    def test_an_overdue_payment_is_named_with_its_command(self, db):
        person = UserFactory()
        bought(person)
        assert details(installation.payments) == []

        bought(person, now=timezone.now() - dt.timedelta(hours=2))

        assert details(installation.payments) == [
            "Nobody has asked for an hour about 1 open payments and refunds: run settle_payments."
        ]


@pytest.mark.django_db(transaction=True)
def test_an_overdue_renewal_is_named_with_its_command():
    alice = UserFactory()
    subscribe(alice, plan(100))
    let_time_pass(alice, months=1)
    assert details(installation.subscriptions) == []

    let_time_pass(alice, days=1)

    assert details(installation.subscriptions) == ["1 subscriptions were due an hour ago: run renew_subscriptions."]


@pytest.mark.parametrize(
    ("in_production", "provider", "key", "is_found"),
    [
        (True, "stripe", "sk_test_1", True),
        (True, "stripe", "rk_test_1", True),
        (True, "stripe", "something", True),
        (True, "stripe", "sk_live_1", False),
        (True, "none", "sk_test_1", False),
        (False, "stripe", "sk_test_1", False),
    ],
)
def test_a_test_key_of_stripes_is_found_in_production(settings, in_production, provider, key, is_found):
    settings.IN_PRODUCTION, settings.PAYMENT_PROVIDER, settings.STRIPE_SECRET_KEY = in_production, provider, key

    said = details(doctor.CHECKS["stripe_key"])

    assert bool(said) is is_found
    assert key not in "".join(said)
