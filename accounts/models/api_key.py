"""Keys that programs call with; only a hash of each is stored."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone

from accounts.models.user import User


class Scope(models.TextChoices):
    ACCOUNT_READ = "account:read", "Read the account summary"
    METERING = "metering", "Charge, hold and report for any customer (service keys only)"


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

    class Meta:
        verbose_name = "API key"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(user__isnull=True) | ~models.Q(scopes__contains=[Scope.METERING]),
                name="only_service_keys_may_meter",
            ),
            models.CheckConstraint(
                condition=models.Q(user__isnull=False) | ~models.Q(scopes__contains=[Scope.ACCOUNT_READ]),
                name="service_keys_have_no_account_to_read",
            ),
            models.CheckConstraint(condition=models.Q(scopes__len__gt=0), name="api_key_has_a_scope"),
        ]

    def __str__(self) -> str:
        return f"tb_live_{self.prefix}…{self.last4}"

    @property
    def rate_limit_subject(self) -> str | None:
        """Name whose calls are counted together; None for a service key, which is not limited."""
        return None if self.user_id is None else f"key:{self.pk}"
