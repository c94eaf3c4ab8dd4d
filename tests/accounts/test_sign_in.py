import pytest
import time_machine
from django.contrib.auth.hashers import make_password

from accounts import tokens
from accounts.errors import InvalidCredentials, TooManyLoginFailures
from accounts.models import LoginAttempt, TokenFamily, User
from accounts.services.signing_in import sessions
from accounts.services.signing_in.passwords import check_credentials
from tests.accounts.conftest import ADDRESS
from tests.accounts.races import at_once
from tests.factories import PASSWORD, UserFactory, delete_people

pytestmark = pytest.mark.django_db


def sign_in(now, email="alice@example.com", password=PASSWORD):
    return sessions.sign_in(email=email, password=password, address=ADDRESS, now=now)


@pytest.mark.parametrize("email", ["alice@example.com", "ALICE@EXAMPLE.COM", " Alice@example.com "])
def test_the_right_password_begins_a_sign_in(now, email):
    user = UserFactory(email="Alice@Example.com")

    pair = sign_in(now, email)

    family = TokenFamily.objects.get()
    assert (family.user, family.created_at, family.revoked_at) == (user, now, None)
    assert pair.expires_in_seconds == 900
    assert pair.access != pair.refresh


def test_each_sign_in_is_a_family_of_its_own(now):
    UserFactory(email="alice@example.com")

    sign_in(now)
    sign_in(now)

    assert TokenFamily.objects.count() == 2


def test_the_last_login_moves(now):
    user = UserFactory(email="alice@example.com")

    sign_in(now)

    user.refresh_from_db()
    assert user.last_login == now


def test_a_failure_moves_nothing_and_is_remembered(now):
    user = UserFactory(email="alice@example.com")

    with pytest.raises(InvalidCredentials):
        sign_in(now, password="wrong")

    user.refresh_from_db()
    assert user.last_login is None
    assert not TokenFamily.objects.exists()
    attempt = LoginAttempt.objects.get()
    assert (attempt.account, attempt.address, attempt.attempted_at) == ("alice@example.com", ADDRESS, now)


def test_a_success_leaves_no_attempt_behind(now):
    UserFactory(email="alice@example.com")

    sign_in(now)

    assert not LoginAttempt.objects.exists()


@pytest.mark.parametrize(
    ("arranged", "email", "password"),
    [
        ({}, "unknown@example.com", PASSWORD),
        ({}, "alice@example.com", "wrong"),
        ({}, "alice@example.com", "x" * 5000),
        ({"is_active": False}, "alice@example.com", PASSWORD),
        ({"is_active": False}, "alice@example.com", "wrong"),
        ({"password": None}, "alice@example.com", PASSWORD),
        ({}, "x" * 300, PASSWORD),
        ({}, "nul\0@example.com", PASSWORD),
        ({}, "", ""),
    ],
    ids=["unknown", "wrong", "overlong", "inactive", "inactive-wrong", "no-password", "long-email", "nul", "empty"],
)
def test_every_failure_hashes_once_with_the_same_error(now, hashings, arranged, email, password):
    UserFactory(email="alice@example.com", **arranged)
    hashings.clear()

    with pytest.raises(InvalidCredentials) as refusal:
        sign_in(now, email, password)

    assert str(refusal.value) == "Invalid email or password."
    assert len(hashings) == 1


def test_a_success_hashes_once(now, hashings):
    UserFactory(email="alice@example.com")
    hashings.clear()

    sign_in(now)

    assert len(hashings) == 1


def test_a_locked_account_is_refused_without_checking_the_password(now, hashings):
    UserFactory(email="alice@example.com")
    for _ in range(10):
        with pytest.raises(InvalidCredentials):
            sign_in(now, password="wrong")
    hashings.clear()

    with pytest.raises(TooManyLoginFailures):
        sign_in(now)

    assert not hashings


def test_an_old_hash_is_renewed_and_the_tokens_fit_the_new_one(now, settings):
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.MD5PasswordHasher",
        "django.contrib.auth.hashers.ScryptPasswordHasher",
    ]
    user = UserFactory(email="alice@example.com")
    User.objects.update(password=make_password(PASSWORD, hasher="scrypt"))

    pair = sign_in(now)

    user.refresh_from_db()
    assert user.password.startswith("md5$")
    with time_machine.travel(now, tick=False):
        assert tokens.read_access(pair.access).match(user)


def test_renewing_an_old_hash_does_not_undo_a_change_of_password(now, settings, monkeypatch):
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.MD5PasswordHasher",
        "django.contrib.auth.hashers.ScryptPasswordHasher",
    ]
    UserFactory(email="alice@example.com")
    User.objects.update(password=make_password(PASSWORD, hasher="scrypt"))
    monkeypatch.setattr(
        "accounts.services.signing_in.passwords.hashers.make_password",
        lambda raw: User.objects.update(password="changed meanwhile") and make_password(raw),
    )

    check_credentials(email="alice@example.com", password=PASSWORD, address=ADDRESS, now=now)

    assert User.objects.get().password == "changed meanwhile"


def test_a_person_deleted_while_signing_in_is_refused(now, monkeypatch):
    user = UserFactory(email="alice@example.com")
    monkeypatch.setattr(sessions, "purge_ended_families", lambda *, now: delete_people(User.objects.filter(pk=user.pk)))

    with pytest.raises(InvalidCredentials):
        sign_in(now)


@pytest.mark.django_db(transaction=True)
def test_a_person_may_sign_in_on_several_devices_at_once(now):
    UserFactory(email="alice@example.com")

    pairs = at_once(5, lambda: sign_in(now))

    assert len({pair.refresh for pair in pairs}) == 5
    assert TokenFamily.objects.count() == 5
    assert not LoginAttempt.objects.exists()
