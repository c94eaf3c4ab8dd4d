"""0 units cost the minimum of the price, however they are reported."""

from decimal import Decimal

import pytest
from django.http import HttpResponse
from django.test import RequestFactory
from django.utils import timezone

from tests.factories import ApiKeyFactory
from tests.usage.metered_services import captures, logged
from tests.usage.metering import price, report, request_at, rolled_up
from usage.metering import metered
from usage.services.imports.records import jsonl_parser

pytestmark = pytest.mark.django_db


@pytest.fixture(params=[Decimal(0), Decimal("1.5")], ids=["no minimum", "a minimum"])
def minimum(request):
    price("search", 2, minimum=request.param)
    return request.param


def test_a_charge(gateway, alice, minimum):
    answer = gateway.post("/v2/charges", {"user_id": alice.pk, "endpoint": "search", "units": 0})

    assert (answer.status_code, answer.json()["credits"]) == (201, minimum)
    assert logged(alice) == [("search", 200, 0, minimum)]
    assert (answer.json()["entry_id"] is None) == (minimum == 0)


def test_a_charge_of_credits(gateway, alice, minimum):
    answer = gateway.post("/v2/charges", {"user_id": alice.pk, "endpoint": "search", "units": 0, "credits": 4})

    assert (answer.status_code, answer.json()["credits"]) == (201, 4)


def test_a_hold_and_its_capture(gateway, alice, minimum):
    hold = gateway.post("/v2/holds", {"user_id": alice.pk, "endpoint": "search", "units": "0"}).json()
    captured = gateway.post(f"/v2/holds/{hold['id']}/capture", {"units": 0.0})

    assert (hold["credits"], captured.status_code, captured.json()["captured"]) == (minimum, 200, minimum)
    assert logged(alice) == [("search", 200, 0, minimum)]


def test_a_verdict(gateway, alice, minimum):
    body = {"api_key": ApiKeyFactory(user=alice).raw, "endpoint": "search", "units": 0}

    assert gateway.post("/v2/keys/verify", body, key=None).json()["credits_required"] == minimum


def test_an_event(gateway, alice, minimum):
    event = {"id": "1", "source": "s", "subject": str(alice.pk), "data": {"endpoint": "search", "units": 0}}

    answer = gateway.post("/v2/events", event, key=None)

    assert (answer.status_code, answer.json()["accepted"]) == (202, 1)
    assert rolled_up(alice) == [("search", 1, 0, 0, minimum)]


def test_an_imported_line(alice, minimum):
    report(alice, [request_at(timezone.now(), units=Decimal(0))], charged=True)

    assert logged(alice) == [("search", 200, 0, minimum)]


def test_a_line_that_is_read():
    read = jsonl_parser("user_id")

    line = read('{"user_id": 1, "time": "2026-03-01T00:00:00Z", "status": 200, "endpoint": "search", "units": 0}')

    assert line.units == 0


@pytest.mark.parametrize("use", [None, 0, 3], ids=["announced", "used nothing", "used more"])
def test_a_metered_request(alice, minimum, use):
    def work(request):
        if use is not None:
            request.metering.use(units=use)
        return HttpResponse()

    key = ApiKeyFactory(user=alice).raw
    view = metered("search", units=lambda request: 0)(work)

    view(RequestFactory().post("/", headers={"X-API-KEY": key}))

    assert (logged(alice)[0][3], sum(captures(alice))) == (minimum, minimum)


def test_a_metered_request_that_used_no_units_in_the_end(alice, minimum):
    def work(request):
        request.metering.use(units=0)
        return HttpResponse()

    metered("search", units=5)(work)(RequestFactory().post("/", headers={"X-API-KEY": ApiKeyFactory(user=alice).raw}))

    assert logged(alice) == [("search", 200, 0, minimum)]


def test_negative_units_are_refused(gateway, alice, minimum):
    answer = gateway.post("/v2/charges", {"user_id": alice.pk, "endpoint": "search", "units": -1})

    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["units"])
