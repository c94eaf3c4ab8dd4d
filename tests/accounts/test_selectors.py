import pytest

from accounts.errors import UserNotFound
from accounts.selectors import live_subscription_of, user_named
from tests.factories import PlanFactory, SubscriptionFactory, UserFactory

pytestmark = pytest.mark.django_db


def test_a_person_is_named_by_email_in_any_case_or_by_id():
    user = UserFactory(email="Alice@Example.com")

    assert user_named("alice@example.COM ") == user
    assert user_named(str(user.pk)) == user


@pytest.mark.parametrize("named", ["", "bob@example.com", "0", "-1", "9" * 18, "9" * 19, "9" * 40, "١", "%"])
def test_a_name_of_no_person_is_refused(named):
    UserFactory(email="alice@example.com")

    with pytest.raises(UserNotFound):
        user_named(named)


@pytest.mark.parametrize("status", ["trialing", "active", "past_due", "paused"])
def test_a_running_subscription_is_found_with_its_plan(status, django_assert_num_queries):
    subscription = SubscriptionFactory(status=status)

    with django_assert_num_queries(1):
        found = live_subscription_of(user_id=subscription.user_id)
        assert found.plan.code == subscription.plan.code


@pytest.mark.parametrize("status", ["canceled", "expired"])
def test_an_ended_subscription_is_not_found(status):
    user = UserFactory()
    SubscriptionFactory(user=user, status=status)

    assert live_subscription_of(user_id=user.pk) is None


def test_a_strangers_subscription_is_not_found():
    SubscriptionFactory(plan=PlanFactory())

    assert live_subscription_of(user_id=UserFactory().pk) is None
