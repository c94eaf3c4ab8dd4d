"""Issuing API keys in the back office: each is shown once, on one page only."""

import datetime as dt
import logging
import re
import threading

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import ApiKey
from accounts.services.keys.api_keys import authenticate_api_key
from tests.backoffice import list_of, page_of, signed_in, staff_with, superuser
from tests.factories import StaffFactory, UserFactory

pytestmark = pytest.mark.django_db
FORM = "0b0c4f5e-90f3-4b7e-8a3b-5d6f0e1c2a33"
KEY = re.compile(r"tb_live_[0-9A-Za-z]{12}_[0-9A-Za-z]{38}")
FOR_SERVICES = "/admin/accounts/apikey/issue/"


@pytest.fixture
def customer():
    return UserFactory(email="alice@example.com")


@pytest.fixture
def client():
    return signed_in(
        staff_with("accounts.add_apikey", "accounts.issue_service_key", "accounts.view_user", "accounts.view_apikey")
    )


def address(customer):
    return reverse("admin:accounts_user_issue_key", args=[customer.pk])


def sent(**changed):
    return {"name": "Production", "scopes": ["account:read"], "last_day": "", "form_key": FORM, **changed}


def for_service(**changed):
    return sent(**{"scopes": ["metering"], **changed})


def test_a_customers_key_is_shown_once_and_works(client, customer):
    answer = client.post(address(customer), sent())

    (raw,) = set(KEY.findall(answer.content.decode()))
    key = authenticate_api_key(raw, now=timezone.now())
    assert (key.user, key.name, key.scopes, key.expires_at) == (customer, "Production", ["account:read"], None)


def test_a_service_key_has_no_owner_and_meters(client):
    answer = client.post(FOR_SERVICES, for_service(name="Gateway"))

    (raw,) = set(KEY.findall(answer.content.decode()))
    key = authenticate_api_key(raw, now=timezone.now())
    assert (key.user, key.name, key.scopes) == (None, "Gateway", ["metering"])


@pytest.mark.parametrize("whose", ["customer", "service"])
def test_a_reload_shows_nothing_and_issues_nothing(client, customer, whose):
    way, form = (address(customer), sent()) if whose == "customer" else (FOR_SERVICES, for_service())
    first = client.post(way, form)

    again = client.post(way, form)

    assert KEY.search(first.content.decode())
    assert not KEY.search(again.content.decode())
    assert "Nothing was issued now" in again.content.decode()
    assert str(ApiKey.objects.get()) in again.content.decode()


def test_the_key_is_on_that_one_page_and_nowhere_else(client, customer, caplog):
    caplog.set_level(logging.DEBUG)
    answer = client.post(address(customer), sent())
    (raw,) = set(KEY.findall(answer.content.decode()))

    later = [
        client.get(way).content.decode()
        for way in (
            address(customer),
            "/admin/",
            list_of("accounts_apikey"),
            page_of("accounts_apikey", ApiKey.objects.get().pk),
            page_of("accounts_user", customer.pk),
            reverse("admin:accounts_user_history", args=[customer.pk]),
        )
    ]

    secret = raw.rpartition("_")[2]
    assert not [page for page in later if secret in page]
    assert secret not in str(answer.headers) + str(client.cookies) + caplog.text
    assert secret not in str([(session.session_data, session.get_decoded()) for session in Session.objects.all()])
    assert secret not in str(list(LogEntry.objects.values()))


def test_the_page_with_the_key_is_not_cached(client, customer):
    for answer in (client.get(address(customer)), client.post(address(customer), sent())):
        assert "no-store" in answer.headers["Cache-Control"]


def test_issuing_is_in_the_staff_log_by_the_keys_public_part(client, customer):
    client.post(address(customer), sent(name="Laptop"))

    noted = list(LogEntry.objects.order_by("id"))
    key = ApiKey.objects.get()
    assert [entry.object_id for entry in noted] == [str(key.pk), str(customer.pk)]
    assert {entry.change_message for entry in noted} == {f"Issued API key {key} “Laptop” for alice@example.com."}


def test_a_key_with_an_end_works_through_its_last_day_in_utc(client, customer):
    last_day = timezone.now().astimezone(dt.UTC).date() + dt.timedelta(days=30)

    client.post(address(customer), sent(last_day=last_day.isoformat()))

    assert ApiKey.objects.get().expires_at == dt.datetime.combine(
        last_day + dt.timedelta(days=1), dt.time(), tzinfo=dt.UTC
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"name": ""},
        {"name": " "},
        {"name": "x" * 101},
        {"name": "a\0b"},
        {"scopes": []},
        {"scopes": ["metering"]},
        {"scopes": ["account:read", "everything"]},
        {"last_day": "2020-01-01"},
        {"last_day": "9999-12-31"},
        {"last_day": "tomorrow"},
        {"form_key": ""},
        {"form_key": "x"},
    ],
)
def test_the_form_shows_an_error_when_a_key_is_invalid(client, customer, changed):
    answer = client.post(address(customer), sent(**changed))

    assert 'class="errorlist' in answer.content.decode() or "errornote" in answer.content.decode()
    assert ApiKey.objects.count() == 0


def test_a_service_gets_no_customers_scope(client):
    client.post(FOR_SERVICES, for_service(scopes=["account:read"]))

    assert ApiKey.objects.count() == 0


def test_a_damaged_form_gets_a_new_key(client, customer):
    answer = client.post(address(customer), sent(form_key="x"))

    assert re.fullmatch(r"[0-9a-f-]{36}", answer.context["form_key"])


def test_a_deactivated_account_gets_no_key(client):
    gone = UserFactory(is_active=False)

    answer = client.post(address(gone), sent())

    assert "This account is deactivated" in answer.content.decode()
    assert ApiKey.objects.count() == 0


def test_each_kind_of_key_has_its_own_permission(customer):
    for_customers = signed_in(staff_with("accounts.add_apikey", "accounts.view_user", "accounts.view_apikey"))
    for_services = signed_in(staff_with("accounts.issue_service_key", "accounts.view_user", "accounts.view_apikey"))
    nobody = signed_in(staff_with("accounts.view_user", "accounts.view_apikey", "accounts.change_apikey"))

    for refused, way, form in (
        (for_customers, FOR_SERVICES, for_service()),
        (for_services, address(customer), sent()),
        (nobody, FOR_SERVICES, for_service()),
        (nobody, address(customer), sent()),
    ):
        assert refused.get(way).status_code == 403
        assert refused.post(way, form).status_code == 403
    assert ApiKey.objects.count() == 0
    customers_page, keys_list = page_of("accounts_user", customer.pk), list_of("accounts_apikey")
    assert address(customer) in for_customers.get(customers_page).content.decode()
    assert address(customer) not in nobody.get(customers_page).content.decode()
    assert FOR_SERVICES in for_services.get(keys_list).content.decode()
    assert FOR_SERVICES not in nobody.get(keys_list).content.decode()


def test_a_colleagues_account_gets_keys_from_superusers_only(client):
    colleague = StaffFactory()

    assert client.post(address(colleague), sent()).status_code == 403
    assert "Issue key" not in client.get(page_of("accounts_user", colleague.pk)).content.decode()
    assert signed_in(superuser()).post(address(colleague), sent()).status_code == 200
    assert ApiKey.objects.get().user == colleague


@pytest.mark.parametrize("named", ["999999", "x", "%00"])
def test_an_unknown_customer_is_not_found(client, named):
    assert client.get(f"/admin/accounts/user/{named}/issue-key/").status_code == 404


def test_a_post_from_another_site_is_refused(customer):
    client = Client(enforce_csrf_checks=True)
    client.force_login(superuser())

    assert client.post(address(customer), sent()).status_code == 403
    assert ApiKey.objects.count() == 0


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_other_methods_are_not_allowed(client, customer, method):
    assert getattr(client, method)(address(customer)).status_code == 405
    assert getattr(client, method)(FOR_SERVICES).status_code == 405


@pytest.mark.django_db(transaction=True)
def test_a_form_sent_eight_times_at_once_issues_one_key_and_shows_it_once(customer):
    staff = superuser()
    clients, barrier, answers = [signed_in(staff) for _ in range(8)], threading.Barrier(8), []

    def send(client):
        barrier.wait()
        try:
            answers.append(client.post(address(customer), sent()))
        finally:
            connection.close()

    threads = [threading.Thread(target=send, args=[client]) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    shown = [KEY.search(answer.content.decode()) for answer in answers]
    assert [answer.status_code for answer in answers] == [200] * 8
    assert sum(found is not None for found in shown) == 1
    assert ApiKey.objects.count() == 1
    assert LogEntry.objects.count() == 2
