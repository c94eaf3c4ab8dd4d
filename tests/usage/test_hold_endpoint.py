import datetime as dt

import pytest
from django.utils import timezone

from ledger.models import Hold
from ledger.serializers.account import HoldSerializer, hold_answer
from ledger.services.holds import release_hold
from tests.factories import ApiKeyFactory
from tests.ledger.posting import hold
from tests.usage.gateway import Gateway, refused

pytestmark = pytest.mark.django_db


def shown(at: dt.datetime) -> str:
    return at.replace(tzinfo=None).isoformat() + "Z"


def test_a_hold_is_shown_as_it_is(gateway, alice):
    held = hold(alice, "12.5", reference="job 1", metadata={"secret": "of the gateway"}).hold

    answer = gateway.get(f"/v2/holds/{held.pk}")

    assert answer.status_code == 200
    assert answer.json() == {
        "id": held.pk,
        "user_id": alice.pk,
        "credits": 12.5,
        "captured": 0,
        "status": "open",
        "expires_at": shown(held.expires_at),
        "reference": "job 1",
        "created_at": shown(held.created_at),
    }


def test_a_released_hold_says_so(gateway, alice):
    held = hold(alice, 5).hold
    release_hold(hold_id=held.pk, idempotency_key="r")

    assert gateway.get(f"/v2/holds/{held.pk}").json()["status"] == "released"


def test_a_hold_that_has_run_out_is_expired_though_nothing_has_run(gateway, alice):
    held = hold(alice, 5, seconds=0).hold

    answer = gateway.get(f"/v2/holds/{held.pk}").json()

    assert Hold.objects.get(pk=held.pk).status == "open"
    assert answer["status"] == "expired"


def test_an_unknown_hold_is_not_found_whatever_its_name(gateway):
    answers = [gateway.get(f"/v2/holds/{name}") for name in (2**62, 0, 2**63, "x", "1_0", "-1", "%00")]

    assert {refused(answer) for answer in answers} == {(404, "not_found")}
    assert len({answer.content for answer in answers}) == 1


def test_a_customers_own_key_may_not_look(alice):
    own = Gateway(api_key=ApiKeyFactory(user=alice).raw)

    assert refused(own.get(f"/v2/holds/{hold(alice, 1).hold.pk}")) == (403, "scope_missing")


def test_the_response_equals_the_documented_serializers(alice):
    held = hold(alice, "12.500000").hold

    assert hold_answer(held, timezone.now()) == HoldSerializer(held).data
