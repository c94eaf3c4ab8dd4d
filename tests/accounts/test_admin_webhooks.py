"""Notices and webhooks in the back office: shown without secrets, and sent again."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse

from accounts.models import Notice, WebhookDelivery, WebhookEndpoint
from accounts.services.notices import notify_customer
from accounts.services.webhooks.endpoints import change_endpoint, rotate_secret
from tests.accounts.webhooks import NOW, endpoint_of, tell, webhook_tried
from tests.backoffice import list_of, page_of, rows_of, signed_in, staff_with, superuser
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
DELIVERY, ENDPOINT = "accounts_webhookdelivery", "accounts_webhookendpoint"
VIEW, RESEND = "accounts.view_webhookdelivery", "accounts.resend_webhookdelivery"


@pytest.fixture
def alice():
    return UserFactory(email="alice@example.com")


@pytest.fixture
def failed(alice):
    delivery = webhook_tried(alice)
    WebhookDelivery.objects.update(state="failed", next_attempt_at=None)
    return delivery


def resend_url(delivery):
    return reverse("admin:accounts_webhookdelivery_resend", args=[delivery.pk])


def turn_off(delivery):
    changes = {"is_active": False}
    change_endpoint(user_id=delivery.user_id, endpoint_id=delivery.endpoint_id, changes=changes, now=NOW)


def state_of(delivery):
    return WebhookDelivery.objects.get(pk=delivery.pk).state


def test_staff_send_a_delivery_again_by_a_button_that_asks_first(failed):
    client = signed_in(staff_with(VIEW, RESEND))
    assert resend_url(failed) in client.get(page_of(DELIVERY, failed.pk)).content.decode()
    assert "https://example.com/hooks" in client.get(resend_url(failed)).content.decode()
    assert state_of(failed) == "failed"

    answer = client.post(resend_url(failed), follow=True)

    assert f"Sent again: {failed.pk}." in answer.content.decode()
    assert state_of(failed) == "pending"
    assert LogEntry.objects.filter(change_message__contains="Sent again.").count() == 1


def test_many_are_sent_again_together_and_failures_are_reported(failed):
    off = webhook_tried(UserFactory())
    WebhookDelivery.objects.update(state="failed", next_attempt_at=None)
    turn_off(off)
    chosen = {"action": "send_again", "_selected_action": [failed.pk, off.pk]}

    said = signed_in(staff_with(VIEW, RESEND)).post(list_of(DELIVERY), chosen, follow=True).content.decode()

    assert f"Sent again: {failed.pk}." in said
    assert f"Delivery {off.pk} was not sent. This webhook endpoint is off." in said
    assert (state_of(failed), state_of(off)) == ("pending", "failed")


@pytest.mark.parametrize("permissions", [(VIEW,), (RESEND,), ()])
def test_sending_again_needs_its_own_permission(failed, permissions):
    client = signed_in(staff_with(*permissions))
    chosen = {"action": "send_again", "_selected_action": [failed.pk]}

    codes = [client.get(resend_url(failed)), client.post(resend_url(failed)), client.post(list_of(DELIVERY), chosen)]

    assert [answer.status_code for answer in codes] == [403] * 3
    assert state_of(failed) == "failed"


def test_resending_is_a_404_when_there_is_no_such_delivery(failed):
    failed.pk += 1000

    assert signed_in(superuser()).post(resend_url(failed)).status_code == 404


def test_a_delivery_lists_every_attempt(failed):
    page = signed_in(superuser()).get(page_of(DELIVERY, failed.pk)).content.decode()

    assert "2026-11-22 05:00:00 500 Answered 500. (7 ms) oh" in page


def test_deliveries_are_found_by_id_email_state_and_endpoint(failed):
    other = webhook_tried(UserFactory())
    client = signed_in(superuser())

    def found(**query):
        return {delivery.pk for delivery in rows_of(client.get(list_of(DELIVERY), query))}

    assert found(q=failed.pk) == found(q="alice@example.com") == found(state__exact="failed") == {failed.pk}
    assert found(endpoint=other.endpoint_id) == found(user=other.user_id) == {other.pk}
    assert found(endpoint="x") == set()


def test_no_secret_is_shown_or_found_by_filters(alice, failed):
    endpoint = WebhookEndpoint.objects.get()
    rotate_secret(user_id=alice.pk, endpoint_id=endpoint.pk, now=NOW)
    endpoint.refresh_from_db()
    client = signed_in(superuser())

    pages = [
        client.get(address).content.decode()
        for model, pk in ((ENDPOINT, endpoint.pk), (DELIVERY, failed.pk))
        for address in (page_of(model, pk), list_of(model))
    ]
    felt = client.get(list_of(ENDPOINT), {"secret__startswith": "whsec_"})
    felt_afar = client.get(list_of(DELIVERY), {"endpoint__secret__startswith": "whsec_"})

    assert all(secret not in page for secret in (endpoint.secret, endpoint.old_secret) for page in pages)
    assert {felt.status_code, felt_afar.status_code} == {400}


def test_an_endpoint_leads_to_its_deliveries_and_is_found_by_its_address(alice):
    endpoint = endpoint_of(alice, "https://alice.example/hooks", "balance.low")
    client = signed_in(superuser())

    page = client.get(page_of(ENDPOINT, endpoint.pk)).content.decode()

    assert f"{list_of(DELIVERY)}?endpoint={endpoint.pk}" in page
    assert "balance.low" in page
    assert rows_of(client.get(list_of(ENDPOINT), {"q": "alice.example"})) == [endpoint]


def test_notices_are_found_by_key_type_and_state_of_their_email(alice):
    tell(alice, "grant.expiring")
    told = {"type": "balance.low", "key": "k-1", "data": {"available": 4}, "subject": "Low", "body": "Few are left."}
    notify_customer(user_id=alice.pk, now=NOW, **told)
    notice = Notice.objects.get(key="k-1")
    client = signed_in(superuser())

    def found(**query):
        return rows_of(client.get(list_of("accounts_notice"), query))

    assert found(q="k-1") == found(type="balance.low") == found(email="due") == [notice]
    assert found(email="sent") == []
    page = client.get(page_of("accounts_notice", notice.pk)).content.decode()
    assert "Few are left." in page
    assert "{&quot;available&quot;:4}" in page
