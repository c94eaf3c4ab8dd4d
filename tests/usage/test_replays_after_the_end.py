"""A replay of an earlier operation takes precedence over the refusal of an ended key or inactive customer."""

import datetime as dt
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from django.db import connection, transaction
from django.utils import timezone

from accounts.key_format import hash_of
from accounts.models import ApiKey, User
from ledger.models import Entry, Hold
from tests.accounts.races import at_once
from tests.factories import ApiKeyFactory
from tests.ledger.races import LONG_ENOUGH_SECONDS
from tests.usage.batches import asked
from tests.usage.gateway import refused
from tests.usage.metering import charge, price
from usage.errors import CustomerInactive, CustomerKeyInvalid
from usage.services.charges.calls import charge_together

pytestmark = pytest.mark.django_db
SECOND = dt.timedelta(seconds=1)


@pytest.fixture
def key(alice):
    price("search", 2)
    price("free", 0)
    return ApiKeyFactory(user=alice)


def revoke(key):
    ApiKey.objects.filter(pk=key.api_key.pk).update(revoked_at=timezone.now())


def expire(key):
    ApiKey.objects.filter(pk=key.api_key.pk).update(expires_at=timezone.now() - SECOND)


def deactivate(key):
    User.objects.filter(pk=key.api_key.user_id).update(is_active=False)


ENDS = pytest.mark.parametrize("end", [revoke, expire, deactivate], ids=lambda end: end.__name__)


def posted(gateway, path, body, **sent):
    answer = gateway.post(path, body, **sent)
    return answer.status_code, answer.json(), answer.headers.get("Idempotent-Replayed")


@ENDS
@pytest.mark.parametrize("endpoint", ["search", "free"])
def test_a_charge_is_replayed_and_another_is_refused(gateway, key, end, endpoint):
    body = {"api_key": key.raw, "endpoint": endpoint}
    _, first, _ = posted(gateway, "/v2/charges", body, key="k")
    end(key)

    assert posted(gateway, "/v2/charges", body, key="k") == (201, first, "true")
    assert refused(gateway.post("/v2/charges", body, key="new")) == (403, "customer_key_invalid")
    other = {**body, "units": 2}
    assert refused(gateway.post("/v2/charges", other, key="k")) == (403, "customer_key_invalid")


def test_a_charge_of_a_deactivated_customer_is_replayed_and_another_is_refused(gateway, alice, key):
    body = {"user_id": alice.pk, "endpoint": "search"}
    _, first, _ = posted(gateway, "/v2/charges", body, key="k")
    deactivate(key)

    assert posted(gateway, "/v2/charges", body, key="k") == (201, first, "true")
    assert posted(gateway, "/v2/charges", {"api_key": key.raw, "endpoint": "search"}, key="k") == (201, first, "true")
    assert refused(gateway.post("/v2/charges", body, key="new")) == (403, "customer_inactive")


@ENDS
def test_a_hold_is_replayed_and_another_is_refused(gateway, key, end):
    body = {"api_key": key.raw, "endpoint": "search"}
    _, first, _ = posted(gateway, "/v2/holds", body, key="k")
    end(key)

    assert posted(gateway, "/v2/holds", body, key="k") == (201, first, "true")
    assert refused(gateway.post("/v2/holds", body, key="new")) == (403, "customer_key_invalid")
    assert refused(gateway.post("/v2/holds", {**body, "units": 2}, key="k")) == (403, "customer_key_invalid")
    assert Hold.objects.count() == 1


def test_a_hold_of_a_deactivated_customer_is_replayed_and_another_is_refused(gateway, alice, key):
    body = {"user_id": alice.pk, "credits": 3}
    _, first, _ = posted(gateway, "/v2/holds", body, key="k")
    deactivate(key)

    assert posted(gateway, "/v2/holds", body, key="k") == (201, first, "true")
    assert refused(gateway.post("/v2/holds", body, key="new")) == (403, "customer_inactive")


@ENDS
@pytest.mark.parametrize(
    ("change", "body"),
    [("capture", {"credits": 1}), ("capture", {"status_code": 500}), ("release", {}), ("extend", {"expires_in": 60})],
    ids=["capture", "capture of nothing", "release", "extend"],
)
def test_a_change_of_a_hold_is_replayed_and_another_is_refused(gateway, key, end, change, body):
    named = {"api_key": key.raw}
    holds = [posted(gateway, "/v2/holds", {**named, "endpoint": "search"})[1]["id"] for _ in range(2)]
    path = f"/v2/holds/{holds[0]}/{change}"
    _, first, _ = posted(gateway, path, {**named, **body}, key="k")
    end(key)

    assert posted(gateway, path, {**named, **body}, key="k") == (200, first, "true")
    other = f"/v2/holds/{holds[1]}/{change}"
    assert refused(gateway.post(other, {**named, **body}, key="new")) == (403, "customer_key_invalid")
    assert Hold.objects.get(pk=holds[1]).status == "open"


@ENDS
def test_a_refund_is_replayed_and_another_is_refused(gateway, key, end):
    named = {"api_key": key.raw}
    charged = posted(gateway, "/v2/charges", {**named, "endpoint": "search"})[1]["id"]
    path, body = f"/v2/charges/{charged}/refund", {**named, "credits": 1, "reason": "it did not work"}
    _, first, _ = posted(gateway, path, body, key="k")
    end(key)

    assert posted(gateway, path, body, key="k") == (201, first, "true")
    assert refused(gateway.post(path, body, key="new")) == (403, "customer_key_invalid")


@ENDS
def test_charges_together_are_each_replayed_or_refused(key, end):
    named = {"key": ApiKey.objects.get(pk=key.api_key.pk)}
    first = [asked(idempotency_key=f"k{n}", **named) for n in range(2)]
    done = charge_together(first)
    end(key)

    again = charge_together([first[1], asked(idempotency_key="new", **named), first[0]])

    assert [row.outcome for row in again] == ["replayed", "key_invalid", "replayed"]
    assert [row.entry_id for row in again] == [done[1].entry_id, None, done[0].entry_id]


@pytest.mark.django_db(transaction=True)
def test_concurrent_callers_get_their_replays_though_the_key_has_ended(alice, key):
    made = {f"k{n}": charge(None, key_hash=hash_of(key.raw), idempotency_key=f"k{n}").id for n in range(8)}
    revoke(key)
    turns = itertools.cycle([*made, "new"])

    answers = at_once(18, lambda: charge(None, key_hash=hash_of(key.raw), idempotency_key=next(turns)))

    assert [type(answer) for answer in answers].count(CustomerKeyInvalid) == 2
    assert {answer.id for answer in answers if not isinstance(answer, Exception)} == set(made.values())
    assert Entry.objects.filter(user=alice, reason="usage").count() == 8


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["charge", "hold"])
def test_a_repetition_waits_for_the_first_that_is_under_way_when_the_customer_is_deactivated(gateway, alice, key, kind):
    path = f"/v2/{kind}s"
    body = {"user_id": alice.pk, "endpoint": "search"}
    began = threading.Event()

    def repeat():
        try:
            began.wait(timeout=30)
            return posted(gateway, path, body, key="k")
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=1) as pool:
        repeated = pool.submit(repeat)
        with transaction.atomic():
            _, first, _ = posted(gateway, path, body, key="k")
            _in_thread(lambda: deactivate(key))
            began.set()
            threading.Event().wait(LONG_ENOUGH_SECONDS)
        assert repeated.result(timeout=30) == (201, first, "true")


def _in_thread(work):
    def run():
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(timeout=30)


def test_a_repeated_refusal_is_refused_again(alice, key):
    deactivate(key)

    for _ in range(2):
        with pytest.raises(CustomerInactive):
            charge(alice, idempotency_key="k", units=Decimal(1))
