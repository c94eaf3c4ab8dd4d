"""API keys of programs; only a hash of each is stored."""

from __future__ import annotations

import datetime as dt
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone

from accounts.models.limits import DAYS_OF_A_MONTH, LARGEST_SPENDING_LIMIT, MOST_CALLS_PER_MINUTE, RATE_BOUNDS
from accounts.models.user import User


class Scope(models.TextChoices):
    ACCOUNT_READ = "account:read", "Read the account summary"
    METERING = "metering", "Charge, hold and report for any customer (service keys only)"


class KeyStatus(models.TextChoices):
    """Whether a key works, ignoring the state of its owner."""

    ACTIVE = "active", "Active"
    EXPIRED = "expired", "Expired"
    REVOKED = "revoked", "Revoked"


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def of(self, user_id: int) -> ApiKeyQuerySet:
        return self.filter(user_id=user_id)

    def working(self, now: dt.datetime) -> ApiKeyQuerySet:
        """Narrow to keys that are neither revoked nor expired."""
        return self.filter(models.Q(expires_at=None) | models.Q(expires_at__gt=now), revoked_at=None)

    def with_status(self, now: dt.datetime) -> ApiKeyQuerySet:
        """Annotate `status`, a KeyStatus, as of `now`."""
        return self.annotate(
            status=models.Case(
                models.When(revoked_at__isnull=False, then=models.Value(KeyStatus.REVOKED)),
                models.When(expires_at__lte=now, then=models.Value(KeyStatus.EXPIRED)),
                default=models.Value(KeyStatus.ACTIVE),
                output_field=models.CharField(),
            )
        )

    def with_replacement(self) -> ApiKeyQuerySet:
        """Annotate `replaced_by`: the id of the key that a rotation created in place of this one."""
        newer = ApiKey.objects.filter(user_id=models.OuterRef("user_id"), replaces_id=models.OuterRef("pk"))
        return self.annotate(replaced_by=models.Subquery(newer.values("pk")[:1]))

    def newest_first(self) -> ApiKeyQuerySet:
        return self.order_by("-created_at", "-id")


class ApiKey(models.Model):
    """One key: a customer's own, or a service key of the company's gateways (without a user)."""

    user = models.ForeignKey(
        User,
        on_delete=models.PROTECT,
        related_name="api_keys",
        null=True,
        blank=True,
        help_text="Whose key it is; empty for a service key.",
    )
    name = models.CharField(max_length=100, help_text="What its owner calls it.")
    prefix = models.CharField(
        max_length=12, unique=True, help_text="The 12 public characters behind tb_live_, safe to show and log."
    )
    last4 = models.CharField(max_length=4, help_text="The key's last four characters, to recognise it by.")
    key_hash = models.BinaryField(max_length=32, unique=True, help_text="SHA-256 of the whole key.")
    scopes = ArrayField(
        models.CharField(max_length=32, choices=Scope.choices), help_text="What calls with this key may do."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False, help_text="When it was issued.")
    expires_at = models.DateTimeField(null=True, blank=True, help_text="From then on it is refused; empty: never.")
    revoked_at = models.DateTimeField(null=True, blank=True, help_text="When it was withdrawn, for good.")
    last_used_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Last accepted call, kept to the minute."
    )
    replaces = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        related_name="+",
        null=True,
        blank=True,
        editable=False,
        db_index=False,
        help_text="The key in whose place a rotation put this one; empty: none.",
    )
    original = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        related_name="+",
        null=True,
        blank=True,
        editable=False,
        db_index=False,
        help_text="The first of the keys that rotations put in each other's place; empty: this one is.",
    )
    rate_limit_per_minute = models.IntegerField(
        null=True,
        blank=True,
        validators=RATE_BOUNDS,
        help_text="Calls a minute that it may make; empty: the site's default, and for a service key no limit.",
    )
    spending_limit = models.DecimalField(
        max_digits=15,
        decimal_places=6,
        null=True,
        blank=True,
        help_text="Credits that may be spent with it until the count starts anew; empty: no limit.",
    )
    spending_reset_day = models.SmallIntegerField(
        default=1,
        db_default=1,
        validators=DAYS_OF_A_MONTH,
        help_text="Day of the month (UTC) on which the count starts anew; in a shorter month its last day.",
    )

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"
        permissions: ClassVar = [
            ("issue_service_key", "Can issue keys of the company's own services"),
            ("revoke_apikey", "Can revoke API keys"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["user", "-created_at", "-id"], name="keys_of_user_newest_first"),
            # Rotations leave any number of revoked keys; the working ones are counted whenever a key is created.
            models.Index(fields=["user"], name="keys_not_revoked", condition=models.Q(revoked_at__isnull=True)),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "replaces"], name="a_key_is_replaced_once"),
            models.CheckConstraint(
                condition=models.Q(replaces__isnull=True) | models.Q(user__isnull=False),
                name="only_customers_keys_are_rotated",
            ),
            models.CheckConstraint(
                condition=models.Q(replaces__isnull=True, original__isnull=True)
                | models.Q(replaces__isnull=False, original__isnull=False),
                name="a_key_that_replaces_another_knows_the_original",
            ),
            models.CheckConstraint(
                condition=models.Q(user__isnull=True) | ~models.Q(scopes__contains=[Scope.METERING]),
                name="only_service_keys_may_meter",
            ),
            models.CheckConstraint(
                condition=models.Q(user__isnull=False) | ~models.Q(scopes__contains=[Scope.ACCOUNT_READ]),
                name="service_keys_have_no_account_to_read",
            ),
            models.CheckConstraint(condition=models.Q(scopes__len__gt=0), name="api_key_has_a_scope"),
            models.CheckConstraint(
                condition=models.Q(rate_limit_per_minute__range=(1, MOST_CALLS_PER_MINUTE)),
                name="rate_limit_of_a_key_lets_some_call_pass",
            ),
            models.CheckConstraint(
                condition=models.Q(spending_limit__gt=0, spending_limit__lte=LARGEST_SPENDING_LIMIT),
                name="spending_limit_of_a_key_is_positive",
            ),
            models.CheckConstraint(
                condition=models.Q(spending_limit__isnull=True) | models.Q(user__isnull=False),
                name="only_customers_keys_have_a_spending_limit",
            ),
            models.CheckConstraint(
                condition=models.Q(spending_reset_day__range=(1, 31)),
                name="spending_starts_anew_on_a_day_of_the_month",
            ),
        ]

    def __str__(self) -> str:
        return f"tb_live_{self.prefix}…{self.last4}"
