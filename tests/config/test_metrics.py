"""The metrics for Prometheus, who may read them, and that reading them delays no call."""

import datetime as dt
import ipaddress
import os
import re
import subprocess
import sys

import pytest
from django.conf import settings as site
from django.db import OperationalError, transaction
from django.db.backends.utils import CursorWrapper
from django.test import Client
from django.utils import timezone

from accounts.models import WebhookDelivery
from accounts.services.notices import notify_customer
from config.http import meters
from ledger.providers import fake as cards
from ledger.services.disputes.closing import withdraw_dispute
from ledger.services.payments.refunds import carry_out_refund
from ledger.services.payments.reversals import note_dispute
from tests.accounts.second_factors import app_of
from tests.accounts.webhooks import deliveries, endpoint_of, tell
from tests.backoffice import audit, found
from tests.conftest import owner_connection
from tests.factories import StaffFactory, UserFactory, customer_with
from tests.ledger.adjusting import ask, limited
from tests.ledger.disputing import a_dispute
from tests.ledger.paying import bought
from tests.ledger.posting import hold, post
from tests.ledger.refunding import begin
from usage.services.retention import make_months_ahead

TOKEN = "a-token-for-prometheus"
OUTSIDE = "203.0.113.9"
LOCAL = [ipaddress.ip_network("127.0.0.0/8")]


def scrape(client=None, **headers):
    answer = (client or Client()).get("/metrics", **headers)
    assert answer.status_code == 200, answer.content
    return answer.content.decode()


def value(text, name, **labels):
    """Return one sample; 0 if it is missing."""
    for line in text.splitlines():
        found = re.fullmatch(rf"{name}(?:\{{(.*)\}})? (\S+)", line)
        if found and dict(re.findall(r'(\w+)="([^"]*)"', found[1] or "")) == labels:
            return float(found[2])
    return 0


def grown(client, call, name, **labels):
    before = value(scrape(client), name, **labels)
    call()
    return value(scrape(client), name, **labels) - before


class TestWhoMaySee:
    @pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
    def test_this_machine_may(self, db, peer):
        assert Client().get("/metrics", REMOTE_ADDR=peer).status_code == 200

    @pytest.mark.parametrize("peer", [OUTSIDE, "10.0.0.1", "2001:db8::1", "", "unix:"])
    def test_other_addresses_may_not(self, edge, peer):
        answer = edge.get("/metrics", REMOTE_ADDR=peer)

        assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")

    @pytest.mark.parametrize(
        "passed_on",
        [
            {"HTTP_X_FORWARDED_FOR": OUTSIDE},
            {"HTTP_X_FORWARDED_FOR": "127.0.0.1"},
            {"HTTP_FORWARDED": f"for={OUTSIDE}"},
            {"HTTP_X_REAL_IP": OUTSIDE},
            {"HTTP_X_FORWARDED_PROTO": "https"},
            {"HTTP_VIA": "1.1 proxy"},
        ],
    )
    def test_a_proxy_on_this_machine_does_not_make_its_callers_local(self, edge, passed_on):
        assert edge.get("/metrics", **passed_on).status_code == 403

    @pytest.mark.parametrize(
        ("forwarded", "status"),
        [
            (OUTSIDE, 403),
            (f"127.0.0.1, {OUTSIDE}", 403),
            (f"{OUTSIDE}, 127.0.0.1", 403),
            ("junk", 403),
            ("127.0.0.1, junk", 403),
            ("127.0.0.1", 200),
        ],
    )
    def test_a_trusted_proxy_may_name_its_client(self, edge, settings, forwarded, status):
        settings.TRUSTED_PROXIES = LOCAL

        assert edge.get("/metrics", HTTP_X_FORWARDED_FOR=forwarded).status_code == status

    def test_a_trusted_proxy_that_does_not_say_for_whom_is_refused(self, edge, settings):
        settings.TRUSTED_PROXIES = LOCAL

        assert edge.get("/metrics", HTTP_X_FORWARDED_PROTO="https").status_code == 403

    def test_a_caller_with_the_token_may_from_anywhere(self, edge, settings):
        settings.METRICS_TOKEN = TOKEN

        assert edge.get("/metrics", REMOTE_ADDR=OUTSIDE, HTTP_AUTHORIZATION=f"Bearer {TOKEN}").status_code == 200
        assert edge.get("/metrics").status_code == 200

    @pytest.mark.parametrize("sent", ["", "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", TOKEN, "Bearer ÿ"])
    @pytest.mark.parametrize("token", ["", TOKEN])
    def test_another_token_is_none(self, edge, settings, token, sent):
        settings.METRICS_TOKEN = token

        assert edge.get("/metrics", REMOTE_ADDR=OUTSIDE, HTTP_AUTHORIZATION=sent).status_code == 403

    def test_it_is_only_read(self, edge):
        assert edge.head("/metrics").status_code == 200
        assert edge.post("/metrics").json()["code"] == "method_not_allowed"


class TestCalls:
    def test_are_counted_by_method_route_and_status(self, edge):
        labels = {"method": "GET", "route": "usage", "status": "401"}

        assert grown(edge, lambda: edge.get("/auth/account/usage"), "tollbook_http_requests_total", **labels) == 1

    def test_are_timed(self, edge):
        labels = {"method": "GET", "route": "livez"}
        name = "tollbook_http_request_duration_seconds_count"

        assert grown(edge, lambda: edge.get("/livez"), name, **labels) == 1

    def test_never_bring_a_label_of_their_own(self, edge):
        for path in ("/odd-path", "/v2/odd-path?q=odd-query", "/admin/odd-path"):
            edge.get(path)
        edge.generic("ODD", "/livez")

        text = scrape(edge)

        assert not re.search(r"\bodd\b", text.lower())
        assert value(text, "tollbook_http_requests_total", method="other", route="livez", status="405") >= 1

    def test_are_counted_by_pattern_when_their_route_has_no_name(self, edge):
        labels = {"method": "GET", "route": "/v2/list", "status": "200"}

        assert grown(edge, lambda: edge.get("/v2/list"), "tollbook_http_requests_total", **labels) == 1

    def test_are_counted_and_not_left_in_progress_when_they_crash(self, edge):
        labels = {"method": "GET", "route": "/v2/raise/<str:what>", "status": "500"}

        assert grown(edge, lambda: edge.get("/v2/raise/bug"), "tollbook_http_requests_total", **labels) == 1
        assert value(scrape(edge), "tollbook_http_requests_in_progress") == 1  # the scrape itself

    def test_beyond_a_limit_are_counted(self, edge, settings):
        settings.RATE_LIMIT_PER_ADDRESS = 1

        def call():
            return [edge.get("/v2/list") for _ in range(3)]

        assert grown(edge, call, "tollbook_http_rate_limited_total", route="/v2/list") == 2

    @pytest.mark.parametrize(("what", "kind"), [("timeout", "statement_timeout"), ("away", "connection")])
    def test_are_counted_by_reason_when_the_database_fails(self, edge, what, kind):
        def call():
            with transaction.atomic():
                assert edge.get(f"/v2/raise/{what}").status_code == 503
                transaction.set_rollback(True)

        name, route = "tollbook_http_unavailable_total", "/v2/raise/<str:what>"
        unavailable = value(scrape(edge), name, route=route)

        assert grown(edge, call, "tollbook_database_errors_total", kind=kind) == 1
        assert value(scrape(edge), name, route=route) == unavailable + 1


class TestTheState:
    def test_a_fresh_installation_has_no_reconcile_run(self, edge):
        text = scrape(edge)

        assert value(text, "tollbook_database_up") == 1
        assert "tollbook_last_audit" not in text

    def test_the_last_full_audit_tells_its_age_and_findings(self, edge):
        audit(finished_at=timezone.now() - dt.timedelta(hours=2), findings=3)

        text = scrape(edge)

        assert 7200 <= value(text, "tollbook_last_audit_age_seconds") < 7260
        assert value(text, "tollbook_last_audit_findings") == 3

    def test_findings_that_nobody_has_closed_are_counted(self, edge):
        for number in range(2):
            found(customer_with(1), number)

        assert value(scrape(edge), "tollbook_findings_open") == 2

    def test_months_of_the_log_are_counted_from_the_next_one_on(self, edge):
        make_months_ahead(now=timezone.now(), ahead=2)

        assert value(scrape(edge), "tollbook_log_months_ahead") >= 2

    def test_holds_that_wait_for_their_settling_are_counted(self, edge):
        for seconds in (0, 600):
            hold(customer_with(10), 5, seconds=seconds)

        assert value(scrape(edge), "tollbook_expired_holds_unsettled") == 1

    def test_notices_that_wait_and_deliveries_that_failed_are_counted(self, edge):
        alice, now = UserFactory(), timezone.now()
        endpoint = endpoint_of(alice)
        for _ in range(3):
            tell(alice, now=now)
        delivery = deliveries(endpoint)[0]
        WebhookDelivery.objects.filter(pk=delivery.pk).update(state="failed", next_attempt_at=None)
        email = {"subject": "Low", "body": "Few are left."}
        notify_customer(user_id=alice.pk, type="balance.low", key="k", data={}, now=now, **email)

        page = scrape(edge)

        assert value(page, "tollbook_webhook_deliveries_due") == 3
        assert value(page, "tollbook_webhook_deliveries_failed") == 1
        assert value(page, "tollbook_notice_emails_due") == 1

    def test_disputes_and_payments_that_owe_are_counted(self, edge):
        alice, now = UserFactory(), timezone.now()
        payment = bought(alice, cards.APPROVE)
        post(alice, -1000)
        named = {"payment_id": payment.pk, "amount_minor": payment.amount_minor, "now": now}
        note_dispute(provider_dispute_id="dp_1", status="open", **named)
        note_dispute(provider_dispute_id="dp_2", status="lost", **named)

        page = scrape(edge)

        assert value(page, "tollbook_disputes_open") == 1
        assert value(page, "tollbook_payments_owing") == 1

    def test_refunds_that_the_provider_has_not_answered_are_counted(self, edge):
        refund = begin(bought(UserFactory(), cards.APPROVE)).refund
        before = value(scrape(edge), "tollbook_refunds_under_way")

        carry_out_refund(refund_id=refund.pk, now=timezone.now())

        assert (before, value(scrape(edge), "tollbook_refunds_under_way")) == (1, 0)

    def test_staff_without_a_second_factor_are_counted(self, edge):
        StaffFactory()
        app_of(StaffFactory())
        StaffFactory(is_active=False)

        assert value(scrape(edge), "tollbook_staff_without_second_factor") == 1

    def test_adjustments_that_wait_are_counted(self, edge):
        clerk = limited(StaffFactory(), single=10, daily=10)
        for credits in (5, 11, 12):
            ask(UserFactory(), credits, by=clerk)

        assert value(scrape(edge), "tollbook_adjustments_pending") == 2

    def test_open_disputes_of_debits_are_counted_with_the_age_of_the_oldest(self, edge):
        hour = dt.timedelta(hours=1)
        a_dispute(UserFactory(), now=timezone.now() - hour)
        closed = a_dispute(UserFactory(), now=timezone.now() - 2 * hour)
        withdraw_dispute(user_id=closed.user_id, dispute_id=closed.pk, now=timezone.now())

        page = scrape(edge)

        assert value(page, "tollbook_entry_disputes_open") == 1
        assert 3600 <= value(page, "tollbook_entry_dispute_oldest_age_seconds") < 3700

    def test_an_unreachable_database_is_a_metric_and_not_an_error(self, edge, monkeypatch):
        def fail(*_args, **_kwargs):
            raise OperationalError("away")

        with monkeypatch.context() as patch:
            patch.setattr(CursorWrapper, "execute", fail)
            text = scrape(edge)

        assert value(text, "tollbook_database_up") == 0
        assert "tollbook_http_requests_total" in text
        assert value(scrape(edge), "tollbook_database_up") == 1

    @pytest.mark.django_db(transaction=True)
    def test_a_lock_held_elsewhere_does_not_delay_the_scrape(self, settings):
        began = timezone.now()
        with owner_connection() as owner:
            owner.execute("LOCK TABLE ledger_hold IN ACCESS EXCLUSIVE MODE")
            text = scrape()
            owner.rollback()

        assert value(text, "tollbook_database_up") == 0
        assert timezone.now() - began < dt.timedelta(seconds=4)


def test_several_processes_answer_for_all_of_them(tmp_path):
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    count = "from config.http.meters import *; count_answer('GET', 'usage', 200, 0.1); in_progress.inc()"
    show = (
        "import django; django.setup(); from config.metrics import _processes;"
        "from prometheus_client import generate_latest; print(generate_latest(_processes()).decode())"
    )
    for _ in range(3):
        subprocess.run([sys.executable, "-c", count], env=environment, cwd=site.BASE_DIR, check=True)

    shown = subprocess.run(
        [sys.executable, "-c", show],
        env=environment | {"DJANGO_SETTINGS_MODULE": "config.settings"},
        cwd=site.BASE_DIR,
        check=True,
        capture_output=True,
        text=True,
    ).stdout

    assert value(shown, "tollbook_http_requests_total", method="GET", route="usage", status="200") == 3
    assert value(shown, "tollbook_http_requests_in_progress") == 0  # all of them have ended


def test_counting_looks_each_set_of_labels_up_once():
    meters._children.cache_clear()

    for _ in range(100):
        meters.count_answer("GET", "usage", 200, 0.01)

    assert meters._children.cache_info().misses == 1
