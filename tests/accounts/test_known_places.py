"""Known addresses and known browsers can sign in despite any number of guesses from elsewhere."""

from __future__ import annotations

import datetime as dt

import pytest
from django.core import mail
from django.utils import timezone

from accounts.errors import InvalidCredentials, TooManyLoginFailures
from accounts.models import LoginAttempt, Notice, SignInPlace, User
from accounts.services.signing_in.devices import device_of, new_device_token
from accounts.services.signing_in.login_guard import purge_old_attempts, reserve_attempt
from accounts.services.signing_in.passwords import change_password, check_credentials
from tests.accounts.conftest import ADDRESS
from tests.factories import PASSWORD, UserFactory
from tests.ledger.running import run

pytestmark = pytest.mark.django_db
MINUTE = dt.timedelta(minutes=1)
OTHER = "192.0.2.77"


@pytest.fixture
def alice():
    return UserFactory(email="alice@example.com")


def sign_in(now, address=ADDRESS, password=PASSWORD, **more):
    return check_credentials(email="alice@example.com", password=password, address=address, now=now, **more)


def guess_from_everywhere(now, count=50):
    for number in range(count):
        reserve_attempt(email="alice@example.com", address=f"203.0.113.{number}", now=now)


def test_guesses_from_everywhere_do_not_lock_a_person_out_at_a_known_address(alice, now):
    sign_in(now - dt.timedelta(days=89))
    guess_from_everywhere(now)

    assert sign_in(now) == alice
    with pytest.raises(TooManyLoginFailures):
        sign_in(now, address=OTHER)


def test_a_known_address_has_ten_guesses_like_any_other(alice, now):
    sign_in(now)
    for _ in range(10):
        with pytest.raises(InvalidCredentials):
            sign_in(now, password="wrong")

    with pytest.raises(TooManyLoginFailures):
        sign_in(now)


def test_a_known_address_of_one_person_is_unknown_for_another(alice, now):
    UserFactory(email="mallory@example.com")
    check_credentials(email="mallory@example.com", password=PASSWORD, address=OTHER, now=now)
    guess_from_everywhere(now)

    with pytest.raises(TooManyLoginFailures):
        sign_in(now, address=OTHER)


def test_an_address_is_forgotten_after_ninety_days_and_with_the_password(alice, now):
    sign_in(now - dt.timedelta(days=90))
    guess_from_everywhere(now)
    with pytest.raises(TooManyLoginFailures):
        sign_in(now)
    purge_old_attempts(now=now)
    assert not SignInPlace.objects.exists()

    later = now + 15 * MINUTE
    sign_in(later)
    change_password(user=alice, current=PASSWORD, new="another-good-phrase", address=ADDRESS, now=later)

    assert not SignInPlace.objects.exists()


def test_signing_in_often_from_one_address_is_noted_once_a_day(alice, now):
    for hours in (0, 1, 23, 25):
        sign_in(now + dt.timedelta(hours=hours), address=f"2001:db8::{hours + 1}")

    place = SignInPlace.objects.get()
    assert (place.address, place.last_used_at) == ("2001:db8::", now + dt.timedelta(hours=25))


def test_a_device_has_its_own_guesses_for_its_owner_only(alice, now):
    token = new_device_token(alice)
    for _ in range(10):
        reserve_attempt(email="alice@example.com", address=ADDRESS, now=now)

    assert sign_in(now, device_token=token) == alice
    assert device_of(token, UserFactory()) == device_of(token, None) == device_of("", alice) == ""
    assert device_of(token[:-1], alice) == device_of("x:y:z", alice) == device_of("\0", alice) == ""


def test_a_device_is_unknown_once_the_password_has_changed(alice, now):
    token = new_device_token(alice)
    assert device_of(token, alice)

    User.objects.filter(pk=alice.pk).update(password="!")

    assert device_of(token, User.objects.get(pk=alice.pk)) == ""


# --- The command, and notifying the owner ----------------------------------------------------------------


def test_unlock_lets_a_person_sign_in_again(alice, now):
    for _ in range(10):
        reserve_attempt(email="alice@example.com", address=ADDRESS, now=now)
    reserve_attempt(email="bob@example.com", address=ADDRESS, now=now)

    ran = run("unlock", "ALICE@example.com", "--json")

    assert (ran.code, ran.json) == (0, {"user_id": alice.pk, "email": "alice@example.com", "failures": 10})
    assert sign_in(now) == alice
    assert LoginAttempt.objects.get().account == "bob@example.com"
    assert run("unlock", "alice@example.com", "--json").json["failures"] == 0


def test_unlock_refuses_an_email_that_nobody_has():
    ran = run("unlock", "nobody@example.com")

    assert (ran.code, ran.out) == (1, "")


def test_the_owner_is_told_of_failed_sign_ins_once_a_day(alice):
    now = timezone.now()
    for email in ("alice@example.com", "unknown@example.com"):
        for address in (ADDRESS, OTHER):
            for _ in range(6):
                reserve_attempt(email=email, address=address, now=now)

    for _ in range(2):
        assert run("send_alerts").code == 0

    (email,) = mail.outbox
    assert (email.to, email.subject) == (["alice@example.com"], "Failed sign-ins to your account")
    assert "12 times" in email.body
    assert Notice.objects.get().type == "account.sign_in_failures"


def test_a_few_typing_errors_send_no_notice(alice):
    for _ in range(9):
        reserve_attempt(email="alice@example.com", address=ADDRESS, now=timezone.now())

    assert run("send_alerts").code == 0
    assert mail.outbox == []
