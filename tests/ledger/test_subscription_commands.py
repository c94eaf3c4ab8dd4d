import pytest

from ledger.selectors import balance_of
from tests.factories import UserFactory
from tests.ledger.running import run
from tests.ledger.subscribing import plan, spans, subscription_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice():
    plan(100, code="small")
    plan(1000, code="big", credits_per_year="12000")
    return UserFactory(email="alice@example.com")


def start(*more, key="k"):
    return run("start_subscription", "alice@example.com", *more, "--idempotency-key", key, "--json")


def change(*more, key="k2"):
    return run("change_subscription", "alice@example.com", *more, "--idempotency-key", key, "--json")


def test_a_customer_is_put_on_a_plan_once(alice):
    ran, again = start("small"), start("small")

    assert (ran.code, ran.err) == (0, "")
    assert (ran.json["plan"], ran.json["status"], ran.json["kind"]) == ("small", "active", "start")
    assert ran.json["next_grant_at"] == ran.json["current_period_end"]
    assert (again.json["replayed"], again.json["change_id"]) == (True, ran.json["change_id"])
    assert balance_of(user_id=alice.pk).available == 100


def test_a_subscription_may_have_begun_earlier_and_may_have_an_end(alice):
    ran = start("big", "--interval", "yearly", "--starts-at", "2025-02-28", "--ends-at", "2099-01-01")

    assert ran.json["current_period_end"] == "2027-02-28T00:00:00Z"
    assert len(spans(alice)) == 2
    assert str(subscription_of(alice).ends_at.year) == "2099"


def test_a_subscription_is_changed_paused_resumed_and_canceled(alice):
    start("small")

    kinds = [
        change(*asked, key=f"k{number}").json["kind"]
        for number, asked in enumerate([
            ["plan", "--plan", "big"], ["plan", "--plan", "small"], ["pause"], ["resume"], ["cancel"],
            ["cancel", "--at-once"],
        ])
    ]  # fmt: skip

    assert kinds == ["upgrade", "plan_later", "pause", "resume", "cancel_later", "cancel"]
    assert subscription_of(alice).status == "canceled"


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (["plan"], 2), (["pause", "--plan", "big"], 2), (["end"], 2), (["pause"], 1), (["plan", "--plan", "none"], 1),
    ],
)  # fmt: skip
def test_a_refused_action_is_explained_in_a_sentence(alice, asked, code):
    ran = change(*asked)

    assert (ran.code, ran.out) == (code, "")
    assert ran.err.endswith((".", ")"))


def test_an_unknown_plan_and_a_start_in_the_future_are_refused(alice):
    assert start("none").code == 1
    assert start("small", "--starts-at", "2099-01-01").code == 1
    assert start("small", "--interval", "yearly").code == 1
    assert spans(alice) == []
