"""Adjustments above limits in the back office: asked for by one person, decided by another."""

import threading
import uuid

import pytest
from django.db import connection
from django.urls import reverse

from ledger.models import AdjustmentRequest, Entry
from ledger.selectors import balance_of
from tests.backoffice import list_of, page_of, rows_of, signed_in, staff_log_of, staff_with, superuser
from tests.factories import StaffFactory, customer_with
from tests.ledger.adjusting import approve, ask, limited, send
from tests.ledger.posting import freeze

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice():
    return customer_with(100, email="alice@example.com")


@pytest.fixture
def clerk():
    return limited(
        staff_with("ledger.adjust_credits", "ledger.view_adjustmentrequest", "accounts.view_user"), single=50, daily=80
    )


@pytest.fixture
def boss():
    return staff_with("ledger.approve_adjustment", "ledger.view_adjustmentrequest", "ledger.view_entry")


def adjusting(customer):
    return reverse("admin:accounts_user_adjust_credits", args=[customer.pk])


def deciding(request, way="approve"):
    return reverse(f"admin:ledger_adjustmentrequest_{way}", args=[request.pk])


def sent(step="confirm", **changed):
    asked = {"amount": "60", "reason": "goodwill", "note": "Sorry", "reference": "T-1", "form_key": uuid.uuid4()}
    return {**asked, "step": step, **changed}


def decided(step="confirm", **changed):
    return {"note": "Checked", "form_key": uuid.uuid4(), "step": step, **changed}


def adjustments(customer):
    return Entry.objects.of(customer.pk).filter(operation="adjustment")


class TestAsking:
    def test_the_form_says_what_one_may_do_alone(self, alice, clerk):
        ask(alice, 30, by=clerk)

        said = signed_in(clerk).get(adjusting(alice)).context["figures"]

        assert said[-2:] == [("Your limit, one adjustment", "50"), ("Your limit, left today", "50")]

    def test_above_the_limit_the_preview_says_that_a_second_person_has_to_agree(self, alice, clerk):
        answer = signed_in(clerk).post(adjusting(alice), sent("preview"))

        assert answer.context["preview"] == [
            ("Balance now", "100"),
            ("Change", "+60"),
            ("Balance after", "160"),
            ("Available after", "160"),
            ("A second person has to agree", "it is above the author's limit of one adjustment."),
        ]
        assert ("Reference", "T-1") in answer.context["reasons"]
        assert not AdjustmentRequest.objects.exists()

    def test_confirming_asks_and_posts_nothing(self, alice, clerk):
        answer = signed_in(clerk).post(adjusting(alice), sent(), follow=True)

        request = AdjustmentRequest.objects.get()
        link = f'<a href="{page_of("ledger_adjustmentrequest", request.pk)}">request {request.pk}</a>'
        said = answer.content.decode()
        assert f"Nothing was posted yet: {link} (+60 credits, waits for approval) has to be approved" in said
        assert (request.state, request.reference, request.author) == ("pending", "T-1", clerk)
        assert not adjustments(alice).exists()
        assert staff_log_of(request) == ["Asked to adjust credits by +60 (goodwill)."]
        assert staff_log_of(alice)[0] == f"Asked to adjust credits: request {request.pk}."

    def test_the_form_sent_again_asks_once(self, alice, clerk):
        client, form = signed_in(clerk), sent()

        for _ in range(2):
            answer = client.post(adjusting(alice), form, follow=True)

        assert "This form was already posted as" in answer.content.decode()
        assert AdjustmentRequest.objects.count() == 1

    def test_two_tabs_do_not_exceed_the_limit_of_the_day_together(self, alice, clerk):
        client = signed_in(clerk)
        forms = [sent(amount="+50.000000"), sent(amount="-50.0"), sent(amount="30")]
        for form in forms:  # each tab was shown that its own would be posted
            assert len(client.post(adjusting(alice), {**form, "step": "preview"}).context["preview"]) == 4

        for form in forms:
            client.post(adjusting(alice), form)

        assert [entry.amount for entry in adjustments(alice).order_by("seq")] == [50, 30]
        assert AdjustmentRequest.objects.get(state="pending").amount == -50

    def test_ones_own_account_waits_for_a_second_person(self, clerk):
        signed_in(clerk).post(adjusting(clerk), sent(amount="1"))

        assert AdjustmentRequest.objects.get().second_person_because == "own_account"
        assert not adjustments(clerk).exists()


class TestDeciding:
    def test_the_approver_sees_who_asks_why_and_what_it_would_do(self, alice, clerk, boss):
        request = ask(alice, 60, by=clerk, note="A <b>bad</b> day", reference="https://desk.example/7").request

        answer = signed_in(boss).get(deciding(request))

        assert answer.context["figures"] == [
            ("Asked for by", clerk.email),
            ("Customer", alice.email),
            ("Balance now", "100"),
            ("Change", "+60"),
            ("Balance after", "160"),
        ]
        said = answer.content.decode()
        assert "A &lt;b&gt;bad&lt;/b&gt; day" in said
        assert "https://desk.example/7" in said

    def test_a_preview_posts_nothing(self, alice, clerk, boss):
        request = ask(alice, 60, by=clerk).request

        answer = signed_in(boss).post(deciding(request), decided("preview"))

        assert answer.context["preview"][2] == ("Balance after", "160")
        assert not adjustments(alice).exists()

    def test_approving_posts_the_entry_and_says_so(self, alice, clerk, boss):
        request = ask(alice, 60, by=clerk).request

        answer = signed_in(boss).post(deciding(request), decided(), follow=True)

        entry = adjustments(alice).get()
        assert f"Request {request.pk} is approved, and posted as entry {entry.pk}." in answer.content.decode()
        assert answer.redirect_chain == [(page_of("ledger_adjustmentrequest", request.pk), 302)]
        assert staff_log_of(request) == ["Approved."]
        assert staff_log_of(entry) == [f"Approved as request {request.pk}."]

    @pytest.mark.parametrize(("way", "state"), [("approve", "approved"), ("reject", "rejected")])
    def test_a_double_click_decides_once(self, alice, clerk, boss, way, state):
        request = ask(alice, 60, by=clerk).request
        client, form = signed_in(boss), decided()

        for _ in range(2):
            answer = client.post(deciding(request, way), form, follow=True)

        assert "nothing was decided again" in answer.content.decode()
        request.refresh_from_db()
        assert (request.state, request.decided_by, request.decision_note) == (state, boss, "Checked")
        assert adjustments(alice).count() == (way == "approve")
        assert len(staff_log_of(request)) == 1

    def test_a_request_that_somebody_else_decided_is_refused_with_a_sentence(self, alice, clerk, boss):
        request = ask(alice, 60, by=clerk).request
        approve(request, by=superuser())

        answer = signed_in(boss).post(deciding(request, "reject"), decided())

        assert "Nothing was decided. This request was decided already" in answer.content.decode()

    def test_what_cannot_be_posted_leaves_it_waiting(self, alice, clerk, boss):
        request = ask(alice, -60, by=clerk).request
        freeze(alice)

        answer = signed_in(boss).post(deciding(request), decided())

        assert "Nothing was decided. The balance is frozen" in answer.content.decode()
        request.refresh_from_db()
        assert request.state == "pending"

    def test_the_author_withdraws_and_others_do_not(self, alice, clerk, boss):
        request = ask(alice, 60, by=clerk).request

        refused = signed_in(superuser()).post(deciding(request, "withdraw"), decided())
        signed_in(clerk).post(deciding(request, "withdraw"), decided())

        request.refresh_from_db()
        assert (refused.status_code, request.state) == (403, "withdrawn")

    def test_a_note_is_required(self, alice, clerk, boss):
        request = ask(alice, 60, by=clerk).request

        answer = signed_in(boss).post(deciding(request), decided(note=" "))

        assert "note" in answer.context["form"].errors
        assert not adjustments(alice).exists()


class TestCraftedRequests:
    @pytest.mark.parametrize("way", ["approve", "reject"])
    @pytest.mark.parametrize("rights", ["superuser", "everything"])
    def test_nobody_decides_about_a_request_of_their_own(self, alice, rights, way):
        author = superuser() if rights == "superuser" else staff_with(
            "ledger.approve_adjustment", "ledger.view_adjustmentrequest"
        )  # fmt: skip
        request = ask(alice, 1001, by=author).request
        client = signed_in(author)

        codes = [client.get(deciding(request, way)).status_code]
        codes += [client.post(deciding(request, way), decided(step)).status_code for step in ("preview", "confirm")]

        assert codes == [403] * 3
        assert not adjustments(alice).exists()

    def test_nobody_approves_for_themselves(self, boss):
        root = superuser()
        request = ask(root, 60, by=limited(StaffFactory(), single=0, daily=0)).request
        of_boss = ask(boss, 60, by=limited(StaffFactory(), single=0, daily=0)).request

        assert signed_in(root).post(deciding(request), decided()).status_code == 403
        assert signed_in(boss).post(deciding(of_boss), decided()).status_code == 403

    def test_staff_do_not_approve_for_colleagues_unless_they_are_superusers(self, clerk, boss):
        request = ask(StaffFactory(), 60, by=clerk).request

        assert signed_in(boss).post(deciding(request), decided()).status_code == 403
        assert signed_in(superuser()).post(deciding(request), decided()).status_code == 302

    @pytest.mark.parametrize("way", ["approve", "reject"])
    def test_without_the_permission_nothing_is_decided(self, alice, clerk, way):
        request = ask(alice, 60, by=clerk).request
        client = signed_in(staff_with("ledger.view_adjustmentrequest", "ledger.adjust_credits"))

        assert client.get(deciding(request, way)).status_code == 403
        assert client.post(deciding(request, way), decided()).status_code == 403

    def test_an_unknown_request_is_not_found(self, boss):
        for named in ("999999", "x", "%00", "9" * 30):
            answer = signed_in(boss).get(f"/admin/ledger/adjustmentrequest/{named}/approve/")
            assert answer.status_code == 404


class TestTheList:
    def test_what_waits_comes_first(self, alice, clerk, boss):
        first = ask(alice, 60, by=clerk).request
        second = ask(alice, 61, by=clerk).request
        approve(ask(alice, 62, by=clerk).request, by=boss)
        ask(alice, 1, by=clerk)

        shown = rows_of(signed_in(boss).get(list_of("ledger_adjustmentrequest")))

        assert [row.state for row in shown] == ["pending", "pending", "approved", "approved"]
        assert shown[:2] == [second, first]

    @pytest.mark.parametrize(
        ("state", "amounts"), [("pending", [60]), ("approved", [62]), ("alone", [1]), ("rejected", [])]
    )
    def test_is_filtered_by_what_became_of_it(self, alice, clerk, boss, state, amounts):
        ask(alice, 60, by=clerk)
        approve(ask(alice, 62, by=clerk).request, by=boss)
        ask(alice, 1, by=clerk)

        shown = rows_of(signed_in(boss).get(f"{list_of('ledger_adjustmentrequest')}?state={state}"))

        assert [row.amount for row in shown] == amounts

    def test_a_page_offers_each_only_what_they_may_decide(self, alice, clerk, boss):
        request = ask(alice, 60, by=clerk).request
        page = page_of("ledger_adjustmentrequest", request.pk)

        by_author = signed_in(clerk).get(page).context["staff_actions"]
        by_boss = signed_in(boss).get(page).context["staff_actions"]
        approve(request, by=boss)

        assert [label for _, label in by_author] == ["Withdraw"]
        assert [label for _, label in by_boss] == ["Approve", "Reject"]
        assert signed_in(boss).get(page).context["staff_actions"] == []

    def test_the_page_of_a_file_shows_its_lines(self, alice, clerk, boss):
        request = send(f"{alice.pk},20,goodwill,<i>Sorry</i>,T-9", by=clerk).request

        said = signed_in(boss).get(page_of("ledger_adjustmentrequest", request.pk)).content.decode()

        assert "Lines of the file" in said
        assert "&lt;i&gt;Sorry&lt;/i&gt; (T-9)" in said
        assert "Waiting" in said

    def test_an_entry_names_its_request_and_what_reversed_it(self, alice, clerk, boss):
        outcome = ask(alice, 5, by=clerk)

        said = signed_in(boss).get(page_of("ledger_entry", outcome.entry.pk)).content.decode()

        assert page_of("ledger_adjustmentrequest", outcome.request.pk) in said


@pytest.mark.django_db(transaction=True)
def test_eight_tabs_of_one_approver_post_once(alice, clerk, boss):
    request = ask(alice, 60, by=clerk).request
    clients, barrier, codes = [signed_in(boss) for _ in range(8)], threading.Barrier(8), []

    def confirm(client):
        barrier.wait()
        try:
            codes.append(client.post(deciding(request), decided()).status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=confirm, args=[client]) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert codes == [302] * 8
    assert balance_of(user_id=alice.pk).balance == 160
    assert len(staff_log_of(request)) == 1
