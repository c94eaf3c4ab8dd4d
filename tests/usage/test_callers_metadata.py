"""The caller's metadata stay unchanged, whatever names they use; ours are stored beside them."""

from decimal import Decimal

import pytest

from ledger.admin.credits.look_ups import charges_with_reference
from ledger.models import Entry, Hold
from ledger.selectors import our_metadata
from tests.usage.batches import asked
from tests.usage.gateway import refused
from tests.usage.metering import charge, price
from usage.models import RequestLog
from usage.services.charges.calls import charge_together

pytestmark = pytest.mark.django_db
THEIRS = {"charge_id": "a-7", "request_id": "mine", "hold_id": [1], "tenant": "x"}


@pytest.fixture(autouse=True)
def _prices(db):
    price("search", 2)
    price("free", 0)


def test_a_charge_keeps_them_and_ours_stand_beside_them(gateway, alice):
    body = {"user_id": alice.pk, "endpoint": "search", "metadata": THEIRS}

    answer = gateway.post("/v2/charges", body, key="k")
    again = gateway.post("/v2/charges", body, key="k")

    entry = Entry.objects.get(reason="usage")
    charged = answer.json()
    assert entry.metadata == THEIRS | {
        "tollbook_charge_id": charged["id"], "tollbook_request_id": charged["request_id"]
    }  # fmt: skip
    assert RequestLog.objects.get().metadata == THEIRS
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (charged, "true")


def test_names_that_the_caller_does_not_use_stay_as_they_were(gateway, alice):
    for metadata in ({}, {"request_id": "mine"}):
        gateway.post("/v2/charges", {"user_id": alice.pk, "endpoint": "search", "metadata": metadata})

    plain, used = Entry.objects.filter(reason="usage").order_by("id")
    assert list(plain.metadata) == ["charge_id", "request_id"]
    assert used.metadata["request_id"] == "mine"
    assert sorted(used.metadata) == ["charge_id", "request_id", "tollbook_request_id"]
    assert our_metadata(used, "charge_id") == used.pk
    assert our_metadata(used, "request_id") == used.metadata["tollbook_request_id"]


def test_a_capture_keeps_them_and_a_hold_too(gateway, alice):
    hold = gateway.post("/v2/holds", {"user_id": alice.pk, "credits": 3, "metadata": THEIRS}).json()

    gateway.post(f"/v2/holds/{hold['id']}/capture", {"metadata": THEIRS, "endpoint": "search"})

    entry = Entry.objects.get(reason="capture")
    assert {name: entry.metadata[name] for name in THEIRS} == THEIRS
    assert our_metadata(entry, "hold_id") == hold["id"]
    assert our_metadata(entry, "charge_id") == entry.pk
    assert Hold.objects.get().metadata == THEIRS


def test_charges_together_keep_them(alice):
    rows = charge_together([asked(user=alice, metadata=THEIRS), asked("free", user=alice, metadata=THEIRS)])

    entry = Entry.objects.get(pk=rows[0].entry_id)
    assert {name: entry.metadata[name] for name in THEIRS} == THEIRS
    assert entry.metadata["tollbook_charge_id"] == entry.pk
    assert [row.metadata for row in RequestLog.objects.order_by("id")] == [THEIRS, THEIRS]


@pytest.mark.parametrize("kind", ["charge", "capture"])
def test_charges_with_metadata_are_refunded_like_any_other(gateway, alice, kind):
    if kind == "charge":
        body = {"user_id": alice.pk, "endpoint": "search", "metadata": THEIRS}
        paid = gateway.post("/v2/charges", body).json()["id"]
    else:
        hold = gateway.post("/v2/holds", {"user_id": alice.pk, "credits": 3}).json()["id"]
        paid = gateway.post(f"/v2/holds/{hold}/capture", {"metadata": THEIRS}).json()["entry_id"]

    refund = gateway.post(f"/v2/charges/{paid}/refund", {"reason": "broken"})

    assert refund.status_code == 201


def test_a_charge_cannot_pass_for_another(gateway, alice):
    other = charge(alice, units=Decimal(20))

    made = charge(alice, metadata={"charge_id": other.id, "tollbook_charge_id": other.id})

    entry = Entry.objects.get(pk=made.entry_id)
    assert our_metadata(entry, "charge_id") == made.id


@pytest.mark.parametrize("path", ["/v2/charges", "/v2/holds"])
@pytest.mark.parametrize("name", ["tollbook_charge_id", "tollbook_"])
def test_names_that_are_ours_alone_are_refused(gateway, alice, path, name):
    body = {"user_id": alice.pk, "endpoint": "search", "metadata": {"a": 1, name: 1}}

    answer = gateway.post(path, body)

    assert refused(answer) == (400, "invalid")
    assert list(answer.json()["errors"]) == ["metadata"]


def test_staff_find_such_a_charge_by_its_reference(gateway, alice):
    body = {"user_id": alice.pk, "endpoint": "search", "reference": "ref-1", "metadata": THEIRS}
    charged = gateway.post("/v2/charges", body).json()

    assert charges_with_reference("ref-1", None) == [charged["id"]]
