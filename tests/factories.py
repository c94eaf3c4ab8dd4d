"""People, keys and plans for tests. Credits come only through the ledger's services."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import factory
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import Plan, Scope, SignInPlace, SpentRefreshToken, Subscription, TokenFamily, User
from accounts.services.keys.api_keys import IssuedKey, issue_api_key, issue_service_key
from ledger.models import Entry, EntryReason
from ledger.services.grants import USUAL_TERMS, GrantTerms, grant_credits

PASSWORD = "correct-horse-battery"


class UserFactory(factory.django.DjangoModelFactory[User]):
    """A customer whose password is PASSWORD; `password=None` makes one that cannot sign in."""

    class Meta:
        model = User

    email = factory.Sequence(lambda number: f"customer{number}@example.com")
    full_name = factory.Sequence(lambda number: f"Customer {number}")
    password = PASSWORD

    @classmethod
    def _create(cls, model_class: type[User], *args: Any, **fields: Any) -> User:
        return User.objects.create_user(**fields)


class StaffFactory(UserFactory):
    """A member of staff who may sign in to the back office."""

    email = factory.Sequence(lambda number: f"staff{number}@example.com")
    is_staff = True


class ApiKeyFactory(factory.Factory[IssuedKey]):
    """A customer's new key: `.raw` is its text, `.api_key` its row."""

    class Meta:
        model = IssuedKey

    user = factory.SubFactory(UserFactory)
    name = factory.Sequence(lambda number: f"key {number}")
    scopes = (Scope.ACCOUNT_READ,)
    now = factory.LazyFunction(timezone.now)

    @classmethod
    def _create(cls, model_class: type[IssuedKey], *args: Any, **fields: Any) -> IssuedKey:
        return issue_api_key(**fields)


class ServiceKeyFactory(factory.Factory[IssuedKey]):
    """A new service key of one of the company's gateways."""

    class Meta:
        model = IssuedKey

    name = factory.Sequence(lambda number: f"gateway {number}")
    scopes = (Scope.METERING,)
    now = factory.LazyFunction(timezone.now)

    @classmethod
    def _create(cls, model_class: type[IssuedKey], *args: Any, **fields: Any) -> IssuedKey:
        return issue_service_key(**fields)


class PlanFactory(factory.django.DjangoModelFactory[Plan]):
    class Meta:
        model = Plan

    code = factory.Sequence(lambda number: f"plan-{number}")
    name = factory.Sequence(lambda number: f"Plan {number}")
    credits_per_period = Decimal("1000")


class SubscriptionFactory(factory.django.DjangoModelFactory[Subscription]):
    """A running monthly subscription whose period began ten days ago."""

    class Meta:
        model = Subscription

    user = factory.SubFactory(UserFactory)
    plan = factory.SubFactory(PlanFactory)
    credits_per_period = factory.SelfAttribute("plan.credits_per_period")
    started_at = factory.LazyFunction(lambda: timezone.now() - dt.timedelta(days=10))
    current_period_start = factory.SelfAttribute("started_at")
    current_period_end = factory.LazyAttribute(lambda made: made.current_period_start + dt.timedelta(days=30))
    next_grant_at = factory.SelfAttribute("current_period_end")


def delete_people(users: QuerySet[User]) -> None:
    """Delete people without any rows; `.delete()` would query the staff log, which only grows."""
    for model in (SpentRefreshToken, TokenFamily, SignInPlace):
        model.objects.filter(user__in=users).delete()
    users._raw_delete(users.db)


def give(user: User, credits: Decimal | int | str, *, terms: GrantTerms = USUAL_TERMS) -> Entry:
    """Grant credits to a customer, on these terms; each call is another grant."""
    return grant_credits(
        user_id=user.pk,
        amount=Decimal(credits),
        reason=EntryReason.GRANT,
        reference=None,
        idempotency_key=uuid.uuid4().hex,
        terms=terms,
    ).entry


def customer_with(credits: Decimal | int | str, **fields: Any) -> User:
    """Create a customer with this grant of credits."""
    user = UserFactory(**fields)
    give(user, credits)
    return user
