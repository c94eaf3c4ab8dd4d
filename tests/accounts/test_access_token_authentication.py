"""The header `Authorization`, on a view that requires a person."""

import datetime as dt

import jwt
import pytest
from django.conf import settings
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import TokenFamily, User
from accounts.services.signing_in import sessions
from accounts.tokens import fingerprint_of
from tests.factories import PASSWORD, UserFactory, delete_people

pytestmark = pytest.mark.django_db
LONG = {"current_password": PASSWORD, "new_password": ""}  # a 400 shows that the caller was authenticated


@pytest.fixture
def alice():
    return UserFactory(email="alice@example.com")


@pytest.fixture
def pair(alice):
    return sessions.sign_in(email="alice@example.com", password=PASSWORD, address=None, now=timezone.now())


def call(authorization):
    return APIClient().post("/auth/password", LONG, format="json", headers={"Authorization": authorization})


def forged(user, key=None, algorithm="HS256", **changes):
    """Return a token like ours, except for the changes; a claim that is None is left out."""
    now = timezone.now()
    claims = {
        "token_type": "access",
        "exp": now + dt.timedelta(minutes=5),
        "iat": now,
        "jti": "0" * 32,
        "user_id": str(user.pk),
        "family": str(TokenFamily.objects.get().pk),
        "fingerprint": fingerprint_of(user),
        **changes,
    }
    signed = {name: value for name, value in claims.items() if value is not None}
    if algorithm == "none":
        return jwt.encode(signed, None, algorithm=algorithm)
    return jwt.encode(signed, key or settings.SIMPLE_JWT["SIGNING_KEY"], algorithm=algorithm)


def refused(answer):
    return answer.status_code == 401 and answer["WWW-Authenticate"].startswith("Bearer") and answer.json()["detail"]


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
def test_a_good_token_opens(pair, scheme):
    assert call(f"{scheme} {pair.access}").status_code == 400


def test_the_forger_of_these_tests_can_make_a_good_one(alice, pair):
    assert call(f"Bearer {forged(alice)}").status_code == 400


def test_a_person_is_recognised_by_one_query(pair, django_assert_num_queries):
    with django_assert_num_queries(1):
        assert sessions.user_of_access_token(pair.access).email == "alice@example.com"


RUBBISH = """
Bearer
Bearer x
Bearer a.b.c
Bearer é
Bearer x y z
Bearer null
Bearer ..
Bearer eyJ9.eyJ9.eyJ9
Basic YWxpY2U6eA==
Token x
null
"""


@pytest.mark.parametrize("header", [*RUBBISH.splitlines(), "Bearer ", "Bearer \udcff", "Bearer " + "x" * 10_000])
def test_rubbish_is_refused(pair, header):
    client = APIClient()
    answer = client.post("/auth/password", LONG, format="json", HTTP_AUTHORIZATION=header)

    assert refused(answer)


@pytest.mark.parametrize(
    "changes",
    [{name: None} for name in ("token_type", "exp", "jti", "user_id", "family", "fingerprint")]
    + [
        {"user_id": value}
        for value in ("0", "-1", "1.0", "x", "", "٣", "9" * 19, "9" * 400, str(2**63), 1, True, [], {})
    ]
    + [{"family": value} for value in ("", "x", 1, [], "00000000-0000-0000-0000-000000000000")]
    + [{"fingerprint": value} for value in ("", "x", 1, [], "é", "0" * 64)]
    + [{"jti": value} for value in (1, [], "")]
    + [{"token_type": value} for value in ("refresh", "sliding", "", 1, [])]
    + [{"exp": value} for value in (0, 1, "x", 10**18, 10**30)],
    ids=repr,
)
def test_a_well_signed_token_with_wrong_claims_is_refused(alice, pair, changes):
    assert refused(call(f"Bearer {forged(alice, **changes)}"))


@pytest.mark.parametrize("claim", ["iat", "nbf"])
@pytest.mark.parametrize(("seconds_ahead", "status"), [(2, 400), (29, 400), (45, 401)])
def test_a_token_is_good_when_the_clock_that_signed_it_is_a_little_ahead(alice, pair, claim, seconds_ahead, status):
    at = timezone.now() + dt.timedelta(seconds=seconds_ahead)

    assert call(f"Bearer {forged(alice, **{claim: at})}").status_code == status


@pytest.mark.parametrize(("seconds", "status"), [(-1, 401), (-29, 401), (3, 400)])
def test_a_token_ends_to_the_second_whatever_the_leeway(alice, pair, seconds, status):
    ends_at = timezone.now() + dt.timedelta(seconds=seconds)

    assert call(f"Bearer {forged(alice, exp=ends_at)}").status_code == status


def test_a_token_signed_with_another_key_is_refused(alice, pair):
    assert refused(call(f"Bearer {forged(alice, key='x' * 64)}"))


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_a_token_signed_another_way_is_refused(alice, pair, algorithm):
    key = settings.SIMPLE_JWT["SIGNING_KEY"].ljust(64, "x")

    assert refused(call(f"Bearer {forged(alice, key=key, algorithm=algorithm)}"))


def test_an_unsigned_token_is_refused(alice, pair):
    assert refused(call(f"Bearer {forged(alice, algorithm='none')}"))


def test_a_token_of_one_person_does_not_open_for_another(alice, pair):
    bob = UserFactory()

    assert refused(call(f"Bearer {forged(bob)}"))
    assert refused(call(f"Bearer {forged(alice, user_id=str(bob.pk))}"))


def test_a_refresh_token_opens_nothing(pair):
    assert refused(call(f"Bearer {pair.refresh}"))


@pytest.mark.parametrize(
    "change",
    [
        lambda users: users.update(is_active=False),
        lambda users: users.update(password="!"),
        delete_people,
    ],
    ids=["deactivated", "password changed", "deleted"],
)
def test_the_token_is_refused_when_its_person_changed(pair, change):
    change(User.objects.all())

    assert refused(call(f"Bearer {pair.access}"))


def test_a_token_in_the_query_string_or_body_is_never_read(pair):
    answer = APIClient().post(f"/auth/password?access={pair.access}", {**LONG, "access": pair.access}, format="json")

    assert refused(answer)
