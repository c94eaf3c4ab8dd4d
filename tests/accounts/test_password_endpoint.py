import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import TokenFamily, User
from accounts.services.signing_in import sessions
from tests.accounts.races import at_once
from tests.factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db
NEW = "another-long-enough-phrase"


def sign_in(email="alice@example.com", password=PASSWORD):
    return sessions.sign_in(email=email, password=password, address=None, now=timezone.now())


def change(pair, current=PASSWORD, new=NEW):
    client = APIClient(headers={"Authorization": f"Bearer {pair.access}"} if pair else {})
    return client.post("/auth/password", {"current_password": current, "new_password": new}, format="json")


@pytest.fixture
def alice():
    return UserFactory(email="alice@example.com")


@pytest.fixture
def pair(alice):
    return sign_in()


def test_the_password_is_replaced_when_the_current_one_is_right(alice, pair):
    answer = change(pair)

    alice.refresh_from_db()
    assert (answer.status_code, answer.content) == (204, b"")
    assert alice.check_password(NEW)
    assert sign_in(password=NEW)


def test_every_token_of_the_account_is_revoked(pair):
    other = sign_in()

    change(pair)

    assert change(pair, current=NEW).status_code == 401
    assert change(other, current=NEW).status_code == 401
    assert APIClient().post("/auth/refresh", {"refresh": other.refresh}, format="json").status_code == 401
    assert not TokenFamily.objects.filter(revoked_at=None).exists()


def test_the_tokens_of_others_stay_valid(pair):
    UserFactory(email="bob@example.com")
    bobs = sign_in("bob@example.com")

    change(pair)

    assert change(bobs).status_code == 204


def test_a_wrong_current_password_is_refused_at_its_field(alice, pair):
    answer = change(pair, current="wrong")

    alice.refresh_from_db()
    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == ["current_password"]
    assert alice.check_password(PASSWORD)
    assert change(pair).status_code == 204


@pytest.mark.parametrize("new", ["", "short", "12345678901", "alice@example", "x" * 129])
def test_a_weak_new_password_is_refused_at_its_field(pair, new):
    answer = change(pair, new=new)

    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == ["new_password"]
    assert change(pair).status_code == 204


def test_guessing_the_current_password_is_limited_like_signing_in(pair):
    for _ in range(10):
        assert change(pair, current="wrong").status_code == 400

    answer = change(pair)

    assert answer.status_code == 429
    assert int(answer["Retry-After"]) > 0
    assert (
        APIClient().post("/auth/login", {"email": "alice@example.com", "password": PASSWORD}, format="json").status_code
        == 429
    )


def test_anonymous_callers_are_refused(alice):
    answer = change(None)

    assert answer.status_code == 401
    assert answer.json()["code"] == "not_authenticated"
    assert answer["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.django_db(transaction=True)
def test_one_of_two_concurrent_changes_succeeds():
    UserFactory(email="alice@example.com")
    pairs = iter([(sign_in(), f"{NEW}{number}") for number in range(4)])

    def change_to_another():
        pair, new = next(pairs)
        return change(pair, new=new)

    answers = at_once(4, change_to_another)

    statuses = sorted(answer.status_code for answer in answers)
    assert statuses[0] == 204
    assert set(statuses[1:]) <= {400, 401}
    assert User.objects.get().password
