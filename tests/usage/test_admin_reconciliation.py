"""The pages of reconciliation: runs with their findings, starting a run, closing a finding."""

from __future__ import annotations

import uuid

import pytest
from django.utils import timezone

from ledger.selectors import terms_of
from tests.backoffice import audit, found, page_of, rows_of, signed_in, staff_log_of, staff_with, superuser
from tests.factories import StaffFactory, customer_with
from usage.models import FindingEvent, ReconciliationFinding, RequestedRun
from usage.services.findings.closing import close_finding
from usage.services.runs.requests import request_run

pytestmark = pytest.mark.django_db
RUNS, START = "/admin/usage/reconciliationrun/", "/admin/usage/reconciliationrun/start/"
FINDINGS = "/admin/usage/reconciliationfinding/"
MAY_START = ("usage.view_reconciliationrun", "usage.start_reconciliation")
MAY_CLOSE = ("usage.view_reconciliationfinding", "usage.close_finding")


def closing(finding):
    return f"{FINDINGS}{finding.pk}/close/"


def form(**words):
    return {"form_key": str(uuid.uuid4()), "note": "Corrected by hand", "step": "confirm"} | words


class TestARun:
    def test_its_findings_are_grouped_by_promise_with_their_cases_and_customers(self):
        alice = customer_with(1)
        case = found(alice)
        report = {
            "checked": {"entries": 1234567},
            "findings": [
                {"check": "seal_fits_entry", "user_id": alice.pk, "detail": "Entry 7 was altered.", "entry_id": 7},
                {"check": "seal_fits_entry", "user_id": alice.pk, "detail": "Entry 8 was altered.", "entry_id": 8},
                {"check": "usage_is_the_ledger", "user_id": None, "detail": "They differ."},
            ],
        }
        run = audit(findings=5, report=report)

        said = signed_in(superuser()).get(page_of("usage_reconciliationrun", run.pk)).content.decode()

        for text in (
            "Seal fits entry", "Entry 8 was altered.", "Usage is the ledger", "1,234,567 entries",
            f"/admin/accounts/user/{alice.pk}/change/", f'{FINDINGS}{case.pk}/change/">open', "2 more were found",
            "schedule or command line",
        ):  # fmt: skip
            assert text in said, text
        assert said.count("<section") == 2

    def test_what_a_finding_says_is_escaped(self):
        run = audit(report={"findings": [{"check": "<i>", "user_id": None, "detail": "<b>x", "name": "<u>"}]})

        said = signed_in(superuser()).get(page_of("usage_reconciliationrun", run.pk)).content.decode()

        assert all(text not in said for text in ("<b>x", "<i>", "<u>"))

    def test_it_says_who_started_it(self):
        staff = StaffFactory(full_name="Omar Operations")
        asked = request_run(actor_id=staff.pk, idempotency_key="k").request
        run = audit()
        RequestedRun.objects.filter(pk=asked.pk).update(run=run, finished_at=timezone.now())

        client = signed_in(superuser())

        assert str(staff) in client.get(page_of("usage_reconciliationrun", run.pk)).content.decode()
        assert f"by {staff}" in client.get(RUNS).content.decode()


class TestStarting:
    def test_it_is_asked_for_and_recorded(self):
        staff = staff_with(*MAY_START)
        client = signed_in(staff)

        answer = client.post(START, form(), follow=True)

        asked = RequestedRun.objects.get()
        assert asked.actor == staff
        assert staff_log_of(asked) == ["Started a run of reconciliation."]
        assert "A run waits for a job." in answer.content.decode()

    def test_the_page_shows_how_far_it_is(self):
        asked = request_run(actor_id=StaffFactory().pk, idempotency_key="k").request
        RequestedRun.objects.update(started_at=timezone.now(), checks_done=7, checks_total=45)

        said = signed_in(superuser()).get(RUNS).content.decode()

        assert f"A run is under way.</strong> {asked.actor} started it" in said
        assert '<progress value="7" max="45"' in said
        assert "Start a run" not in said

    def test_the_page_says_why_it_failed(self):
        request_run(actor_id=StaffFactory().pk, idempotency_key="k")
        RequestedRun.objects.update(finished_at=timezone.now(), failure="No space left on device")

        said = signed_in(superuser()).get(RUNS).content.decode()

        assert "failed:</strong> No space left on device" in said
        assert "Start a run" in said

    def test_a_form_that_is_sent_twice_starts_one_run(self):
        client, sent = signed_in(staff_with(*MAY_START)), form()

        answers = [client.post(START, sent, follow=True).content.decode() for _ in range(2)]

        assert RequestedRun.objects.count() == 1
        assert "This form was sent before; nothing was started again." in answers[1]

    def test_a_second_run_is_refused_while_one_waits(self):
        client = signed_in(staff_with(*MAY_START))
        client.post(START, form())

        answer = client.post(START, form())

        assert RequestedRun.objects.count() == 1
        assert "Nothing was started. A run that was asked for before waits" in answer.content.decode()

    @pytest.mark.parametrize("permissions", [(), ("usage.view_reconciliationrun",)])
    def test_without_the_permission_nothing_is_started_nor_offered(self, permissions):
        client = signed_in(staff_with(*permissions))

        codes = [client.get(START).status_code, client.post(START, form()).status_code]

        assert codes == [403, 403]
        assert not RequestedRun.objects.exists()
        assert "Start a run" not in client.get(RUNS).content.decode()


class TestAFinding:
    def test_lists_are_filtered_by_state(self):
        alice = customer_with(1)
        shut, left = found(alice, 1), found(alice, 2)
        close_finding(finding_id=shut.pk, note="x", actor_id=StaffFactory().pk, idempotency_key="k")
        client = signed_in(superuser())

        rows = {state: rows_of(client.get(f"{FINDINGS}?state={state}")) for state in ("open", "closed")}

        assert rows == {"open": [left], "closed": [shut]}
        assert {row.pk for row in rows_of(client.get(f"{FINDINGS}?user={alice.pk}"))} == {shut.pk, left.pk}

    def test_its_page_tells_what_became_of_it(self):
        finding, staff = found(customer_with(1)), StaffFactory()
        close_finding(finding_id=finding.pk, note="Was <restored>", actor_id=staff.pk, idempotency_key="k")

        said = signed_in(superuser()).get(page_of("usage_reconciliationfinding", finding.pk)).content.decode()

        assert f"Closed by {staff}: Was &lt;restored&gt;" in said
        assert "Found: It was altered." in said

    def test_it_is_previewed_then_closed_with_a_note_and_recorded(self):
        finding, staff = found(customer_with(1)), staff_with(*MAY_CLOSE)
        client, sent = signed_in(staff), form()

        preview = client.post(closing(finding), sent | {"step": "preview"})
        before = ReconciliationFinding.objects.get().closed_at
        client.post(closing(finding), sent)

        event = FindingEvent.objects.get(kind="closed")
        assert "Nothing has been changed yet" in preview.content.decode()
        assert before is None
        assert ReconciliationFinding.objects.get().closed_at is not None
        assert (event.actor, event.note) == (staff, "Corrected by hand")
        assert staff_log_of(finding) == ["Closed the finding: Corrected by hand"]

    def test_a_form_that_is_sent_twice_closes_once(self):
        finding, sent = found(customer_with(1)), form()
        client = signed_in(staff_with(*MAY_CLOSE))

        client.post(closing(finding), sent)
        answer = client.post(closing(finding), sent, follow=True)

        assert "This form was sent before" in answer.content.decode()
        assert FindingEvent.objects.filter(kind="closed").count() == 1

    def test_without_a_note_nothing_is_closed(self):
        finding = found(customer_with(1))

        answer = signed_in(staff_with(*MAY_CLOSE)).post(closing(finding), form(note="  "))

        assert "This field is required." in answer.content.decode()
        assert ReconciliationFinding.objects.get().closed_at is None

    def test_the_preview_says_what_becomes_of_a_frozen_account(self, settings):
        settings.RECONCILIATION_FREEZES_ACCOUNT = True
        alice = customer_with(1)
        first, second = found(alice, 1), found(alice, 2)
        client = signed_in(staff_with(*MAY_CLOSE))

        held = client.post(closing(first), form(step="preview")).content.decode()
        client.post(closing(first), form())
        freed = client.post(closing(second), form(step="preview")).content.decode()
        client.post(closing(second), form())

        assert "stays frozen: other findings about this customer are open: 1" in held
        assert "is unfrozen" in freed
        assert terms_of(user_id=alice.pk).frozen_at is None

    @pytest.mark.parametrize("permissions", [(), MAY_CLOSE[:1], MAY_CLOSE[1:]])
    def test_without_the_permissions_nothing_is_closed(self, permissions):
        finding = found(customer_with(1))
        client = signed_in(staff_with(*permissions))

        codes = [client.get(closing(finding)).status_code, client.post(closing(finding), form()).status_code]

        assert codes == [403, 403]
        assert ReconciliationFinding.objects.get().closed_at is None

    def test_nobody_closes_a_finding_about_their_own_account(self):
        staff = staff_with(*MAY_CLOSE)
        finding = found(staff)

        assert signed_in(staff).post(closing(finding), form()).status_code == 403
        assert ReconciliationFinding.objects.get().closed_at is None
