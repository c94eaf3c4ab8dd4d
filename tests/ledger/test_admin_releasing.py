"""Releasing a customer's hold in the back office: reason, preview, once."""

from __future__ import annotations

import pytest
from django.urls import reverse

from ledger.models import Hold
from ledger.selectors import balance_of
from ledger.services.holds import release_hold
from tests.accounts.races import at_once
from tests.backoffice import new_form, page_of, signed_in, staff_log_of, staff_with, superuser
from tests.ledger.granting import end, granted
from tests.ledger.posting import freeze, hold, run_out
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db
MAY = ("ledger.view_hold", "ledger.release_hold")


@pytest.fixture
def held(alice):
    return hold(alice, 30).hold


def url(held):
    return reverse("admin:ledger_hold_release", args=[held.pk])


def status_of(held):
    return Hold.objects.get(pk=held.pk).status


def test_staff_release_a_hold_and_what_it_held_can_be_spent(alice, held):
    client = signed_in(staff_with(*MAY))
    page = page_of("ledger_hold", held.pk)
    assert url(held) in client.get(page).content.decode()

    preview = client.post(url(held), new_form(step="preview"))
    before = status_of(held)
    answer = client.post(url(held), new_form("Their job died."), follow=True)

    assert preview.context["preview"] == [
        ("Given back", "30"),
        ("Reserved now", "30"),
        ("Reserved after", "0"),
        ("Available now", "70"),
        ("Available after", "100"),
    ]
    assert (before, status_of(held)) == ("open", "released")
    assert f"Released hold {held.pk}, 30 credits given back." in answer.content.decode()
    assert balance_of(user_id=alice.pk).available == 100
    assert staff_log_of(held) == ["Released hold (open → released; 30 credits given back): Their job died."]
    assert staff_log_of(alice) == [f"Released hold {held.pk}."]
    assert url(held) not in client.get(page).content.decode()
    assert reconcile(Scope())[1] == []


@pytest.mark.django_db(transaction=True)
def test_what_an_ended_grant_kept_for_the_hold_is_gone_and_the_preview_says_so(bob):
    grant = granted(bob, 50, days=1)
    held = hold(bob, 30).hold
    end(grant)

    preview = signed_in(superuser()).post(url(held), new_form(step="preview")).context["preview"]

    assert dict(preview)["Given back"] == "30"
    assert (dict(preview)["Available now"], dict(preview)["Available after"]) == ("0", "0")


def test_the_hold_of_a_frozen_customer_can_be_released(alice, held):
    freeze(alice)

    signed_in(superuser()).post(url(held), new_form())

    assert status_of(held) == "released"


@pytest.mark.parametrize("permissions", [(), ("ledger.view_hold",), ("ledger.release_hold",)])
def test_releasing_is_a_permission_of_its_own_beside_that_of_viewing(held, permissions):
    client = signed_in(staff_with(*permissions))

    assert [client.get(url(held)).status_code, client.post(url(held), new_form()).status_code] == [403, 403]
    assert status_of(held) == "open"


@pytest.mark.parametrize("wrong", [{"note": ""}, {"form_key": ""}, {"form_key": "x"}])
def test_a_form_without_a_reason_or_key_releases_nothing(held, wrong):
    answer = signed_in(superuser()).post(url(held), new_form() | wrong)

    assert answer.status_code == 200
    assert status_of(held) == "open"


@pytest.mark.django_db(transaction=True)
def test_a_hold_that_has_ended_is_not_released(alice, held):
    gone = hold(alice, 1).hold
    run_out(gone)
    release_hold(hold_id=held.pk, idempotency_key="theirs")
    client = signed_in(superuser())

    for each, sentence in ((held, "This hold was released."), (gone, "This hold has expired.")):
        assert f"Nothing was released. {sentence}" in client.post(url(each), new_form()).content.decode()
        assert staff_log_of(each) == []


def test_the_same_form_for_another_hold_of_the_customer_is_refused(alice, held):
    other, form, client = hold(alice, 5).hold, new_form(), signed_in(superuser())
    client.post(url(held), form)

    answer = client.post(url(other), form)

    assert "has already made another change" in answer.content.decode()
    assert status_of(other) == "open"


@pytest.mark.django_db(transaction=True)
def test_a_form_confirmed_sixteen_times_at_once_releases_once(alice, held):
    boss, form = superuser(), new_form()

    answers = at_once(16, lambda: signed_in(boss).post(url(held), form).status_code)

    assert answers == [302] * 16
    assert balance_of(user_id=alice.pk).available == 100
    assert len(staff_log_of(held)) == 1
