"""Files of adjustments: read line by line, asked for as one, posted line by line, each once."""

from decimal import Decimal

import pytest

from config.rounds import Round
from ledger import adjustment_errors
from ledger.models import AdjustmentDay, AdjustmentLine, AdjustmentRequest, Entry
from ledger.selectors import balance_of
from ledger.services.adjustments.files import post_lines, request_adjustment_file
from ledger.services.adjustments.reading import MOST_LINES, read_adjustments
from tests.accounts.races import at_once
from tests.backoffice import superuser
from tests.factories import StaffFactory, customer_with
from tests.ledger.adjusting import HEADER, approve, limited, read, reject, send
from tests.ledger.posting import freeze, hold
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice():
    return customer_with(100, email="alice@example.com")


@pytest.fixture
def bob():
    return customer_with(50, email="bob@example.com")


@pytest.fixture
def clerk():
    return limited(StaffFactory(), single=100, daily=150)


@pytest.fixture
def boss():
    return StaffFactory()


def post_all():
    return post_lines(Round(), most=10_000)


def outcomes(request):
    return list(request.lines.order_by("number").values_list("number", "outcome", "refusal"))


class TestReading:
    def test_lines_name_customers_by_email_or_id_and_show_before_and_after(self, alice, bob, clerk):
        lines = read("ALICE@example.com,10,goodwill,Sorry,T-1", f"{bob.pk},-5.5,Correction,Twice,", by=clerk)

        assert [(line.number, line.user, line.before, line.after, line.refusal) for line in lines] == [
            (2, alice, 100, 110, ""), (3, bob, 50, Decimal("44.5"), ""),
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("line", "refusal"),
        [
            ("nobody@example.com,1,goodwill,x,", "There is no customer with this email or id."),
            ("99999999999999999999,1,goodwill,x,", "There is no customer with this email or id."),
            ("alice@example.com,0,goodwill,x,", "Credits must not be 0."),
            ("alice@example.com,0.0000001,goodwill,x,", "Credits have at most 6 decimal places."),
            ("alice@example.com,1e3,goodwill,x,", "Write credits as"),
            ("alice@example.com,１,goodwill,x,", "Write credits as"),
            ("alice@example.com,1_0,goodwill,x,", "Write credits as"),
            ("alice@example.com,1000000000,goodwill,x,", "Credits lie between"),
            ("alice@example.com,1,purchase,x,", "The reason is one of goodwill, correction, chargeback."),
            ("alice@example.com,1,goodwill,,", "A note of 1 to 1,000 characters is required."),
            (f"alice@example.com,1,goodwill,x,{'r' * 256}", "A reference has at most 255 characters."),
            ("alice@example.com,1,goodwill", "It has 3 cells, and the header has 5."),
            ("alice@example.com,1,goodwill,x,y,z", "It has 6 cells, and the header has 5."),
            ("alice@example.com,-100.000001,goodwill,x,", "Only 100 credit(s) are available."),
        ],
    )
    def test_a_line_that_cannot_be_posted_says_why(self, alice, clerk, line, refusal):
        (found,) = read(line, by=clerk)

        assert found.refusal.startswith(refusal)

    def test_a_repeated_line_is_refused_however_it_is_written(self, alice, clerk):
        lines = read("alice@example.com,1,goodwill,x,", f"{alice.pk},+1.000,GOODWILL, x ,", by=clerk)

        assert [line.refusal for line in lines] == ["", "It is the same as line 2."]

    def test_lines_of_one_customer_are_taken_together(self, alice, clerk):
        hold(alice, 30)

        lines = read("alice@example.com,-60,goodwill,x,", "alice@example.com,-20,goodwill,y,", by=clerk)

        assert [line.refusal for line in lines] == ["", "Only 10 credit(s) are available."]

    def test_a_frozen_balance_is_named(self, alice, clerk):
        freeze(alice)

        assert read("alice@example.com,-1,goodwill,x,", by=clerk)[0].refusal == "The balance is frozen."
        assert read("alice@example.com,1,goodwill,x,", by=clerk)[0].refusal == ""

    def test_accounts_of_colleagues_are_for_superusers(self, clerk, boss):
        line = f"{boss.pk},1,goodwill,x,"

        assert read(line, by=clerk)[0].refusal == "Only superusers adjust the credits of staff."
        assert read(line, by=superuser())[0].refusal == ""

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("", "empty"),
            (HEADER, "no line below its header"),
            ("email,amount,reason,note\nx,1,goodwill,y", "The first line names the columns"),
            ("customer,amount,reason,note,note\nx,1,goodwill,y,z", "The first line names the columns"),
            (HEADER + 'a,"1', "no CSV"),
            (HEADER + "a,1\0,goodwill,x,", "NUL"),
            (HEADER + "a,1,goodwill,x,\n" * (MOST_LINES + 1), "1,001 lines; at most 1,000"),
            (HEADER + f"a,1,goodwill,{'x' * 1024 * 1024},", "larger than 1 MiB"),
        ],
    )
    def test_a_file_that_is_none_is_refused(self, clerk, text, sentence):
        with pytest.raises(adjustment_errors.AdjustmentFileRefused, match=sentence):
            read_adjustments(text, by=clerk)

    def test_a_byte_order_mark_windows_line_ends_and_blank_lines_are_read(self, alice, clerk):
        (line,) = read_adjustments(
            "\ufeffcustomer,amount,reason,note\r\n\r\nalice@example.com,1,goodwill,x\r\n,,,\r\n", by=clerk
        )

        assert (line.user, line.refusal, line.number) == (alice, "", 3)


class TestSending:
    LINES = ("alice@example.com,60,goodwill,Sorry,T-1", "bob@example.com,-40,correction,Twice,")

    def test_within_limits_the_lines_are_posted_without_a_second_person(self, alice, bob, clerk):
        outcome = send(*self.LINES, by=clerk)
        assert (outcome.request.state, outcome.request.total, outcome.entry) == ("approved", 100, None)

        assert post_all() == 2

        assert (balance_of(user_id=alice.pk).balance, balance_of(user_id=bob.pk).balance) == (160, 10)
        entry = Entry.objects.of(alice.pk).latest("seq")
        assert (entry.actor_id, entry.description, entry.reference) == (clerk.pk, "Sorry", "T-1")
        assert AdjustmentDay.objects.get().credits == 100
        assert reconcile(Scope())[1] == []

    def test_the_sum_without_signs_counts_and_waits_for_a_second_person(self, alice, bob, clerk, boss):
        request = send("alice@example.com,60,goodwill,x,", "bob@example.com,-41,goodwill,x,", by=clerk).request
        assert (request.state, request.second_person_because, post_all()) == ("pending", "single", 0)

        approve(request, by=boss)

        assert post_all() == 2
        assert AdjustmentDay.objects.get().credits == 0
        assert reconcile(Scope())[1] == []

    def test_two_files_share_the_limit_of_the_day(self, alice, bob, clerk):
        send(*self.LINES, by=clerk)

        assert send("alice@example.com,51,goodwill,x,", by=clerk).request.second_person_because == "daily"

    def test_a_line_of_ones_own_makes_the_file_wait_and_keeps_its_customer_from_approving(self, clerk, boss):
        request = send(f"{clerk.pk},1,goodwill,x,", by=clerk).request
        assert request.second_person_because == "own_account"
        other = send(f"{boss.pk},101,goodwill,x,", by=limited(superuser(), single=0, daily=0)).request

        with pytest.raises(adjustment_errors.OwnAccountAdjusted):
            approve(other, by=boss)
        assert approve(request, by=boss).request.state == "approved"

    def test_the_same_file_adds_nothing(self, alice, bob, clerk, boss):
        request = send(*self.LINES, by=clerk, idempotency_key="k").request
        post_all()
        replay = send(*self.LINES, by=clerk, idempotency_key="k")
        assert (replay.request, replay.is_replay) == (request, True)

        again = read(*self.LINES, by=boss)
        with pytest.raises(adjustment_errors.AdjustmentFileRefused):
            request_adjustment_file(lines=again, note="x", file_name="b.csv", actor_id=boss.pk, idempotency_key="2")

        assert again[0].refusal == (
            f"The same line was sent before, in request {request.pk}: change its note or reference."
        )
        assert Entry.objects.filter(operation="adjustment").count() == 2

    def test_a_rejected_file_may_be_sent_again(self, alice, bob, clerk, boss):
        lines = ("alice@example.com,101,goodwill,x,",)
        request = send(*lines, by=clerk).request
        reject(request, by=boss)

        again = send(*lines, by=clerk).request

        assert outcomes(request) == [(2, "dropped", "")]
        assert again.state == "pending"
        assert post_all() == 0

    def test_what_the_ledger_refuses_by_then_is_kept_with_its_reason(self, alice, bob, clerk):
        request = send("alice@example.com,-60,goodwill,x,", "bob@example.com,1,goodwill,x,", by=clerk).request
        freeze(alice)

        assert post_all() == 2

        assert outcomes(request) == [
            (2, "refused", "The balance is frozen: nothing can be taken from it until it is unfrozen."),
            (3, "posted", ""),
        ]
        assert post_all() == 0
        assert reconcile(Scope())[1] == []

    def test_a_balance_beyond_its_bound_is_a_refused_line(self, alice):
        rich = limited(StaffFactory(), single="999999999", daily="999999999")
        request = send("alice@example.com,999999900,goodwill,x,", by=rich).request

        post_all()

        assert outcomes(request) == [(2, "refused", "The balance may not exceed 999999999.999999 credits.")]

    def test_an_interrupted_run_is_completed_by_the_next(self, alice, bob, clerk):
        send(*self.LINES, by=clerk)
        assert post_lines(Round(), most=1) == 1

        assert post_all() == 1

        assert Entry.objects.filter(operation="adjustment").count() == 2

    def test_a_thousand_lines_are_one_request_in_few_statements(self, clerk, django_assert_max_num_queries):
        people = [customer_with(1) for _ in range(4)]
        lines = [f"{people[number % 4].pk},0.01,goodwill,line {number}," for number in range(MOST_LINES)]

        with django_assert_max_num_queries(12):
            request = send(*lines, by=clerk).request

        assert (request.line_count, request.total) == (1000, 10)


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_sixteen_people_who_send_one_file_make_one_request(self, alice):
        people = iter([limited(StaffFactory(), single=100, daily=100) for _ in range(16)])

        def sending():
            person = next(people)
            return send("alice@example.com,1,goodwill,x,", by=person)

        found = at_once(16, sending)

        assert sum(not isinstance(each, Exception) for each in found) == 1
        assert {type(each) for each in found if isinstance(each, Exception)} <= {
            adjustment_errors.AdjustmentFileKnown, adjustment_errors.AdjustmentFileRefused,
        }  # fmt: skip
        assert AdjustmentRequest.objects.count() == 1

    def test_sixteen_runs_post_each_line_once(self, alice, bob, clerk):
        lines = [f"alice@example.com,1,goodwill,line {number}," for number in range(20)]
        send(*lines, by=clerk)

        at_once(16, post_all)

        assert balance_of(user_id=alice.pk).balance == 120
        assert set(AdjustmentLine.objects.values_list("outcome", flat=True)) == {"posted"}
        assert reconcile(Scope())[1] == []
