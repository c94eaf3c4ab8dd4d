"""GET /auth/account/ledger/{id}/explain."""

import datetime as dt
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from ledger.models import AdjustmentReason, Entry, EntryReason
from ledger.providers.fake import APPROVE
from ledger.services.adjustments.requests import request_adjustment
from ledger.services.payments.reversals import note_refund
from tests.account import client_of
from tests.conftest import owner_connection
from tests.factories import StaffFactory, UserFactory, customer_with
from tests.ledger.granting import end, granted
from tests.ledger.paying import bought
from tests.ledger.posting import allow_overdraft, post
from tests.ledger.reloading import low, run_all
from tests.ledger.subscribing import move, plan, subscribe
from tests.usage.metering import captured, charge, held, price, refund, report, request_at
from usage.selectors import log_months
from usage.services.explanations.explanation import explain_entry
from usage.services.explanations.requests import SHOWN
from usage.services.explanations.sentences import SENTENCES

pytestmark = pytest.mark.django_db


def path(entry_id: int) -> str:
    return f"/auth/account/ledger/{entry_id}/explain"


def explained(entry: Entry) -> dict:
    answer = client_of(entry.user).get(path(entry.pk))
    assert answer.status_code == 200, answer.content
    return answer.json()


def newest(user) -> Entry:
    return Entry.objects.of(user.pk).newest_first().first()


def drawn(body: dict) -> list[tuple]:
    return [(share["grant_id"], share["credits"]) for share in body["grants"]]


def test_a_charge_says_its_request_price_calculation_and_grants():
    user = UserFactory()
    first, second = granted(user, 10, days=3), granted(user, 50)
    version = price("chat", 4)
    paid = charge(user, "chat", units=Decimal(3), method="POST")

    body = explained(Entry.objects.get(pk=paid.id))

    assert body["calculation"] == "3 × 4 = 12"
    assert body["sentence"] == "12 credits for one request of chat (POST chat), which ended with status 200."
    assert body["price"] == {
        "endpoint": "chat", "method": "", "version": version.pk, "credits": 4, "minimum": 0,
        "effective_from": "2020-01-01T00:00:00Z",
    }  # fmt: skip
    assert drawn(body) == [(first.pk, 10), (second.pk, 2)]
    assert (body["requests"]["count"], body["requests"]["items"][0]["id"]) == (1, paid.id)
    assert (body["by"], body["hold"], body["payment"], body["subscription"]) == ("service", None, None, None)


def test_amounts_that_the_price_did_not_decide_have_no_calculation():
    user = customer_with(50)
    price("chat", 4)

    body = explained(Entry.objects.get(pk=charge(user, "chat", credits=Decimal(7)).id))

    assert (body["calculation"], body["price"]["credits"]) == (None, 4)


def test_a_minimum_is_part_of_the_calculation():
    user = customer_with(50)
    price("chat", "0.1", minimum=Decimal(2))

    body = explained(Entry.objects.get(pk=charge(user, "chat", units=Decimal(3)).id))

    assert body["calculation"] == "3 × 0.1 = 0.3, at least 2"


def test_a_capture_names_its_hold():
    user = customer_with(50)
    price("search", 2)
    hold = held(user, units=Decimal(5)).hold

    body = explained(Entry.objects.get(pk=captured(hold).entry_id))

    assert (body["hold"]["id"], body["hold"]["status"], body["calculation"]) == (hold.pk, "captured", "5 × 2 = 10")
    assert body["sentence"].endswith(f"; hold {hold.pk} had set 10 credits aside for it.")


def test_a_batch_says_how_many_requests_it_paid_and_shows_the_first():
    user, other = customer_with(500), customer_with(500)
    price("search", 2)
    now = timezone.now().replace(microsecond=0)
    times = [now - dt.timedelta(minutes=n) for n in range(30)]
    statuses = [500, *[200] * 29]
    report(user, [request_at(at, status=status) for at, status in zip(times, statuses, strict=True)], charged=True)
    entry = newest(user)
    report(other, [request_at(now)] * 1, charged=True)
    report(user, [request_at(now)], charged=True)

    body = explained(entry)

    assert body["requests"]["count"] == 30
    assert dt.datetime.fromisoformat(body["requests"]["first_at"]) == times[-1]
    assert dt.datetime.fromisoformat(body["requests"]["last_at"]) == times[0]
    assert len(body["requests"]["items"]) == SHOWN
    assert body["requests"]["items"][0]["credits"] == 0  # what failed is free, and was reported with the others
    assert body["calculation"] == "29 × 2 = 58"
    assert body["sentence"] == "58 credits for 30 requests that test reported, charged together."
    assert sum(share["credits"] for share in body["grants"]) == 58


@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
def test_requests_are_counted_after_their_month_was_dropped():
    user = customer_with(500)
    price("search", 2)
    at = dt.datetime(2026, 3, 5, tzinfo=dt.UTC)
    report(user, [request_at(at), request_at(at)], charged=True)
    batch = newest(user)
    single = Entry.objects.get(pk=charge(user).id)
    with owner_connection(autocommit=True) as owner:
        for month in log_months():
            owner.execute(f"DROP TABLE usage_requestlog_{month:%Y_%m}")

    of_batch, of_single = explained(batch), explained(single)

    assert of_batch["requests"] == {"count": 2, "first_at": None, "last_at": None, "items": []}
    assert (of_single["requests"]["count"], of_single["requests"]["items"]) == (1, [])
    assert of_single["price"]["endpoint"] == "search"
    assert "no longer kept" in of_single["sentence"]


def test_a_refund_refills_the_grants_and_the_debit_names_it():
    user = UserFactory()
    first, second = granted(user, 10, days=3), granted(user, 50)
    price("chat", 12)
    paid = charge(user, "chat")
    given = refund(paid.id, 5).entry

    body, of_debit = explained(given), explained(Entry.objects.get(pk=paid.id))

    assert (body["reverses"], drawn(body)) == (paid.id, [(first.pk, 3), (second.pk, 2)])
    assert body["sentence"] == f"5 credits of debit {paid.id} were refunded: it did not work."
    assert of_debit["reversed_by"] == [given.pk]


def test_what_staff_return_of_a_debit_is_a_reversal_by_staff():
    user, clerk = customer_with(50), StaffFactory()
    price("chat", 12)
    paid = charge(user, "chat")
    done = request_adjustment(
        user_id=user.pk, amount=Decimal(2), reason=AdjustmentReason.CORRECTION, note="Twice", actor_id=clerk.pk,
        idempotency_key="r", reverses=paid.id,
    )  # fmt: skip

    body = explained(done.entry)

    assert (body["by"], body["sentence"]) == ("staff", f"2 credits of debit {paid.id} were given back by staff: Twice.")


def test_an_overdraft_is_a_share_without_a_grant():
    user = UserFactory()
    grant = granted(user, 5)
    allow_overdraft(user, 20)
    price("chat", 12)
    debit = Entry.objects.get(pk=charge(user, "chat").id)
    later = granted(user, 30)

    assert drawn(explained(debit)) == [(grant.pk, 5), (None, 7)]
    assert drawn(explained(later)) == [(later.pk, 30)]


@pytest.mark.django_db(transaction=True)
def test_an_expiry_names_its_grant():
    user = UserFactory()
    grant = granted(user, 8, days=1)
    end(grant)
    client_of(user).get("/auth/account/grants")

    body = explained(newest(user))

    assert body["sentence"] == f"8 credits of grant {grant.pk} expired: they were not spent by its end."
    assert (drawn(body), body["by"]) == ([(grant.pk, 8)], "system")


def test_a_purchase_and_what_its_refund_takes_back_name_the_payment():
    user = UserFactory()
    payment = bought(user, APPROVE)
    note_refund(payment_id=payment.pk, refunded_minor=payment.amount_minor, now=timezone.now())

    purchase, taken = explained(payment.entry), explained(newest(user))

    assert (purchase["payment"]["id"], purchase["by"]) == (payment.pk, "customer")
    assert purchase["payment"]["package"] == payment.package.code
    assert drawn(taken) == [(payment.entry_id, float(payment.credits))]
    assert (taken["reverses"], taken["by"]) == (payment.entry_id, "system")
    assert f"since payment {payment.pk} was refunded" in taken["sentence"]


@pytest.mark.parametrize("reason", [EntryReason.GOODWILL, EntryReason.CORRECTION, EntryReason.CHARGEBACK])
@pytest.mark.parametrize("amount", [3, -3])
def test_adjustments_say_their_kind_and_note(reason, amount):
    user = customer_with(50)

    body = explained(post(user, amount, reason=reason).entry)

    assert body["sentence"].startswith("3 credits were " + ("added as" if amount > 0 else "taken back as"))
    assert body["sentence"].endswith(": A test.")
    assert sum(share["credits"] for share in body["grants"]) == 3


@pytest.mark.parametrize("reason", [EntryReason.PURCHASE, EntryReason.GRANT, EntryReason.AUTO_RELOAD])
def test_credits_without_a_payment_say_where_they_came_from(reason):
    user = UserFactory()

    entry = post(user, 5, type="credit", reason=reason).entry

    assert explained(entry)["sentence"].startswith("5 credits were ")
    assert drawn(explained(entry)) == [(entry.pk, 5)]


def test_every_reason_has_a_sentence():
    assert set(SENTENCES) == set(EntryReason)


def test_a_period_and_an_upgrade_name_the_subscription():
    user = UserFactory()
    subscription = subscribe(user, plan(1000))
    period = newest(user)
    move(user, plan(3000))
    upgrade = newest(user)

    of_period, of_upgrade = explained(period), explained(upgrade)

    assert of_period["subscription"]["id"] == of_upgrade["subscription"]["id"] == subscription.pk
    assert set(of_period["subscription"]["plan"]) == {"code", "name"}
    assert " credits came with the period " in of_period["sentence"]
    assert " credits came with an upgrade to " in of_upgrade["sentence"]
    assert (of_period["by"], sum(share["credits"] for share in of_period["grants"])) == ("system", 1000)


def test_an_auto_reload_names_its_payment():
    user = low()
    run_all()
    entry = Entry.objects.of(user.pk).get(reason=EntryReason.AUTO_RELOAD)

    body = explained(entry)

    assert (body["by"], body["payment"]["state"]) == ("system", "succeeded")
    assert body["sentence"].startswith("Auto-reload bought ")


def test_only_the_customer_sees_the_explanation():
    entry = post(customer_with(5), 1).entry

    assert client_of(UserFactory()).get(path(entry.pk)).status_code == 404
    assert client_of(entry.user).get(path(2**70)).status_code == 404
    assert client_of(entry.user).get("/auth/account/ledger/x/explain").status_code == 404


def test_explaining_takes_ten_statements_and_reads_no_more_of_a_million_requests():
    user = customer_with(10)
    price("search", 1)
    entry = Entry.objects.get(pk=charge(user).id)
    entry.operation, entry.metadata = "record_events", {"requests": 1_000_000, "source": "gateway"}

    with CaptureQueriesContext(connection) as asked:
        found = explain_entry(entry, now=timezone.now())

    assert len(asked) <= 10
    assert (found.requests.count, found.requests.first_at) == (1_000_000, None)
