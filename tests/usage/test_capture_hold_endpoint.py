import uuid
from decimal import Decimal

import pytest

from ledger.models import Entry, Hold
from ledger.selectors import balance_of
from ledger.services.holds import release_hold
from tests.factories import ApiKeyFactory, customer_with
from tests.usage.gateway import Gateway, refused
from tests.usage.metering import held, price, rolled_up
from usage.models import RequestLog

pytestmark = pytest.mark.django_db


@pytest.fixture
def hold(alice) -> Hold:
    price("render", 10)
    return held(alice, "render", units=Decimal(3), method="POST", reference="job 1").hold


@pytest.fixture
def path(hold) -> str:
    return f"/v2/holds/{hold.pk}/capture"


def sums(user):
    had = balance_of(user_id=user.pk)
    return had.balance, had.reserved, had.available


def test_a_capture_takes_all_that_is_held_and_logs_the_request(gateway, alice, hold, path):
    answer = gateway.post(path)

    entry, logged = Entry.objects.latest("pk"), RequestLog.objects.get()
    assert answer.status_code == 200
    assert answer.json() == {
        **gateway.get(f"/v2/holds/{hold.pk}").json(),
        "credits": 30,
        "captured": 30,
        "status": "captured",
        "entry_id": entry.pk,
    }
    assert "Idempotent-Replayed" not in answer.headers
    assert (entry.amount, entry.reason, entry.reference) == (-30, "capture", "job 1")
    assert (logged.endpoint, logged.path, logged.method, logged.units) == ("render", "render", "POST", 3)
    assert (logged.status, logged.credits, logged.entry_id, logged.reference) == (200, 30, entry.pk, "job 1")
    assert str(logged.request_id) == answer.headers["X-Request-Id"]
    assert sums(alice) == (70, 0, 70)


def test_the_fields_of_the_request_are_logged(gateway, alice, path):
    price("/v1/frames/{n}", 1)
    said = {"endpoint": "/v1/frames/7", "units": "2.5", "method": "put", "status_code": 206, "latency_ms": 9}
    request_id = str(uuid.uuid4())

    gateway.post(
        path,
        {**said, "reference": "frame", "metadata": {"a": 0.1}, "credits": 2},
        headers={"X-Request-Id": request_id},
    )

    logged = RequestLog.objects.get()
    assert (logged.endpoint, logged.path, logged.method) == ("/v1/frames/{n}", "/v1/frames/7", "PUT")
    assert (logged.units, logged.status, logged.latency_ms) == (Decimal("2.5"), 206, 9)
    assert (logged.reference, logged.metadata, logged.credits) == ("frame", {"a": 0.1}, 2)
    assert str(logged.request_id) == request_id
    assert rolled_up(alice) == [("/v1/frames/{n}", 1, 0, 0, 2)]


def test_a_partial_capture_releases_the_rest(gateway, alice, path):
    answer = gateway.post(path, {"credits": "12.5"}).json()

    assert (answer["status"], answer["credits"], answer["captured"]) == ("captured", 30, 12.5)
    assert sums(alice) == (Decimal("87.5"), 0, Decimal("87.5"))


def test_a_capture_that_is_not_final_keeps_the_rest_held(gateway, alice, path):
    first = gateway.post(path, {"credits": 10, "final": False}).json()
    second = gateway.post(path, {"credits": 5, "final": False}).json()
    held_between = sums(alice)
    last = gateway.post(path).json()

    assert (first["status"], first["captured"], second["captured"]) == ("open", 10, 15)
    assert held_between == (85, 15, 70)
    assert (last["status"], last["captured"]) == ("captured", 30)
    assert len({first["entry_id"], second["entry_id"], last["entry_id"]}) == 3
    assert sums(alice) == (70, 0, 70)
    assert RequestLog.objects.count() == 3


@pytest.mark.parametrize("status", [401, 402, 429, 500])
def test_a_request_that_came_to_nothing_takes_nothing(gateway, alice, path, status):
    answer = gateway.post(path, {"status_code": status}).json()

    assert (answer["status"], answer["captured"], answer["entry_id"]) == ("released", 0, None)
    assert RequestLog.objects.get().status == status
    assert sums(alice) == (100, 0, 100)


class TestARepetition:
    @pytest.mark.parametrize(
        ("first", "again"),
        [
            ({"credits": 3}, {"credits": "3.0"}),
            ({}, {"credits": None, "final": True, "status_code": 200, "metadata": {}}),
            ({"method": "GET"}, {"method": "get"}),
            ({"status_code": 500}, {"status_code": 500}),
        ],
        ids=str,
    )
    def test_repetition_returns_the_same_and_takes_nothing_more(self, gateway, alice, path, first, again):
        made = gateway.post(path, first, key="k")
        before = sums(alice)

        repeated = gateway.post(path, again, key="k")

        assert (repeated.status_code, repeated.json()) == (200, made.json())
        assert repeated.headers["Idempotent-Replayed"] == "true"
        assert sums(alice) == before
        assert RequestLog.objects.count() == 1

    def test_repetition_may_name_the_customer_in_any_way(self, gateway, alice, path):
        made = gateway.post(path, key="k").json()

        for named in ({"user_id": alice.pk}, {"api_key": ApiKeyFactory(user=alice).raw}):
            assert gateway.post(path, named, key="k").json() == made

    @pytest.mark.parametrize(
        "change",
        [
            {"credits": 2}, {"final": False}, {"endpoint": "x"}, {"units": 3}, {"method": "GET"}, {"status_code": 201},
            {"latency_ms": 1}, {"reference": "r"}, {"metadata": {"a": 1}},
        ],
        ids=str,
    )  # fmt: skip
    def test_repetition_with_another_payload_is_refused(self, gateway, path, change):
        gateway.post(path, {"credits": 1}, key="k")

        assert refused(gateway.post(path, {"credits": 1} | change, key="k")) == (422, "idempotency_key_reused")

    def test_repetition_of_a_refusal_is_judged_again(self, gateway, path):
        first = gateway.post(path, {"credits": 31}, key="k")

        assert refused(first) == (422, "capture_exceeds_hold")
        assert gateway.post(path, {"credits": 30}, key="k").status_code == 200


def test_more_than_is_held_is_refused(gateway, alice, path):
    assert refused(gateway.post(path, {"credits": "30.000001"})) == (422, "capture_exceeds_hold")
    assert sums(alice) == (100, 30, 70)


class TestASettledHold:
    def test_captured_hold_is_refused(self, gateway, path):
        gateway.post(path)

        assert refused(gateway.post(path)) == (409, "hold_captured")

    def test_released_hold_is_refused(self, gateway, hold, path):
        release_hold(hold_id=hold.pk, idempotency_key="r")

        assert refused(gateway.post(path)) == (409, "hold_released")

    def test_expired_hold_is_refused(self, gateway, alice):
        gone = held(alice, None, credits=Decimal(1), expires_in_seconds=0).hold

        assert refused(gateway.post(f"/v2/holds/{gone.pk}/capture")) == (409, "hold_expired")


def test_a_capture_without_an_idempotency_key_is_refused(gateway, alice, path):
    assert refused(gateway.post(path, key=None)) == (400, "idempotency_key_required")
    assert sums(alice) == (100, 30, 70)


@pytest.mark.parametrize(
    ("sent", "fields"),
    [
        ({"user_id": 1, "api_key": "x"}, ["api_key", "user_id"]),
        ({"credits": 0}, ["credits"]),
        ({"final": "true"}, ["final"]),
        ({"final": None}, ["final"]),
        ({"endpoint": ""}, ["endpoint"]),
        ({"units": -1}, ["units"]),
        ({"metadata": {"tollbook_hold_id": 1}}, ["metadata"]),
        ({"status_code": 99}, ["status_code"]),
        ({"status_code": None}, ["status_code"]),
        ({"method": ""}, ["method"]),
        ({"reference": ""}, ["reference"]),
        ({"metadata": None}, ["metadata"]),
    ],
    ids=str,
)
def test_an_invalid_field_is_named(gateway, path, sent, fields):
    answer = gateway.post(path, sent)

    assert refused(answer) == (400, "invalid")
    assert sorted(answer.json()["errors"]) == fields


def test_another_customers_hold_is_not_found(gateway, alice, path):
    bob = customer_with(10)
    nobodys = gateway.post("/v2/holds/9999999/capture")

    for named in ({"user_id": bob.pk}, {"api_key": ApiKeyFactory(user=bob).raw}, {"user_id": 2**63 - 1}):
        anothers = gateway.post(path, named)

        assert refused(anothers) == refused(nobodys) == (404, "not_found")
        assert anothers.content == nobodys.content
    assert sums(alice) == (100, 30, 70)


@pytest.mark.parametrize("raw", ["", "x", "tb_live_" + "0" * 51])
def test_an_invalid_key_is_refused(gateway, path, raw):
    assert refused(gateway.post(path, {"api_key": raw})) == (403, "customer_key_invalid")


def test_a_customers_own_key_may_not_capture(alice, path):
    own = Gateway(api_key=ApiKeyFactory(user=alice).raw)

    assert refused(own.post(path)) == (403, "scope_missing")
