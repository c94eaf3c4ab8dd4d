import datetime as dt

import jwt
import pytest
import time_machine
from django.conf import settings
from django.contrib.auth.hashers import make_password

from accounts.errors import RefreshTokenSpent, TokenInvalid
from accounts.models import SpentRefreshToken, TokenFamily, User
from accounts.services.signing_in import sessions
from tests.accounts.conftest import ADDRESS, NOW
from tests.accounts.races import at_once
from tests.factories import PASSWORD, UserFactory, delete_people

pytestmark = pytest.mark.django_db
SECOND = dt.timedelta(seconds=1)


@pytest.fixture(autouse=True)
def _at_noon():
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def user():
    return UserFactory(email="alice@example.com")


@pytest.fixture
def pair(user, now):
    return sessions.sign_in(email="alice@example.com", password=PASSWORD, address=ADDRESS, now=now)


def refresh(pair, now):
    return sessions.refresh(refresh_token=pair.refresh, now=now)


def family_is_revoked():
    return TokenFamily.objects.get().revoked_at is not None


def test_a_refresh_token_ends_to_the_second_whatever_the_leeway(pair, now):
    with time_machine.travel(NOW + settings.REFRESH_TOKEN_LIFETIME - SECOND, tick=False):
        assert refresh(pair, now).access
    with (
        time_machine.travel(NOW + settings.REFRESH_TOKEN_LIFETIME, tick=False),
        pytest.raises(TokenInvalid),
    ):
        refresh(pair, now)


def test_a_refresh_token_is_exchanged_for_another_pair_of_its_family(pair, user, now):
    new = refresh(pair, now)

    assert sessions.user_of_access_token(new.access) == user
    assert new.refresh != pair.refresh
    assert TokenFamily.objects.count() == 1
    assert refresh(new, now).access


def test_refreshing_does_not_move_the_last_login(pair, user, now):
    refresh(pair, now + SECOND)

    user.refresh_from_db()
    assert user.last_login == now


def test_the_old_access_token_lives_on_after_a_refresh(pair, user, now):
    refresh(pair, now)

    assert sessions.user_of_access_token(pair.access) == user


def test_a_spent_token_within_the_grace_is_only_refused(pair, now):
    new = refresh(pair, now)

    with pytest.raises(RefreshTokenSpent):
        refresh(pair, now + 10 * SECOND)

    assert not family_is_revoked()
    assert refresh(new, now + 10 * SECOND).access


def test_a_spent_token_after_the_grace_revokes_its_whole_family(pair, now):
    new = refresh(pair, now)

    with pytest.raises(RefreshTokenSpent):
        refresh(pair, now + 11 * SECOND)

    assert family_is_revoked()
    for token in (new, pair):
        with pytest.raises(TokenInvalid):
            refresh(token, now + 11 * SECOND)
        with pytest.raises(TokenInvalid):
            sessions.user_of_access_token(token.access)


def test_another_sign_in_of_the_person_survives_the_reuse_of_a_token(pair, now):
    other = sessions.sign_in(email="alice@example.com", password=PASSWORD, address=ADDRESS, now=now)
    refresh(pair, now)

    with pytest.raises(RefreshTokenSpent):
        refresh(pair, now + 11 * SECOND)

    assert refresh(other, now).access


@pytest.mark.django_db(transaction=True)
def test_one_of_eight_concurrent_exchanges_wins(now):
    UserFactory(email="alice@example.com")
    pair = sessions.sign_in(email="alice@example.com", password=PASSWORD, address=ADDRESS, now=now)

    outcomes = at_once(8, lambda: refresh(pair, now))

    assert sum(isinstance(outcome, RefreshTokenSpent) for outcome in outcomes) == 7
    assert SpentRefreshToken.objects.count() == 1
    assert not family_is_revoked()


@pytest.mark.django_db(transaction=True)
def test_a_refresh_concurrent_with_a_sign_out_leaves_no_valid_token(now):
    UserFactory(email="alice@example.com")

    for _ in range(5):
        pair = sessions.sign_in(email="alice@example.com", password=PASSWORD, address=ADDRESS, now=now)
        calls = iter([refresh, refresh, None])

        def either(pair=pair, calls=calls):
            call = next(calls)
            return call(pair, now) if call else sessions.sign_out(refresh_token=pair.refresh, now=now)

        for outcome in at_once(3, either):
            if isinstance(outcome, sessions.TokenPair):
                with pytest.raises(TokenInvalid):
                    sessions.user_of_access_token(outcome.access)


@pytest.mark.django_db(transaction=True)
def test_the_revocation_of_a_family_survives_the_refusal(now):
    UserFactory(email="alice@example.com")
    pair = sessions.sign_in(email="alice@example.com", password=PASSWORD, address=ADDRESS, now=now)
    refresh(pair, now)

    outcomes = at_once(4, lambda: refresh(pair, now + 11 * SECOND))

    assert all(isinstance(outcome, (RefreshTokenSpent, TokenInvalid)) for outcome in outcomes)
    assert family_is_revoked()


@pytest.mark.parametrize(
    "change",
    [
        lambda users: users.update(password=make_password("another")),
        lambda users: users.update(password="!unusable"),
        lambda users: users.update(is_active=False),
        delete_people,
    ],
    ids=["password", "no password", "deactivation", "deletion"],
)
def test_tokens_end_when_their_user_or_password_changes(pair, now, change):
    change(User.objects.all())

    with pytest.raises(TokenInvalid):
        refresh(pair, now)
    with pytest.raises(TokenInvalid):
        sessions.user_of_access_token(pair.access)


def test_setting_a_password_by_hand_revokes_the_tokens(pair, user, now):
    user.set_password(PASSWORD)  # even the same one
    user.save()

    with pytest.raises(TokenInvalid):
        refresh(pair, now)


def test_an_access_token_cannot_be_exchanged(pair, now):
    with pytest.raises(TokenInvalid):
        sessions.refresh(refresh_token=pair.access, now=now)


def test_a_refresh_token_opens_nothing(pair):
    with pytest.raises(TokenInvalid):
        sessions.user_of_access_token(pair.refresh)


def test_an_access_token_lives_for_fifteen_minutes_and_a_refresh_token_for_seven_days(pair, now):
    key = settings.SIMPLE_JWT["SIGNING_KEY"]

    access, refresh_token = (jwt.decode(token, key, algorithms=["HS256"]) for token in (pair.access, pair.refresh))

    assert access["exp"] - access["iat"] == 15 * 60
    assert refresh_token["exp"] - refresh_token["iat"] == 7 * 24 * 60 * 60
    assert access["family"] == refresh_token["family"]
    assert access["fingerprint"] == refresh_token["fingerprint"]
    assert access["jti"] != refresh_token["jti"]


def test_tokens_end_by_themselves(pair, now):
    with time_machine.travel(now + dt.timedelta(minutes=15)), pytest.raises(TokenInvalid):
        sessions.user_of_access_token(pair.access)
    with time_machine.travel(now + dt.timedelta(days=7)), pytest.raises(TokenInvalid):
        refresh(pair, now + dt.timedelta(days=7))


def test_expired_families_are_purged(pair, now):
    new = refresh(pair, now + dt.timedelta(days=1))

    sessions.purge_ended_families(now=now + dt.timedelta(days=7))

    assert not SpentRefreshToken.objects.exists()
    assert TokenFamily.objects.count() == 1
    assert new
    sessions.purge_ended_families(now=now + dt.timedelta(days=8))
    assert not TokenFamily.objects.exists()
