"""A session of the back office expires after half an hour without a page, and after twelve hours."""

from __future__ import annotations

import datetime as dt

import pytest
import time_machine
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.factories import PASSWORD, StaffFactory

pytestmark = pytest.mark.django_db
NOON = dt.datetime(2026, 11, 28, 12, tzinfo=dt.UTC)
MINUTE, HOUR = dt.timedelta(minutes=1), dt.timedelta(hours=1)


@pytest.fixture
def client():
    StaffFactory(email="staff@example.com")
    client = Client()
    with time_machine.travel(NOON, tick=False):
        client.post("/admin/login/", {"username": "staff@example.com", "password": PASSWORD})
        assert client.get("/admin/").status_code == 200
    return client


def page(client, at):
    with time_machine.travel(at, tick=False):
        return client.get("/admin/").status_code


def test_a_session_ends_after_half_an_hour_without_pages(client):
    assert page(client, NOON + 29 * MINUTE) == 200
    assert page(client, NOON + 58 * MINUTE) == 200
    assert page(client, NOON + 88 * MINUTE) == 302
    assert page(client, NOON + 88 * MINUTE) == 302
    assert not Session.objects.exists()


def test_a_session_in_constant_use_ends_after_twelve_hours(client):
    for step in range(1, 36):
        assert page(client, NOON + step * 20 * MINUTE) == 200

    assert page(client, NOON + 12 * HOUR) == 302


def test_the_settings_choose_when_sessions_end(client, settings):
    settings.ADMIN_IDLE_MINUTES = 5

    assert page(client, NOON + 6 * MINUTE) == 302


def test_the_cookie_lives_no_longer_than_the_session(settings):
    StaffFactory(email="staff@example.com")

    answer = Client().post("/admin/login/", {"username": "staff@example.com", "password": PASSWORD})

    assert answer.cookies["sessionid"]["max-age"] == 12 * 3600
    assert answer.cookies["sessionid"]["httponly"]


def test_signing_in_again_starts_a_new_session(client):
    assert page(client, NOON + HOUR) == 302
    with time_machine.travel(NOON + HOUR, tick=False):
        client.post("/admin/login/", {"username": "staff@example.com", "password": PASSWORD})

    assert page(client, NOON + HOUR + 20 * MINUTE) == 200


def test_pages_in_quick_succession_write_no_session(client):
    def writes(at):
        with time_machine.travel(at, tick=False), CaptureQueriesContext(connection) as statements:
            assert client.get("/admin/password_change/done/").status_code == 200
        return [said["sql"] for said in statements if said["sql"].startswith("UPDATE")]

    assert writes(NOON + MINUTE / 2) == []
    assert len(writes(NOON + MINUTE)) == 1
    assert writes(NOON + 1.5 * MINUTE) == []
