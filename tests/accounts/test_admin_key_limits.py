"""The limits of an API key in the back office: on their own page, and in the staff log."""

from decimal import Decimal

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse

from accounts.services.keys.limits import KeyLimits
from tests.backoffice import page_of, signed_in, staff_with
from tests.factories import ApiKeyFactory, ServiceKeyFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def client():
    return signed_in(staff_with("accounts.view_apikey", "accounts.change_apikey", "accounts.issue_service_key"))


@pytest.fixture
def key():
    return ApiKeyFactory(limits=KeyLimits(rate_limit_per_minute=50)).api_key


def limits_of(key):
    return reverse("admin:accounts_apikey_limits", args=[key.pk])


def form(**changed):
    return {"rate_limit_per_minute": "", "spending_limit": "", "spending_reset_day": "1", **changed}


def test_the_page_of_a_key_shows_its_limits_and_leads_to_changing_them(client, key):
    said = client.get(page_of("accounts_apikey", key.pk)).content.decode()

    assert '<div class="readonly">50</div>' in said
    assert limits_of(key) in said


@pytest.mark.parametrize(
    ("make", "said"), [(ApiKeyFactory, "the site&#x27;s default"), (ServiceKeyFactory, "as many as it likes")]
)
def test_a_key_without_a_rate_of_its_own_shows_the_sites_default(client, make, said):
    assert said in client.get(page_of("accounts_apikey", make().api_key.pk)).content.decode()


def test_the_form_begins_with_the_current_limits(client, key):
    assert client.get(limits_of(key)).context["form"]["rate_limit_per_minute"].value() == 50


def test_changed_limits_are_in_the_staff_log(client, key):
    answer = client.post(limits_of(key), form(rate_limit_per_minute="9000"), follow=True)

    key.refresh_from_db()
    noted = LogEntry.objects.get()
    assert key.rate_limit_per_minute == 9_000
    assert answer.redirect_chain == [(page_of("accounts_apikey", key.pk), 302)]
    assert (noted.object_id, noted.change_message) == (str(key.pk), "Changed limits: Calls a minute 50 → 9,000.")
    assert noted.change_message in answer.content.decode()


def test_a_spending_limit_is_changed_and_shown(client, key):
    sent = form(rate_limit_per_minute="50", spending_limit="1234.5", spending_reset_day="31")

    client.post(limits_of(key), sent)

    key.refresh_from_db()
    said = client.get(page_of("accounts_apikey", key.pk)).content.decode()
    assert (key.spending_limit, key.spending_reset_day, key.rate_limit_per_minute) == (Decimal("1234.5"), 31, 50)
    assert LogEntry.objects.get().change_message == (
        "Changed limits: Spending limit none → 1,234.5; Count anew on day 1 → 31."
    )
    assert "1,234.5 credits, counted anew on day 31 of each month" in said


def test_a_service_key_has_no_spending_limit_to_change(client):
    service = ServiceKeyFactory().api_key

    fields = set(client.get(limits_of(service)).context["form"].fields)
    client.post(limits_of(service), form(rate_limit_per_minute="5", spending_limit="7"))

    service.refresh_from_db()
    assert fields == {"rate_limit_per_minute"}
    assert (service.rate_limit_per_minute, service.spending_limit) == (5, None)


def test_an_empty_field_removes_a_limit(client, key):
    client.post(limits_of(key), form())

    key.refresh_from_db()
    assert key.rate_limit_per_minute is None
    assert LogEntry.objects.get().change_message == "Changed limits: Calls a minute 50 → none."


def test_a_form_sent_twice_is_one_change(client, key):
    for _ in range(2):
        answer = client.post(limits_of(key), form(rate_limit_per_minute="5"), follow=True)

    assert LogEntry.objects.count() == 1
    assert "Nothing was changed" in answer.content.decode()


@pytest.mark.parametrize(
    ("field", "typed"),
    [
        *(("rate_limit_per_minute", typed) for typed in ("0", "-1", "x", "1.5", "1000000001", "9" * 400, "a\0")),
        *(("spending_limit", typed) for typed in ("0", "-1", "x", "0.0000001", "1e3", "9999999999", "NaN", "a\0")),
        *(("spending_reset_day", typed) for typed in ("", "0", "32", "x", "1.5", "9" * 400)),
    ],
)
def test_an_invalid_limit_is_an_error_of_its_field_and_changes_nothing(client, key, field, typed):
    answer = client.post(limits_of(key), form(**{field: typed}))

    key.refresh_from_db()
    assert list(answer.context["form"].errors) == [field]
    assert (key.rate_limit_per_minute, LogEntry.objects.count()) == (50, 0)


def test_limits_do_not_change_when_staff_may_only_view(key):
    client = signed_in(staff_with("accounts.view_apikey"))

    assert limits_of(key) not in client.get(page_of("accounts_apikey", key.pk)).content.decode()
    assert client.get(limits_of(key)).status_code == 403
    assert client.post(limits_of(key), form(rate_limit_per_minute="5")).status_code == 403
    key.refresh_from_db()
    assert key.rate_limit_per_minute == 50


@pytest.mark.parametrize("number", ["999999", "x", "9" * 30])
def test_a_key_that_is_not_there_is_not_found(client, number):
    assert client.get(f"/admin/accounts/apikey/{number}/limits/").status_code == 404
