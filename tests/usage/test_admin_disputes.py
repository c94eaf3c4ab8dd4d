"""The queue of disputes, and what staff do about one."""

from decimal import Decimal

import pytest
from django.core import mail
from django.urls import reverse
from django.utils import timezone

from accounts.models import Notice
from ledger.models import AdjustmentRequest, AdjustmentState, Entry, EntryDispute
from ledger.services.adjustments.deciding import approve_adjustment, reject_adjustment
from ledger.services.disputes.talking import answer_dispute
from tests.account import client_of, requested
from tests.backoffice import list_of, new_form, page_of, rows_of, signed_in, staff_log_of, staff_with, superuser
from tests.factories import StaffFactory, UserFactory, customer_with
from tests.ledger.adjusting import limited
from tests.ledger.disputing import a_dispute, disputed
from tests.usage.metering import price

pytestmark = pytest.mark.django_db
SUPPORT = ("ledger.view_entrydispute", "ledger.view_entry", "ledger.answer_dispute", "ledger.resolve_dispute")


def url(dispute: EntryDispute, action: str) -> str:
    return reverse(f"admin:ledger_entrydispute_{action}", args=[dispute.pk])


def sent(client, dispute: EntryDispute, action: str, **values: object):
    form = new_form() | {"step": "confirm"} | values
    return client.post(url(dispute, action), form)


def clerk(**limits: int):
    return limited(staff_with(*SUPPORT), **{"single": 100, "daily": 1000} | limits)


def again(dispute: EntryDispute) -> EntryDispute:
    return EntryDispute.objects.get(pk=dispute.pk)


def notices(dispute: EntryDispute) -> list[str]:
    return list(Notice.objects.filter(user=dispute.user, type__startswith="dispute.").values_list("type", flat=True))


def test_the_queue_shows_what_staff_have_to_answer_first_and_the_oldest_at_the_top():
    first, second, third = (a_dispute(UserFactory()) for _ in range(3))
    answer_dispute(dispute_id=first.pk, text="Which one?", actor_id=StaffFactory().pk, now=timezone.now())
    client = signed_in(superuser())
    sent(client, second, "reject", note="It was used")
    client.get(list_of("ledger_entrydispute"))

    assert [one.pk for one in rows_of(client.get(list_of("ledger_entrydispute")))] == [third.pk, first.pk, second.pk]
    assert rows_of(client.get(list_of("ledger_entrydispute"), {"state__exact": "answered"})) == [first]


def test_the_page_shows_the_thread_and_the_entry_explained():
    dispute = a_dispute(UserFactory(), message="<script>no</script>")

    page = signed_in(clerk()).get(page_of("ledger_entrydispute", dispute.pk))

    assert [message.text for message in page.context["thread"]] == ["<script>no</script>"]
    assert page.context["explained"].entry.pk == dispute.entry_id
    assert b"<script>no" not in page.content


def test_an_answer_reaches_the_customer_once_and_their_reply_opens_it_again():
    dispute = a_dispute(UserFactory())
    client = signed_in(clerk())
    form = new_form() | {"step": "confirm", "note": "Which one?"}

    for _ in range(2):
        client.post(url(dispute, "answer"), form)

    assert again(dispute).state == "answered"
    assert dispute.messages.count() == 2
    assert notices(dispute) == ["dispute.opened", "dispute.answered"]
    client_of(dispute.user).post(
        f"/auth/account/disputes/{dispute.pk}/messages", {"message": "The second"}, format="json"
    )
    assert again(dispute).state == "open"


def test_a_rejection_says_why_and_closes():
    dispute = a_dispute(UserFactory())

    sent(signed_in(clerk()), dispute, "reject", note="It was used")

    closed = again(dispute)
    assert (closed.state, closed.closed_at is not None, closed.credits_returned) == ("rejected", True, 0)
    assert dispute.messages.last().text == "It was used"
    assert notices(dispute)[-1] == "dispute.rejected"
    assert staff_log_of(dispute)


def test_resolving_returns_credits_by_a_linked_entry_once():
    dispute = a_dispute(UserFactory(), 10)
    client = signed_in(clerk())
    form = new_form() | {"step": "confirm", "credits": "4", "note": "Half failed"}

    for _ in range(2):
        client.post(url(dispute, "resolve"), form)

    closed = again(dispute)
    entry = Entry.objects.get(reverses_id=dispute.entry_id)
    assert (closed.state, closed.credits_returned, closed.reversal_id) == ("resolved", Decimal(4), entry.pk)
    assert (entry.reason, entry.amount, entry.reference) == ("reversal", Decimal(4), f"dispute-{dispute.pk}")
    assert notices(dispute) == ["dispute.opened", "dispute.resolved"]
    assert client_of(dispute.user).get(f"/auth/account/disputes/{dispute.pk}").json()["credits_returned"] == 4


def test_no_more_is_returned_than_is_left_of_the_debit():
    dispute = a_dispute(UserFactory(), 10)

    answer = sent(signed_in(clerk()), dispute, "resolve", credits="10.000001", note="All")

    assert b"Nothing was posted" in answer.content
    assert again(dispute).state == "open"


def test_a_debit_of_several_requests_is_resolved_by_an_adjustment():
    user = customer_with(50)
    price("search", 1)
    requested(user, [(timezone.now(), "search", 200)] * 3)
    dispute = disputed(user, Entry.objects.of(user.pk).newest_first().first().pk)

    sent(signed_in(clerk()), dispute, "resolve", credits="2", note="Two failed")

    assert (again(dispute).state, again(dispute).credits_returned) == ("resolved", Decimal(2))


@pytest.mark.parametrize(("decide", "state"), [(approve_adjustment, "resolved"), (reject_adjustment, "open")])
def test_above_the_limit_a_second_person_decides_and_the_dispute_follows(decide, state):
    dispute = a_dispute(UserFactory(), 10)
    client = signed_in(clerk(single=1))
    sent(client, dispute, "resolve", credits="5", note="Half")
    request = AdjustmentRequest.objects.get(reverses_id=dispute.entry_id)
    customer = client_of(dispute.user)

    waiting = customer.post(f"/auth/account/disputes/{dispute.pk}/withdraw")
    page = client.get(page_of("ledger_entrydispute", dispute.pk))
    decide(request_id=request.pk, actor_id=superuser().pk, note="Seen")

    assert waiting.json()["code"] == "dispute_awaits_approval"
    assert f"request {request.pk} (waits for approval)" in page.content.decode()
    assert again(dispute).state == state
    assert Entry.objects.filter(reverses_id=dispute.entry_id).exists() == (state == "resolved")
    assert AdjustmentRequest.objects.get().state in {AdjustmentState.APPROVED, AdjustmentState.REJECTED}
    assert mail.outbox == []


def test_a_dispute_that_was_closed_meanwhile_returns_nothing():
    dispute = a_dispute(UserFactory(), 10)
    client = signed_in(clerk())
    form = new_form() | {"step": "confirm", "credits": "4", "note": "Half failed"}
    client_of(dispute.user).post(f"/auth/account/disputes/{dispute.pk}/withdraw")

    answer = client.post(url(dispute, "resolve"), form)

    assert b"Nothing was posted" in answer.content
    assert not Entry.objects.filter(reverses_id=dispute.entry_id).exists()


@pytest.mark.parametrize(("action", "lacks"), [("answer", 2), ("reject", 2), ("resolve", 3)])
def test_each_action_needs_its_permission(action, lacks):
    dispute = a_dispute(UserFactory())
    others = [permission for number, permission in enumerate(SUPPORT) if number != lacks]
    client = signed_in(staff_with(*others))

    assert client.get(url(dispute, action)).status_code == 403
    assert client.post(url(dispute, action), {"note": "x", "credits": "1", "step": "confirm"}).status_code == 403
    assert again(dispute).state == "open"
