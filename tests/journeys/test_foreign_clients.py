"""Third-party clients report usage to the real server."""

import datetime as dt
import json
from http.client import HTTPConnection

import pytest
from cloudevents.http import CloudEvent, to_structured
from corehttp.exceptions import HttpResponseError
from django.utils import timezone
from openmeter import Client
from openmeter.models import Event

from ledger.selectors import balance_of
from ledger.services.reconciliation.checks import Scope
from tests.factories import ApiKeyFactory, ServiceKeyFactory, customer_with
from tests.server import Server
from tests.usage.metering import price
from usage.models import RequestLog
from usage.services.reconciliation import reconcile

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def alice():
    price("prompt", 2)
    return customer_with(100)


@pytest.fixture(scope="module")
def server(django_db_setup):
    with Server() as running:
        yield running


@pytest.fixture
def service_key():
    return ServiceKeyFactory().raw


class TestOpenMetersOwnClient:
    def event(self, user, id="1", **fields):
        named = {"id": id, "source": "my-service", "specversion": "1.0", "type": "prompt", "subject": str(user.pk)}
        return Event(**named | {"time": timezone.now(), "data": {"units": "1.5", "model": "large"}} | fields)

    def test_client_ingests_one_event_and_batches_each_once(self, server, service_key, alice):
        key = ApiKeyFactory(user=alice).raw

        with Client(endpoint=server.url, token=service_key) as client:
            client.events.ingest_event(self.event(alice))
            client.events.ingest_events([self.event(alice), self.event(alice, "2", subject=key)])

        logs = RequestLog.objects.order_by("reference")
        assert [(log.reference, log.source, log.endpoint, log.credits) for log in logs] == [
            ("1", "my-service", "prompt", 3),
            ("2", "my-service", "prompt", 3),
        ]
        assert balance_of(user_id=alice.pk).balance == 94
        assert reconcile(Scope())[1] == []

    def test_client_receives_the_rejected_events(self, server, service_key, alice):
        long_ago = timezone.now() - dt.timedelta(days=40)

        with Client(endpoint=server.url, token=service_key) as client, pytest.raises(HttpResponseError) as refused:
            client.events.ingest_events([self.event(alice), self.event(alice, "2", time=long_ago)])

        answer = json.loads(refused.value.response.text())
        assert (refused.value.status_code, answer["code"], answer["results"][1]["code"]) == (
            400,
            "events_rejected",
            "event_too_old",
        )

    def test_client_is_refused_with_an_unknown_key(self, server, alice):
        with (
            Client(endpoint=server.url, token="tb_live_nonsense") as client,
            pytest.raises(HttpResponseError) as refused,
        ):
            client.events.ingest_event(self.event(alice))

        assert refused.value.status_code == 401


def test_the_sdk_of_cloud_events_sends_what_is_understood(server, service_key, alice):
    sent = CloudEvent(
        {"type": "prompt", "source": "https://example.com/gateway", "subject": alice.email},
        {"endpoint": "prompt", "status_code": 200, "units": 2, "latency_ms": 31},
    )
    headers, body = to_structured(sent)
    connection = HTTPConnection("127.0.0.1", server.port, timeout=30)

    connection.request("POST", "/v2/events", body, {**headers, "X-API-KEY": service_key})
    answer = connection.getresponse()

    assert (answer.status, json.loads(answer.read())["accepted"]) == (202, 1)
    log = RequestLog.objects.get()
    assert (log.credits, log.source, log.reference, log.latency_ms) == (4, sent["source"], sent["id"], 31)
