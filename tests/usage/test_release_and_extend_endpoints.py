import datetime as dt
from decimal import Decimal

import pytest
from django.utils import timezone

from accounts.services.keys.api_keys import revoke_api_key
from ledger.models import Hold
from ledger.selectors import balance_of
from tests.factories import ApiKeyFactory, ServiceKeyFactory, customer_with
from tests.ledger.posting import hold as open_hold
from tests.ledger.posting import run_out
from tests.usage.gateway import Gateway, refused
from tests.usage.metering import captured

pytestmark = pytest.mark.django_db
EXTENSION = {"expires_in": 3_600}


@pytest.fixture
def hold(alice) -> Hold:
    return open_hold(alice, 30, seconds=60).hold


def path(hold, change):
    return f"/v2/holds/{hold.pk}/{change}"


def reserved(user):
    return balance_of(user_id=user.pk).reserved


def test_a_release_makes_held_credits_available(gateway, alice, hold):
    answer = gateway.post(path(hold, "release"))

    assert (answer.status_code, answer.json()["status"], answer.json()["id"]) == (200, "released", hold.pk)
    assert answer.json() == gateway.get(f"/v2/holds/{hold.pk}").json()
    assert reserved(alice) == 0


def test_a_release_needs_no_body_at_all(gateway, hold):
    answer = gateway.client.generic("POST", path(hold, "release"), headers={"Idempotency-Key": "k"})

    assert (answer.status_code, answer.json()["status"]) == (200, "released")


def test_a_release_of_a_hold_partly_captured_releases_the_rest(gateway, alice, hold):
    captured(hold, credits=Decimal(10), final=False)

    answer = gateway.post(path(hold, "release")).json()

    assert (answer["status"], answer["captured"]) == ("released", 10)
    assert (reserved(alice), balance_of(user_id=alice.pk).balance) == (0, 90)


def test_an_extension_counts_from_now(gateway, alice, hold):
    answer = gateway.post(path(hold, "extend"), EXTENSION)

    shown = dt.datetime.fromisoformat(answer.json()["expires_at"])
    assert answer.status_code == 200
    assert abs(shown - timezone.now() - dt.timedelta(hours=1)) < dt.timedelta(seconds=5)
    assert (answer.json()["status"], reserved(alice)) == ("open", 30)


def test_an_extension_never_shortens_a_hold(gateway, hold):
    before = gateway.get(f"/v2/holds/{hold.pk}").json()

    assert gateway.post(path(hold, "extend"), {"expires_in": 1}).json() == before


@pytest.mark.django_db(transaction=True)
def test_an_extended_hold_outlives_its_first_end(gateway, alice):
    hold = open_hold(alice, 30).hold
    gateway.post(path(hold, "extend"), EXTENSION)
    run_out(hold)

    assert gateway.get(f"/v2/holds/{hold.pk}").json()["status"] == "open"
    assert reserved(alice) == 30


@pytest.mark.parametrize(("change", "body"), [("release", {}), ("extend", EXTENSION)])
class TestBoth:
    def test_repetitions_return_the_same(self, gateway, alice, hold, change, body):
        first = gateway.post(path(hold, change), body, key="k")

        for named in ({}, {"user_id": alice.pk}, {"api_key": ApiKeyFactory(user=alice).raw}):
            again = gateway.post(path(hold, change), {**body, **named}, key="k")

            assert (again.status_code, again.json()) == (200, first.json())
            assert again.headers["Idempotent-Replayed"] == "true"

    def test_repetitions_for_another_hold_under_the_same_key_are_refused(self, gateway, alice, hold, change, body):
        gateway.post(path(hold, change), body, key="k")
        other = open_hold(alice, 5).hold

        assert refused(gateway.post(path(other, change), body, key="k")) == (422, "idempotency_key_reused")

    def test_an_idempotency_key_is_required(self, gateway, alice, hold, change, body):
        assert refused(gateway.post(path(hold, change), body, key=None)) == (400, "idempotency_key_required")
        assert Hold.objects.get().expires_at == hold.expires_at
        assert reserved(alice) == 30

    def test_captured_hold_is_refused(self, gateway, hold, change, body):
        captured(hold)

        assert refused(gateway.post(path(hold, change), body)) == (409, "hold_captured")

    def test_released_hold_is_refused(self, gateway, hold, change, body):
        gateway.post(path(hold, "release"))

        assert refused(gateway.post(path(hold, change), body)) == (409, "hold_released")

    def test_expired_hold_is_refused(self, gateway, alice, change, body):
        gone = open_hold(alice, 5, seconds=0).hold

        assert refused(gateway.post(path(gone, change), body)) == (409, "hold_expired")

    def test_another_customers_hold_is_not_found(self, gateway, alice, hold, change, body):
        bob = customer_with(10)
        nobodys = gateway.post(f"/v2/holds/9999999/{change}", body)

        for named in ({"user_id": bob.pk}, {"api_key": ApiKeyFactory(user=bob).raw}, {"user_id": 2**63 - 1}):
            anothers = gateway.post(path(hold, change), {**body, **named})

            assert refused(anothers) == refused(nobodys) == (404, "not_found")
            assert anothers.content == nobodys.content
        assert reserved(alice) == 30

    def test_ended_key_is_refused(self, gateway, alice, hold, change, body):
        revoked = ApiKeyFactory(user=alice)
        revoke_api_key(prefix=revoked.api_key.prefix, now=timezone.now())

        for raw in ("", "x", revoked.raw, ServiceKeyFactory().raw):
            answer = gateway.post(path(hold, change), {**body, "api_key": raw})
            assert refused(answer) == (403, "customer_key_invalid")
        assert reserved(alice) == 30

    def test_the_customer_is_named_in_one_way(self, gateway, alice, hold, change, body):
        answer = gateway.post(path(hold, change), {**body, "user_id": alice.pk, "api_key": "x"})

        assert refused(answer) == (400, "invalid")
        assert sorted(answer.json()["errors"]) == ["api_key", "user_id"]

    def test_customers_own_key_is_refused(self, alice, hold, change, body):
        own = Gateway(api_key=ApiKeyFactory(user=alice).raw)

        assert refused(own.post(path(hold, change), body)) == (403, "scope_missing")


@pytest.mark.parametrize("seconds", [None, 0, -1, 86_401, "60", 1.5, True])
def test_an_extension_by_an_invalid_time_is_refused(gateway, hold, seconds):
    answer = gateway.post(path(hold, "extend"), {"expires_in": seconds})

    assert refused(answer) == (400, "invalid")
    assert list(answer.json()["errors"]) == ["expires_in"]


def test_an_extension_says_by_how_much(gateway, hold):
    answer = gateway.post(path(hold, "extend"), {})

    assert answer.json()["errors"] == {"expires_in": ["This field is required."]}


def test_another_time_under_the_same_key_is_refused(gateway, hold):
    gateway.post(path(hold, "extend"), EXTENSION, key="k")

    answer = gateway.post(path(hold, "extend"), {"expires_in": 7_200}, key="k")

    assert refused(answer) == (422, "idempotency_key_reused")
