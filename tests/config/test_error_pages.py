"""Error pages for people: friendly, self-contained and without queries."""

import logging

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.backoffice import signed_in, staff_with, superuser

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/admin/ledger/entry/", 403, "You may not do this"),
        ("/admin/accounts/user/999999/adjust-credits/", 404, "There is no such page"),
    ],
)
def test_staff_are_told_what_happened_and_where_to_go(path, status, said):
    answer = signed_in(staff_with("ledger.adjust_credits")).get(path)
    page = answer.content.decode()

    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert said in page
    assert f"Error {status}" in page
    assert 'href="/admin/"' in page


def test_a_bug_is_a_page_that_runs_no_query(monkeypatch, caplog):
    caplog.set_level(logging.CRITICAL)
    client = signed_in(superuser())
    client.raise_request_exception = False
    monkeypatch.setattr("usage.admin.dashboard.page.company_figures", lambda now: 1 / 0)
    with CaptureQueriesContext(connection) as before:
        answer = client.get("/admin/")

    assert answer.status_code == 500
    assert "Something broke" in answer.content.decode()
    assert len(before) <= 2, "the session and who it is, before anything broke"


def test_a_form_without_its_token_is_explained():
    client = Client(enforce_csrf_checks=True)
    client.force_login(superuser())

    answer = client.post("/admin/logout/")

    assert answer.status_code == 403
    assert "This form is out of date" in answer.content.decode()


def test_errors_of_the_api_stay_json(client):
    assert client.get("/nothing").json() == {"detail": "Not found.", "code": "not_found"}
