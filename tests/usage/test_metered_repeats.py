"""A repeated request, identified by its idempotency key: worked on again, and paid once."""

from __future__ import annotations

import datetime as dt
from contextlib import contextmanager

import pytest
import time_machine
from django.utils import timezone

from accounts.models import User
from ledger.models import Hold
from tests.accounts.races import at_once
from tests.factories import customer_with
from tests.usage import metered_views
from tests.usage.metered_services import Caller, captures, logged
from tests.usage.metered_views import worked
from tests.usage.metering import price, rolled_up
from usage.services import metered_requests

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("every_promise_is_kept")]


@contextmanager
def later(**passed):
    with time_machine.travel(timezone.now() + dt.timedelta(**passed)):
        yield


@pytest.mark.parametrize("kind", ["plain", "rest"])
def test_a_repeated_request_is_worked_on_again_and_paid_once(caller, kind):
    first = caller.post(kind, {"a": 1}, repeat_key="k")
    again = caller.post(kind, {"a": 1}, repeat_key="k")

    assert (first.json(), first.headers.get("Idempotent-Replayed")) == (again.json(), None)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (200, "true")
    assert (len(worked), captures(caller.user)) == (2, [10])
    assert logged(caller.user) == [("search", 200, 5, 10), ("search", 200, 5, 0)]
    assert rolled_up(caller.user) == [("search", 2, 0, 0, 10)]


def test_a_paid_request_may_be_repeated_by_whom_no_credits_are_left(caller):
    poor = Caller(customer_with(10))
    poor.post("plain", repeat_key="k")

    assert poor.post("plain", repeat_key="k").status_code == 200
    assert poor.post("plain", repeat_key="other").status_code == 402


@pytest.mark.parametrize("kind", ["plain", "rest", "by-body"])
def test_another_request_under_the_same_key_is_refused_before_any_work(caller, kind):
    caller.post(kind, {"words": ["a"]}, repeat_key="k")

    for path, body in ((kind, {"words": ["b"]}), (f"{kind}?units=1", {"words": ["a"]}), ("class", {"words": ["a"]})):
        answer = caller.post(path, body, repeat_key="k")

        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert len(worked) == 1


def test_the_same_key_of_another_customer_is_another_key(caller):
    bob = Caller(customer_with(100))

    assert caller.post("plain", repeat_key="k").status_code == bob.post("plain", repeat_key="k").status_code == 200
    assert (captures(caller.user), captures(bob.user)) == ([10], [10])


@pytest.mark.parametrize("kind", ["plain", "rest"])
def test_a_request_paid_long_ago_is_not_worked_on_again(caller, kind):
    caller.post(kind, repeat_key="k")

    with later(seconds=601):
        answer = caller.post(kind, repeat_key="k")

    assert (answer.status_code, answer.json()["code"], len(worked)) == (409, "idempotency_key_spent", 1)


@pytest.mark.parametrize("kind", ["plain", "rest"])
@pytest.mark.parametrize("key", ["\u00e9", " ", "k" * 256])
def test_an_invalid_key_is_a_400_that_names_the_header(caller, kind, key):
    answer = caller.post(kind, repeat_key=key)

    assert (answer.status_code, answer.json()["code"], worked) == (400, "invalid", [])
    assert list(answer.json()["errors"]) == ["Idempotency-Key"]
    assert Hold.objects.count() == 0


def test_after_a_failure_the_repetition_is_another_attempt_that_is_paid(caller, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(metered_views, "status_of", lambda request: 503)
        failed = [caller.post("plain", repeat_key="k").status_code for _ in range(3)]

    succeeded = caller.post("plain", repeat_key="k")
    again = caller.post("plain", repeat_key="k")

    assert (failed, succeeded.status_code, again.status_code) == ([503, 503, 503], 200, 200)
    assert "Idempotent-Replayed" not in succeeded.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert captures(caller.user) == [10]
    assert [status for _, status, _, _ in logged(caller.user)] == [503, 503, 503, 200, 200]


def test_attempts_come_to_an_end(caller, monkeypatch):
    monkeypatch.setattr(metered_requests, "MOST_ATTEMPTS", 3)
    monkeypatch.setattr(metered_views, "status_of", lambda request: 503)

    answers = [caller.post("plain", repeat_key="k") for _ in range(4)]

    assert [answer.status_code for answer in answers] == [503, 503, 503, 409]
    assert answers[-1].json()["code"] == "idempotency_key_spent"


@pytest.mark.parametrize("kind", ["plain", "rest", "async"])
def test_a_paid_request_is_repeated_only_so_often_and_each_is_logged(caller, kind):
    answers = [caller.post(kind, {"a": 1}, repeat_key="k") for _ in range(60)]

    assert [answer.status_code for answer in answers] == [200] * 11 + [409] * 49
    assert {answer.json()["code"] for answer in answers[11:]} == {"idempotency_key_spent"}
    assert (len(worked), captures(caller.user)) == (11, [10])
    assert logged(caller.user) == [("search", 200, 5, 10)] + [("search", 200, 5, 0)] * 10


def test_a_repetition_is_logged_as_it_went(caller, monkeypatch):
    caller.post("plain", repeat_key="k")
    monkeypatch.setattr(metered_views, "status_of", lambda request: 503)

    caller.post("plain?units=2", repeat_key="other")
    caller.post("plain", repeat_key="k")

    assert logged(caller.user) == [("search", 200, 5, 10), ("search", 503, 2, 0), ("search", 503, 5, 0)]


@pytest.mark.django_db(transaction=True)
def test_concurrent_repetitions_share_one_payment_up_to_the_limit(caller):
    answers = at_once(16, lambda: caller.post("plain", repeat_key="k"))

    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(200), statuses.count(409)) == (11, 5)
    assert (len(worked), captures(caller.user), rolled_up(caller.user)) == (11, [10], [("search", 11, 0, 0, 10)])


@pytest.mark.parametrize("ended", ["revoked", "deactivated"])
def test_a_repetition_is_work_that_a_key_which_has_ended_gets_no_more(caller, ended):
    caller.post("plain", repeat_key="k")
    if ended == "revoked":
        caller.user.api_keys.update(revoked_at=timezone.now())
    else:
        User.objects.filter(pk=caller.user.pk).update(is_active=False)

    answer = caller.post("plain", repeat_key="k")

    assert (answer.status_code, answer.json()["code"], len(worked)) == (401, "api_key_invalid", 1)


def test_a_free_request_is_repeated_like_any_other(caller):
    price("search", 0, effective_from=dt.datetime(2021, 1, 1, tzinfo=dt.UTC))

    caller.post("plain", repeat_key="k")
    again = caller.post("plain", repeat_key="k")

    assert again.headers["Idempotent-Replayed"] == "true"
    assert logged(caller.user) == [("search", 200, 5, 0)] * 2


@pytest.mark.django_db(transaction=True)
def test_a_request_charged_after_its_hold_expired_is_paid_too(caller):
    caller.post("slow", repeat_key="k")
    again = caller.post("slow", repeat_key="k")

    assert again.headers["Idempotent-Replayed"] == "true"
    assert captures(caller.user) == [2]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("keys", ["one", "many"])
def test_concurrent_requests_are_worked_on_only_as_far_as_they_can_be_paid(caller, keys):
    poor = Caller(customer_with(35))
    sent = iter(["k"] * 8 if keys == "one" else [None] * 8)

    answers = at_once(8, lambda: poor.post("plain", repeat_key=next(sent)))

    done = [answer.status_code for answer in answers].count(200)
    if keys == "one":
        assert (done, captures(poor.user)) == (8, [10])
        assert rolled_up(poor.user) == [("search", 8, 0, 0, 10)]
    else:
        assert (done, [answer.status_code for answer in answers].count(402)) == (3, 5)
        assert (captures(poor.user), len(worked)) == ([10] * 3, 3)
    assert poor.sums()[1] == 0


@pytest.mark.django_db(transaction=True)
def test_one_of_two_concurrent_requests_is_paid_when_the_other_fails(caller, monkeypatch):
    statuses = iter([503, 200] * 4)
    monkeypatch.setattr(metered_views, "status_of", lambda request: next(statuses))

    answers = at_once(2, lambda: caller.post("plain", repeat_key="k"))

    assert sorted(answer.status_code for answer in answers) == [200, 503]
    assert captures(caller.user) == [10]
    assert caller.sums() == (90, 0)


@pytest.mark.parametrize("kind", ["plain", "rest"])
def test_a_repeated_body_too_long_to_be_remembered_is_refused(caller, kind, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 4

    answer = caller.post(kind, {"words": []}, repeat_key="k")

    assert (answer.status_code, answer.json()["code"], worked) == (413, "body_too_large", [])
    assert caller.post(kind, {"words": []}).status_code == 200
