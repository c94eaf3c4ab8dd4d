"""From what waits for staff to its end: a finding is closed with a note, and a run of reconciliation is started."""

from __future__ import annotations

import pytest
from django.db import connection
from playwright.sync_api import expect

from accounts.models import User
from tests.backoffice import found
from tests.browser.visitor import PHONE, WIDE, Visits


@pytest.fixture
def finding(site, django_db_blocker):
    with django_db_blocker.unblock():
        yield found(User.objects.get(email="dora@demo.example"), 12345)
        connection.close()  # the browser's loop has a connection of its own


def test_what_waits_leads_to_a_finding_that_is_closed_with_a_note(visits: Visits, finding):
    visitor = visits.open(window=WIDE, scheme="light")
    visitor.sign_in("operations@demo.example")
    page = visitor.page

    page.get_by_role("link", name="Findings of reconciliation that are open").click()
    page.get_by_role("link", name="Seal fits entry").click()
    page.get_by_role("link", name="Close finding").click()
    page.get_by_label("Note").fill("The entry was restored from the dump of the night before.")
    page.get_by_role("button", name="Preview").click()
    page.get_by_role("button", name="Confirm").click()
    expect(page.locator(".messagelist")).to_contain_text("Closed the finding.")
    visitor.go("/admin/")

    assert page.get_by_role("link", name="Findings of reconciliation that are open").count() == 0


def test_a_run_is_started_on_a_telephone_and_waits_for_its_job(visits: Visits):
    visitor = visits.open(window=PHONE, scheme="dark")
    visitor.sign_in("operations@demo.example")
    visitor.go("/admin/usage/reconciliationrun/")
    page = visitor.page

    page.get_by_role("link", name="Start a run").click()
    page.get_by_role("button", name="Start a run").click()

    expect(page.get_by_text("A run waits for a job.")).to_be_visible()
    assert page.get_by_role("link", name="Start a run").count() == 0
    assert visitor.faults_for_screen_readers() == []
    assert visitor.overflow() == 0
