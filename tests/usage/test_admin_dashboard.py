"""The front page: what waits for staff first, then figures with their lists; by the permission to view these."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import DeliveryState, WebhookDelivery
from config.backoffice.times import age_of
from config.backoffice.to_do import MOST_COUNTED, lines_for, to_dos
from config.rounds import Round
from ledger.models import AutoReload, EntryDisputeReason, EntryReason, Hold, OffReason, Payment
from ledger.providers import fake as cards
from ledger.services.disputes.opening import open_dispute
from ledger.services.grants import grant_credits
from ledger.services.holds import open_hold
from ledger.services.payments.reversals import note_dispute
from tests.accounts.webhooks import webhook_tried
from tests.backoffice import audit, found, rows_of, signed_in, staff_with, superuser
from tests.factories import StaffFactory, UserFactory, customer_with
from tests.ledger.adjusting import limited, send
from tests.ledger.paying import bought
from tests.ledger.reloading import agreed
from tests.usage.metering import charge, price, report, request_at
from usage.models import DayFigures, RequestLog
from usage.services.figures.folding import fold_figures

pytestmark = pytest.mark.django_db
MOST_STATEMENTS = 15
LISTS = {
    "approvals": "ledger.view_adjustmentrequest",
    "entry_disputes": "ledger.view_entrydispute",
    "payment_disputes": "ledger.view_payment",
    "failed_payments": "ledger.view_payment",
    "failed_reloads": "ledger.view_autoreload",
    "holds": "ledger.view_hold",
    "findings": "usage.view_reconciliationfinding",
    "unpaid": "usage.view_requestlog",
    "webhooks": "accounts.view_webhookdelivery",
    "late_jobs": "procrastinate.view_procrastinatejob",
    "failed_jobs": "procrastinate.view_procrastinatejob",
}


def fold(now=None):
    customers = Round()
    fold_figures(now=now or timezone.now(), customers=customers)
    assert customers.failure is None


def shown(client):
    answer = client.get("/admin/")
    assert answer.status_code == 200
    return answer.context


def lines(client):
    return {line.to_do.name: line for line in shown(client)["to_do"]}


@pytest.fixture
def company():
    """A small company with a row for every line and every figure."""
    price("search", 2, effective_from=timezone.now() - dt.timedelta(days=40))
    alice = UserFactory(email="alice@example.com")
    grant_credits(
        user_id=alice.pk, amount=Decimal(100), reason=EntryReason.PURCHASE, reference="", idempotency_key="bought"
    )
    poor = customer_with(2, email="poor@example.com")
    UserFactory(email="new@example.com")
    open_dispute(
        user_id=alice.pk, entry_id=charge(alice).id, reason=EntryDisputeReason.OTHER, message="?", now=timezone.now()
    )
    charge(alice, status=500)
    charge(poor)
    report(poor, [request_at(timezone.now())], charged=True)  # cannot be paid any more
    old = open_hold(user_id=alice.pk, credits=Decimal(7), expires_in_seconds=900, idempotency_key="old").hold
    open_hold(user_id=alice.pk, credits=Decimal(30), expires_in_seconds=900, idempotency_key="h")
    bought(alice, cards.DECLINE)
    disputed = Payment.objects.of(alice.pk).get(state="failed")  # no credits to take back
    note_dispute(payment_id=disputed.pk, provider_dispute_id="dp", amount_minor=1, status="open", now=timezone.now())
    agreed(alice)
    AutoReload.objects.filter(user=alice).update(
        enabled=False, off_reason=OffReason.DECLINED, turned_off_at=timezone.now()
    )
    WebhookDelivery.objects.filter(pk=webhook_tried(alice).pk).update(state=DeliveryState.FAILED, next_attempt_at=None)
    found(alice)
    send(f"{alice.pk},5,goodwill,{uuid.uuid4()},", by=limited(superuser(), single=0, daily=0))
    return alice, old


def later():
    """Return a time at which the holds of the company are over for long."""
    return timezone.now() + dt.timedelta(hours=2)


class TestToDo:
    def test_each_line_counts_what_waits_and_leads_to_a_list_of_as_many(self, company):
        client = signed_in(superuser())
        waiting = lines(client)

        assert set(waiting) == {
            "approvals", "entry_disputes", "payment_disputes", "failed_payments", "failed_reloads", "findings",
            "unpaid", "webhooks",
        }  # fmt: skip
        for line in waiting.values():
            answer = client.get(line.url)
            assert answer.status_code == 200, line
            assert len(rows_of(answer)) == line.count == 1, line

    def test_holds_count_once_they_are_over_for_long(self, company):
        line = {each.to_do.name: each for each in lines_for(superuser(), now=later())}["holds"]

        assert line.count == 2
        assert line.waits == "1 hour"
        assert "expiry=unsettled" in line.url
        assert Hold.objects.filter(status="open").count() == 2

    def test_urgent_lines_come_first_and_then_the_oldest(self, company):
        order = [line.to_do.is_urgent for line in shown(signed_in(superuser()))["to_do"]]

        assert order == sorted(order, reverse=True)

    def test_when_nothing_waits_the_page_says_so(self):
        said = signed_in(superuser()).get("/admin/").content.decode()

        assert "Nothing waits for you." in said

    @pytest.mark.parametrize("name", sorted(LISTS))
    def test_a_line_is_shown_to_those_who_may_see_its_list(self, company, name):
        to_do = {each.name: each for each in to_dos}[name]
        viewer = staff_with(LISTS[name])

        seen = {line.to_do.name for line in lines_for(viewer, now=timezone.now())}

        assert to_do.permission == LISTS[name]
        assert seen <= {each for each, permission in LISTS.items() if permission == LISTS[name]}
        assert signed_in(viewer).get(to_do.url(timezone.now())).status_code == 200

    def test_every_line_has_its_own_name(self):
        assert len({each.name for each in to_dos}) == len(to_dos)
        assert set(LISTS) <= {each.name for each in to_dos}

    def test_many_rows_are_counted_up_to_a_bound(self, company, monkeypatch):
        monkeypatch.setattr("config.backoffice.to_do.MOST_COUNTED", 1)
        for number in range(3):
            found(company[0], number)

        line = lines(signed_in(superuser()))["findings"]

        assert (line.count, line.shown_count) == (2, "1+")
        assert MOST_COUNTED == 1_000

    @pytest.mark.parametrize(
        ("seconds", "age"),
        [(0, "less than a minute"), (60, "1 minute"), (3599, "59 minutes"), (7200, "2 hours"), (90_000, "1 day")],
    )
    def test_ages_are_told_by_their_largest_unit(self, seconds, age):
        now = timezone.now()

        assert age_of(now - dt.timedelta(seconds=seconds), now) == age


class TestFigures:
    def test_paid_and_promotional_credits_are_apart(self, company):
        fold()

        tiles = {tile.title: tile.value for tile in shown(signed_in(superuser()))["tiles"]}

        assert tiles == {
            "Credits outstanding": "98",
            "Of these, paid": "98",
            "Of these, promotional": "0",
            "At or below zero": "1",
            "Reserved by holds": "37",
        }

    def test_this_month_is_compared_with_the_month_before_to_the_same_day(self):
        now = dt.datetime(2026, 11, 10, 12, tzinfo=dt.UTC)
        for day, spent in ((dt.date(2026, 11, 2), 30), (dt.date(2026, 10, 10), 20), (dt.date(2026, 10, 11), 99)):
            DayFigures.objects.create(day=day, spent=spent, folded_at=now)
        from usage.admin.dashboard.figures import comparison_for
        from usage.services.figures.reading import company_figures

        months = comparison_for(superuser(), company_figures(now=now))

        (spent,) = [row for row in months.rows if row.title == "Credits spent"]
        assert (months.now, months.before) == ("1–10 November", "1–10 October")
        assert (spent.now, spent.before, spent.change) == ("30", "20", "+50 %")

    def test_the_end_of_a_long_month_is_compared_with_the_whole_of_a_short_one(self):
        from usage.services.figures.reading import company_figures

        figures = company_figures(now=dt.datetime(2026, 3, 31, tzinfo=dt.UTC))

        assert (figures.month_before.first, figures.month_before.last) == (dt.date(2026, 2, 1), dt.date(2026, 2, 28))

    def test_each_figure_of_a_month_leads_to_a_list_of_as_many(self, company):
        fold()
        client = signed_in(superuser())

        rows = {row.title: row for row in shown(client)["months"].rows}

        counts = {title: len(rows_of(client.get(row.url))) for title, row in rows.items()}
        assert counts["Requests"] == int(rows["Requests"].now) == RequestLog.objects.count()
        assert counts["Requests that failed"] == int(rows["Requests that failed"].now) == 1
        assert counts["New customers"] == int(rows["New customers"].now)
        assert (rows["Credits sold"].now, counts["Credits sold"]) == ("100", 1)
        assert all(client.get(row.before_url).status_code == 200 for row in rows.values())

    def test_lost_customers_lead_to_those_who_are_silent(self):
        price("search", 0, effective_from=timezone.now() - dt.timedelta(days=99))
        alice, bob = customer_with(1), customer_with(1)
        now = timezone.now()
        report(alice, [request_at(now - dt.timedelta(days=30))])
        report(bob, [request_at(now)])
        fold(now)
        client = signed_in(superuser())

        (lost,) = [row for row in shown(client)["months"].rows if row.title == "Lost customers"]

        assert lost.now == "1"
        assert rows_of(client.get(lost.url)) == [alice]
        assert client.get("/admin/accounts/user/?lost=x").status_code == 200

    def test_charts_and_leaders_show_what_was_sold_and_spent(self, company):
        fold()

        page = shown(signed_in(superuser()))

        assert [chart.title for chart in page["charts"]] == ["Credits sold", "Credits spent"]
        assert [chart.series[0].total for chart in page["charts"]] == [100, 4]
        leaders = {table.title: [(name, credits) for name, _, credits in table.rows] for table in page["leaders"]}
        assert leaders["Top endpoints of the month"] == [("search", "4")]
        assert [credits for _, credits in leaders["Top customers of the month"]] == ["2", "2"]

    @pytest.mark.parametrize(
        ("permission", "sees"),
        [
            ("ledger.view_balance", {"tiles"}),
            ("ledger.view_entry", {"months", "charts"}),
            ("usage.view_requestlog", {"months", "charts", "leaders"}),
            ("accounts.view_user", {"months"}),
            ("usage.view_reconciliationrun", {"last_run"}),
            ("usage.view_price", set()),
        ],
    )
    def test_figures_are_shown_to_those_who_may_see_their_lists(self, company, permission, sees):
        fold()

        page = shown(signed_in(staff_with(permission)))

        assert {name for name in ("tiles", "months", "charts", "leaders", "last_run") if page[name]} == sees

    def test_staff_without_permissions_see_no_figure(self, company):
        fold()

        said = signed_in(StaffFactory()).get("/admin/").content.decode()

        assert "To do" not in said
        assert "Figures" not in said

    def test_the_page_says_how_old_its_figures_are(self, company):
        client, at = signed_in(superuser()), timezone.now()
        none = client.get("/admin/").content.decode()
        fold(at)
        fresh = client.get("/admin/").content.decode()
        DayFigures.objects.update(folded_at=at - dt.timedelta(hours=3))
        old = client.get("/admin/").content.decode()

        assert "No figures yet" in none
        assert f"Counted at {at:%H:%M:%S} UTC, every minute" in fresh
        assert "These figures are 3 hours old: the job fold_figures does not run." in old

    def test_a_name_of_an_endpoint_is_escaped(self):
        price("<b>x", 2)
        charge(customer_with(9), endpoint="<b>x")
        fold()

        assert "<b>x" not in signed_in(superuser()).get("/admin/").content.decode()


def test_the_last_full_run_of_reconciliation_is_named():
    client = signed_in(superuser())
    never = shown(client)["last_run"]
    audit(findings=2)

    run = shown(client)["last_run"]

    assert (never.value, never.needs_care) == ("never", True)
    assert (run.value, run.needs_care) == ("2 findings", True)


def test_the_front_page_takes_few_statements(company):
    fold()
    for viewer in (superuser(), staff_with(*LISTS.values(), "usage.view_reconciliationrun", "ledger.view_balance")):
        client = signed_in(viewer)
        client.get("/admin/password_change/")  # now and then a page notes that the sign-in is in use

        with CaptureQueriesContext(connection) as statements:
            client.get("/admin/")

        assert len(statements) <= MOST_STATEMENTS, [one["sql"] for one in statements]


def test_runs_are_filtered_by_whether_they_found_anything():
    clean, dirty = audit(), audit(findings=3, finished_at=timezone.now() - dt.timedelta(days=1))
    client = signed_in(superuser())

    found = {
        name: rows_of(client.get(f"/admin/usage/reconciliationrun/?found={name}")) for name in ("some", "none", "x")
    }

    assert found == {"some": [dirty], "none": [clean], "x": [clean, dirty]}
