"""The page that explains one entry to staff."""

import pytest
from django.urls import reverse

from tests.backoffice import page_of, signed_in, staff_with
from tests.factories import UserFactory, customer_with
from tests.usage.metering import charge, price, refund

pytestmark = pytest.mark.django_db


def path(entry_id: int) -> str:
    return reverse("admin:ledger_entry_explain", args=[entry_id])


@pytest.fixture
def debit() -> int:
    user = customer_with(50)
    price("chat", 4)
    paid = charge(user, "chat", reference="<b>ref</b>")
    refund(paid.id, 1)
    return paid.id


def test_the_page_shows_the_chain_from_the_request_to_its_refund(debit):
    client = signed_in(staff_with("ledger.view_entry", "usage.view_requestlog"))

    answer = client.get(path(debit))

    steps = {step.title: step for step in answer.context["explained"].steps}
    assert list(steps) == ["Requests", "Price", "Grants drawn", "Entry", "Refunds and reversals"]
    assert dict(steps["Price"].facts)["Calculation"] == "1 × 4 = 4"
    assert b"&lt;b&gt;ref" in answer.content
    assert path(debit) in client.get(page_of("ledger_entry", debit)).content.decode()


def test_requests_are_left_out_for_staff_who_may_not_view_them(debit):
    answer = signed_in(staff_with("ledger.view_entry")).get(path(debit))

    assert "Requests" not in [step.title for step in answer.context["explained"].steps]


def test_the_page_is_for_staff_who_may_view_entries(debit):
    assert signed_in(staff_with("accounts.view_user")).get(path(debit)).status_code == 403
    assert signed_in(UserFactory()).get(path(debit)).status_code == 302
    assert signed_in(staff_with("ledger.view_entry")).get(path(2**70)).status_code == 404
