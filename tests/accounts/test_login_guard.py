import datetime as dt
import re

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts.errors import InvalidCredentials, TooManyLoginFailures
from accounts.models import LoginAttempt, User
from accounts.services.signing_in.login_guard import forgive_attempts, purge_old_attempts, reserve_attempt
from accounts.services.signing_in.passwords import check_credentials
from tests.accounts.conftest import ADDRESS
from tests.accounts.races import at_once
from tests.factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db
MINUTE = dt.timedelta(minutes=1)


def addresses(count):
    return [f"203.0.113.{number}" for number in range(count)]


def test_the_tenth_attempt_on_an_account_from_an_address_is_made_and_the_eleventh_refused(now):
    for _ in range(10):
        reserve_attempt(email="alice@example.com", address=ADDRESS, now=now)

    with pytest.raises(TooManyLoginFailures):
        reserve_attempt(email="alice@example.com", address=ADDRESS, now=now)

    assert LoginAttempt.objects.count() == 10
    reserve_attempt(email="alice@example.com", address="203.0.113.1", now=now)


def test_the_fiftieth_attempt_on_an_account_from_anywhere_is_made_and_the_next_refused(now):
    for address in addresses(50):
        reserve_attempt(email="alice@example.com", address=address, now=now)

    with pytest.raises(TooManyLoginFailures):
        reserve_attempt(email="alice@example.com", address=ADDRESS, now=now)

    assert LoginAttempt.objects.count() == 50


def test_the_hundredth_attempt_from_an_address_is_made_and_the_next_refused(now):
    for number in range(100):
        reserve_attempt(email=f"user{number}@example.com", address=ADDRESS, now=now)

    with pytest.raises(TooManyLoginFailures):
        reserve_attempt(email="another@example.com", address=ADDRESS, now=now)

    reserve_attempt(email="another@example.com", address="203.0.113.1", now=now)


def test_the_refusal_says_when_the_next_place_gets_free(now):
    for minutes in range(10):
        reserve_attempt(email="alice@example.com", address=ADDRESS, now=now + minutes * MINUTE)

    with pytest.raises(TooManyLoginFailures) as refusal:
        reserve_attempt(email="alice@example.com", address=ADDRESS, now=now + 10 * MINUTE)

    assert refusal.value.retry_after_seconds == 5 * 60
    reserve_attempt(email="alice@example.com", address=ADDRESS, now=now + 15 * MINUTE)


def test_refused_attempts_do_not_prolong_the_wait(now):
    for _ in range(10):
        reserve_attempt(email="alice@example.com", address=ADDRESS, now=now)
    for minutes in range(15):
        with pytest.raises(TooManyLoginFailures):
            reserve_attempt(email="alice@example.com", address=ADDRESS, now=now + minutes * MINUTE)

    assert reserve_attempt(email="alice@example.com", address=ADDRESS, now=now + 15 * MINUTE)


@pytest.mark.parametrize("spelling", ["ALICE@example.com", " alice@EXAMPLE.com ", "Alice@Example.Com"])
def test_every_spelling_counts_against_the_account(now, spelling):
    for _ in range(10):
        reserve_attempt(email="alice@example.com", address=ADDRESS, now=now)

    with pytest.raises(TooManyLoginFailures):
        reserve_attempt(email=spelling, address=ADDRESS, now=now)


@pytest.mark.parametrize("spelling", ["kevin@example.com", "\u212aevin@example.com", "kev\u0130n@example.com"])
def test_every_spelling_of_an_email_counts_against_its_account(now, spelling):
    UserFactory(email="kevin@example.com")

    attempt = reserve_attempt(email=spelling, address=ADDRESS, now=now)

    assert User.objects.with_email(spelling).exists() == (attempt.account == "kevin@example.com")


@pytest.mark.parametrize("email", ["", "x" * 300, "nul\0@example.com", "\udcff@example.com"])
def test_any_text_typed_for_an_email_can_be_counted(now, email):
    assert reserve_attempt(email=email, address=ADDRESS, now=now).pk


def test_an_ipv6_customer_is_counted_as_one_however_many_addresses_he_has(now):
    first = reserve_attempt(email="a@example.com", address="2001:db8:1:2:3:4:5:6", now=now)
    second = reserve_attempt(email="b@example.com", address="2001:db8:1:2:ffff::1", now=now)
    neighbour = reserve_attempt(email="c@example.com", address="2001:db8:1:3::1", now=now)

    assert first.address == second.address == "2001:db8:1:2::"
    assert neighbour.address == "2001:db8:1:3::"


@pytest.mark.parametrize("address", [None, "", "unknown"])
def test_callers_without_an_address_do_not_lock_each_other_out(now, address, settings):
    settings.LOGIN_FAILURES_PER_ADDRESS = 1

    for number in range(3):
        assert reserve_attempt(email=f"user{number}@example.com", address=address, now=now).address is None


def test_a_success_gives_back_its_place_and_earlier_errors_from_its_address(now):
    for _ in range(3):
        reserve_attempt(email="alice@example.com", address=ADDRESS, now=now)
    attempt = reserve_attempt(email="alice@example.com", address=ADDRESS, now=now)

    forgive_attempts(attempt)

    assert not LoginAttempt.objects.exists()


def test_a_success_of_the_owner_gives_no_new_guesses_to_others(now):
    guess = reserve_attempt(email="alice@example.com", address="203.0.113.1", now=now)
    attempt = reserve_attempt(email="alice@example.com", address=ADDRESS, now=now)

    forgive_attempts(attempt)

    assert list(LoginAttempt.objects.all()) == [guess]


def test_signing_in_to_an_own_account_does_not_reset_the_address(now):
    guess = reserve_attempt(email="victim@example.com", address=ADDRESS, now=now)
    attempt = reserve_attempt(email="attacker@example.com", address=ADDRESS, now=now)

    forgive_attempts(attempt)

    assert list(LoginAttempt.objects.all()) == [guess]


def test_attempts_that_no_longer_count_are_purged(now):
    reserve_attempt(email="alice@example.com", address=ADDRESS, now=now - 15 * MINUTE)
    recent = reserve_attempt(email="alice@example.com", address=ADDRESS, now=now - 14 * MINUTE)

    purge_old_attempts(now=now)

    assert list(LoginAttempt.objects.all()) == [recent]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("email", ["alice@example.com", "unknown@example.com"])
def test_ten_of_twenty_concurrent_guesses_are_checked(now, email, hashings):
    UserFactory(email="alice@example.com")
    hashings.clear()

    outcomes = at_once(20, lambda: check_credentials(email=email, password="wrong", address=ADDRESS, now=now))

    assert sorted((type(outcome) for outcome in outcomes), key=lambda kind: kind.__name__) == (
        [InvalidCredentials] * 10 + [TooManyLoginFailures] * 10
    )
    assert len(hashings) == 10


@pytest.mark.django_db(transaction=True)
def test_concurrent_guesses_on_many_accounts_stop_at_the_limit_of_the_address(now, settings, hashings):
    settings.LOGIN_FAILURES_PER_ADDRESS = 5
    emails = iter([f"user{number}@example.com" for number in range(20)])

    outcomes = at_once(20, lambda: check_credentials(email=next(emails), password="wrong", address=ADDRESS, now=now))

    assert sum(isinstance(outcome, InvalidCredentials) for outcome in outcomes) == 5
    assert len(hashings) == 5


def test_a_refusal_runs_the_same_queries_whether_the_account_exists(now):
    UserFactory(email="alice@example.com")
    asked = []
    for email in ("alice@example.com", "unknown@example.com"):
        with CaptureQueriesContext(connection) as statements, pytest.raises(InvalidCredentials):
            check_credentials(email=email, password="wrong", address=ADDRESS, now=now)
        asked.append([said["sql"].split(" WHERE ")[0] for said in statements if "SELECT left(" not in said["sql"]])

    assert [re.sub(r"'[^']*'|\d+", "?", one) for one in asked[0]] == [
        re.sub(r"'[^']*'|\d+", "?", one) for one in asked[1]
    ]


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_the_password_is_hashed(now, monkeypatch):
    UserFactory(email="alice@example.com")
    seen = []
    monkeypatch.setattr(
        "accounts.services.signing_in.passwords.hashers.check_password",
        lambda *args, **kwargs: seen.append(connection.in_atomic_block),
    )

    with pytest.raises(InvalidCredentials):
        check_credentials(email="alice@example.com", password=PASSWORD, address=ADDRESS, now=now)

    assert seen == [False]


@pytest.mark.django_db(transaction=True)
def test_an_attempt_cannot_be_undone_by_a_transaction_around_it(now):
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        reserve_attempt(email="alice@example.com", address=ADDRESS, now=now)
