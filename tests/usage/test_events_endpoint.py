"""POST /v2/events and POST /api/v1/events: requests that already happened, each counted once."""

import datetime as dt
import json

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from ledger.models import Entry, EntryReason
from ledger.selectors import balance_of
from tests.factories import ApiKeyFactory, ServiceKeyFactory, UserFactory, customer_with
from tests.usage.gateway import Gateway, refused
from tests.usage.metering import price, rolled_up
from usage.models import RequestLog

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("every_promise_is_kept")]
PATH = "/v2/events"
NOW = timezone.now().replace(microsecond=0)


@pytest.fixture
def alice():
    price("search", 2)
    price("free", 0)
    return customer_with(100)


@pytest.fixture
def gateway(db):
    return Gateway()


def event(user, id="1", **fields):
    return {"id": id, "source": "gateway", "subject": str(user.pk), "type": "search"} | fields


def send(gateway, body, **options):
    return gateway.post(PATH, body, key=None, **options)


def results(answer):
    assert answer.status_code == 202, answer.content
    return [(each["status"], each.get("code")) for each in answer.json()["results"]]


FORMS = ["%S.1669530Z", "%S.166953033Z", "%S.16Z", "%S.000000000000Z", "%Sz", "%S.5+00:00", "%S.123456789+0000", "%SZ"]


@pytest.mark.parametrize("route", ["/v2/events", "/api/v1/events"])
@pytest.mark.parametrize("separator", ["T", "t"])
def test_times_are_read_in_every_form_of_rfc_3339(gateway, alice, route, separator):
    at = NOW - dt.timedelta(minutes=5)
    sent = [
        {**event(alice, str(n), specversion="1.0", time=at.strftime(f"%Y-%m-%d{separator}%H:%M:{form}")), "data": {}}
        for n, form in enumerate(FORMS)
    ]

    answer = gateway.client.post(route, json.dumps(sent), content_type="application/cloudevents-batch+json")

    assert answer.status_code == (202 if route == "/v2/events" else 204), answer.content
    logged = RequestLog.objects.order_by("reference")
    assert [log.occurred_at.replace(microsecond=0) for log in logged] == [at.replace(microsecond=0)] * len(FORMS)
    assert [log.occurred_at.microsecond for log in logged] == [166_953, 166_953, 160_000, 0, 0, 500_000, 123_456, 0]


@pytest.mark.parametrize(
    ("latency", "kept"),
    [(12, 12), (12.7, 13), ("12", 12), (0.008, 0), (-1, None), ("fast", None), (2**31, None), (True, None), ([], None)],
)
def test_a_latency_that_says_nothing_refuses_no_event(gateway, alice, latency, kept):
    answer = send(gateway, event(alice, data={"latency_ms": latency}))

    assert results(answer) == [("accepted", None)]
    assert RequestLog.objects.get().latency_ms == kept


def test_one_event_is_logged_priced_and_debited(gateway, alice):
    at = NOW - dt.timedelta(days=2)
    data = {"status_code": 404, "units": "3", "latency_ms": 12, "method": "get", "endpoint": "search"}

    answer = send(gateway, event(alice, time=at.isoformat().replace("+00:00", "Z"), data=data | {"status_code": 200}))

    assert answer.json() == {
        "accepted": 1,
        "duplicates": 0,
        "rejected": 0,
        "results": [{"id": "1", "status": "accepted"}],
    }
    log = RequestLog.objects.get()
    assert (log.user_id, log.endpoint, log.units, log.credits, log.method) == (alice.pk, "search", 3, 6, "GET")
    assert (log.occurred_at, log.latency_ms, log.source, log.reference) == (at, 12, "gateway", "1")
    assert balance_of(user_id=alice.pk).balance == 94


def test_a_batch_makes_one_debit_for_each_customer_that_its_rows_know(gateway, alice):
    bob = customer_with(10)

    answer = send(gateway, [event(alice, "1"), event(bob, "2"), event(alice, "3", type="free"), event(alice, "4")])

    assert results(answer) == [("accepted", None)] * 4
    debits = {entry.user_id: entry for entry in Entry.objects.filter(reason=EntryReason.USAGE)}
    assert {user_id: entry.amount for user_id, entry in debits.items()} == {alice.pk: -4, bob.pk: -2}
    paid = RequestLog.objects.filter(user=alice, credits__gt=0)
    assert {log.entry_id for log in paid} == {debits[alice.pk].pk}
    assert rolled_up(alice) == [("free", 1, 0, 0, 0), ("search", 2, 0, 0, 4)]


def test_an_event_counts_once_in_a_batch_and_ever_after(gateway, alice):
    first = send(gateway, [event(alice, "1"), event(alice, "1"), event(alice, "2")])
    again = send(
        gateway, [event(alice, "2"), event(alice, "3"), event(alice, "1", time=NOW.strftime("%Y-%m-%dT%H:%MZ"))]
    )

    assert results(first) == [("accepted", None), ("duplicate", None), ("accepted", None)]
    assert results(again) == [("duplicate", None), ("accepted", None), ("duplicate", None)]
    assert (again.json()["accepted"], again.json()["duplicates"]) == (1, 2)
    assert balance_of(user_id=alice.pk).balance == 94


def test_another_source_or_customer_makes_another_event(gateway, alice):
    bob = customer_with(10)

    answer = send(gateway, [event(alice), event(alice, source="other"), event(bob)])

    assert results(answer) == [("accepted", None)] * 3


def test_the_customer_is_named_by_id_email_or_any_live_key(gateway, alice):
    raw = ApiKeyFactory(user=alice).raw

    answer = send(
        gateway, [event(alice, "1"), event(alice, "2", subject=alice.email.upper()), event(alice, "3", subject=raw)]
    )

    assert results(answer) == [("accepted", None)] * 3
    assert RequestLog.objects.filter(user=alice).count() == 3
    assert RequestLog.objects.get(reference="3").api_key == alice.api_keys.get()


@pytest.mark.parametrize("subject", ["987654321", "nobody@example.com", "alice", "9" * 40, "0", "²"])
def test_an_unknown_subject_rejects_only_its_event(gateway, alice, subject):
    answer = send(gateway, [event(alice, "1", subject=subject), event(alice, "2")])

    assert results(answer) == [("rejected", "customer_not_found"), ("accepted", None)]


def test_dead_keys_and_deactivated_customers_are_rejected(gateway, alice):
    key = ApiKeyFactory(user=alice)
    key.api_key.revoked_at = NOW
    key.api_key.save()
    gone = UserFactory(is_active=False)

    answer = send(gateway, [event(alice, "1", subject=key.raw), event(gone, "2"), event(gone, "3", subject=gone.email)])

    assert results(answer) == [
        ("rejected", "customer_key_invalid"),
        ("rejected", "customer_inactive"),
        ("rejected", "customer_inactive"),
    ]


def test_events_are_taken_from_35_days_late_to_5_minutes_early(gateway, alice):
    def at(**delta):
        return (timezone.now() + dt.timedelta(**delta)).isoformat()

    times = [at(days=-35, minutes=1), at(days=-35, minutes=-1), at(minutes=4), at(minutes=6)]

    answer = send(gateway, [event(alice, str(n), time=time) for n, time in enumerate(times)])

    assert results(answer) == [
        ("accepted", None),
        ("rejected", "event_too_old"),
        ("accepted", None),
        ("rejected", "event_in_future"),
    ]


def test_a_rejected_event_is_not_remembered(gateway, alice):
    assert results(send(gateway, event(alice, type="new"))) == [("rejected", "price_unknown")]
    price("new", 5)

    assert results(send(gateway, event(alice, type="new"))) == [("accepted", None)]


def test_an_event_that_cannot_be_paid_is_logged_as_unpaid_and_reported(gateway, alice):
    poor = customer_with(5)

    answer = send(gateway, [event(poor, str(n)) for n in range(4)])

    assert results(answer) == [("accepted", None), ("accepted", None), ("accepted", "unpaid"), ("accepted", "unpaid")]
    assert balance_of(user_id=poor.pk).balance == 1
    assert RequestLog.objects.filter(user=poor, unpaid=True, credits=0).count() == 2


def test_the_price_is_that_of_the_events_own_time(gateway, alice):
    price("search", 7, effective_from=NOW - dt.timedelta(days=1))
    before, after = ((NOW - dt.timedelta(hours=hours)).isoformat() for hours in (25, 23))

    send(gateway, [event(alice, "1", time=before), event(alice, "2", time=after)])

    assert list(RequestLog.objects.order_by("reference").values_list("credits", flat=True)) == [2, 7]


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"id": None}, "id"),
        ({"id": ""}, "id"),
        ({"id": 7}, "id"),
        ({"source": None}, "source"),
        ({"subject": 5}, "subject"),
        ({"time": "yesterday"}, "time"),
        ({"time": "2026-11-21"}, "time"),
        ({"data": "text"}, "data"),
        ({"data": {"units": -1}}, "data.units"),
        ({"data": {"units": "1e5"}}, "data.units"),
        ({"data": {"status_code": 99}}, "data.status_code"),
        ({"data": {"method": "G E T"}}, "data.method"),
        ({"type": None}, "data.endpoint"),
        ({"specversion": "0.3"}, "specversion"),
        ({"datacontenttype": "application/xml"}, "datacontenttype"),
        ({"data_base64": "AA=="}, "data_base64"),
    ],
)
def test_a_malformed_event_is_rejected_by_name_and_spoils_no_other(gateway, alice, fields, place):
    sent = event(alice) | fields

    answer = send(gateway, [{name: value for name, value in sent.items() if value is not None}, event(alice, "2")])

    assert results(answer) == [("rejected", "invalid"), ("accepted", None)]
    assert answer.json()["results"][0]["detail"].startswith(f"{place}: ")


def test_an_item_that_is_not_an_event_is_rejected_too(gateway, alice):
    assert results(send(gateway, [1, "x", None, event(alice)]))[:3] == [("rejected", "invalid")] * 3


def test_at_most_a_thousand_events_come_at_once(gateway, alice):
    whole = [event(alice, str(n), type="free") for n in range(1_001)]

    assert refused(send(gateway, whole)) == (400, "invalid")
    assert len(results(send(gateway, whole[:1_000]))) == 1_000
    assert send(gateway, []).json() == {"accepted": 0, "duplicates": 0, "rejected": 0, "results": []}


def test_a_batch_may_be_larger_than_other_bodies(gateway, alice):
    padding = "x" * 3_000

    answer = send(gateway, [event(alice, str(n), data={"padding": padding}) for n in range(600)])

    assert answer.json()["accepted"] == 600


class TestCloudEvents:
    def cloud(self, user, **fields):
        return event(user) | {"specversion": "1.0", "datacontenttype": "application/json", "extension": "x"} | fields

    def test_cloud_events_are_accepted_singly_or_in_batches(self, gateway, alice):
        one = gateway.client.post(PATH, json.dumps(self.cloud(alice)), content_type="application/cloudevents+json")
        two = gateway.client.post(
            PATH,
            json.dumps([self.cloud(alice, id="2"), self.cloud(alice)]),
            content_type="application/cloudevents-batch+json; charset=utf-8",
        )

        assert results(one) == [("accepted", None)]
        assert results(two) == [("accepted", None), ("duplicate", None)]

    def test_cloud_events_need_a_version_and_a_type(self, gateway, alice):
        for missing in ("specversion", "type"):
            sent = self.cloud(alice, data={"endpoint": "search"})
            del sent[missing]
            answer = gateway.client.post(PATH, json.dumps(sent), content_type="application/cloudevents+json")

            assert results(answer) == [("rejected", "invalid")]

    def test_cloud_events_are_refused_whole_when_the_media_type_promises_something_else(self, gateway, alice):
        kinds = (("application/cloudevents+json", [event(alice)]), ("application/cloudevents-batch+json", event(alice)))
        for kind, body in kinds:
            assert refused(gateway.client.post(PATH, json.dumps(body), content_type=kind)) == (400, "invalid")


class TestOpenMetersClients:
    def test_clients_get_an_empty_response_and_may_send_the_key_as_bearer(self, alice):
        client = APIClient(headers={"Authorization": f"Bearer {ServiceKeyFactory().raw}"})

        answer = client.post("/api/v1/events", json.dumps(event(alice)), content_type="application/cloudevents+json")

        assert (answer.status_code, answer.content) == (400, answer.content)
        answer = client.post(
            "/api/v1/events",
            json.dumps(event(alice) | {"specversion": "1.0"}),
            content_type="application/cloudevents+json",
        )
        assert (answer.status_code, answer.content) == (204, b"")
        assert RequestLog.objects.count() == 1

    def test_clients_learn_which_events_were_rejected_while_the_others_are_in(self, gateway, alice):
        answer = gateway.post("/api/v1/events", [event(alice), event(alice, "2", type="unheard of")], key=None)

        assert refused(answer) == (400, "events_rejected")
        assert [each["status"] for each in answer.json()["results"]] == ["accepted", "rejected"]

    def test_clients_without_a_key_learn_how_to_send_one(self, db):
        answer = APIClient().post("/api/v1/events", {}, format="json")

        assert refused(answer) == (401, "api_key_missing")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
