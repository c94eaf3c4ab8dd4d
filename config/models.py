"""Tables of the configuration itself, and the log of what staff did: no business data."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.contrib.admin.models import ACTION_FLAG_CHOICES, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone


class RateWindow(models.Model):
    """The number of calls of one caller's current minute that are leased to processes.

    Written by config/http/rate_windows.py and, for charges and holds by an API key with a rate limit, by the SQL
    function usage_take_call (usage/sql/current/rate_limits.sql). The table is UNLOGGED: after a crash of the server
    every caller starts a new minute.
    """

    subject = models.CharField(
        primary_key=True, max_length=100, help_text="Whose calls: key:<id>, user:<id> or address:<address>."
    )
    minute = models.BigIntegerField(help_text="Which minute since 1970, by the database's clock.")
    taken = models.IntegerField(help_text="Calls leased in that minute; may exceed the limit by refused leases.")

    def __str__(self) -> str:
        return self.subject


class RecordKind(models.TextChoices):
    ADD = "add", "Added by a form"
    CHANGE = "change", "Changed by a form"
    DELETE = "delete", "Deleted"
    ACTION = "action", "Named action"
    EXPORT = "export", "Exported"
    SEARCH = "search", "Searched by key"
    VIEW = "view", "Looked at"
    SIGN_IN = "sign_in", "Signed in"


CHANGING_KINDS = (RecordKind.ADD, RecordKind.CHANGE, RecordKind.DELETE, RecordKind.ACTION)
"""Kinds that changed something; they have indexes of their own, since looks are far more."""


class StaffRecord(models.Model):
    """One thing that a member of staff did or saw; never altered, never removed.

    The table is Django's own log of its admin, with columns of ours (docs/decisions/0048): one log, whoever writes it.
    Written by config/backoffice/record.py.
    """

    action_time = models.DateTimeField("time", default=timezone.now, help_text="When.")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name="staff",
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Who did it.",
    )
    kind = models.CharField(max_length=10, choices=RecordKind.choices, help_text="What sort of thing was done.")
    content_type = models.ForeignKey(
        ContentType, null=True, on_delete=models.PROTECT, related_name="+", help_text="The kind of object; empty: none."
    )
    object_id = models.TextField(null=True, help_text="The id of the object; empty: a list, or no object.")
    object_repr = models.CharField(max_length=200, help_text="What the object was called then.")
    customer = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        db_constraint=False,
        related_name="+",
        help_text="Whose account it was about; empty: nobody's.",
    )
    action_flag = models.PositiveSmallIntegerField(choices=ACTION_FLAG_CHOICES, help_text="Django's own word for it.")
    change_message = models.TextField(help_text="What was done, as a sentence, or as Django's list of fields.")
    details = models.JSONField(
        default=list, help_text="The values before and after: objects with name, before, after, as texts."
    )
    roles = models.CharField(max_length=200, help_text="The roles of the member of staff at that time.")
    address = models.GenericIPAddressField(null=True, help_text="From which address; empty: unknown.")
    request_id = models.CharField(max_length=128, help_text="The id of the request, as in logs; empty: none.")

    class Meta:
        managed = False
        db_table = "django_admin_log"
        verbose_name = "staff log record"
        verbose_name_plural = "staff log records"
        default_permissions: ClassVar = ("view",)
        permissions: ClassVar = [("export_staffrecord", "Can export the staff log")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.object_repr}"

    @property
    def message(self) -> str:
        """What was done, in words."""
        return str(LogEntry(change_message=self.change_message).get_change_message())

    def url(self) -> str | None:
        """Return the address of the object's page; None if it has none."""
        entry = LogEntry(object_id=self.object_id)
        entry.content_type = self.content_type
        return entry.get_admin_url()

    def lines(self) -> list[tuple[str, Any, Any]]:
        """Return name, value before and value after of each detail."""
        return [(each["name"], each.get("before"), each.get("after")) for each in self.details]


class SpentForm(models.Model):
    """One form of a staff action that was carried out: submitting it again does nothing.

    For actions whose services have no idempotency key of their own (config/backoffice/once_action.py).
    """

    form_key = models.UUIDField(help_text="The key that the form was given when it was first shown.")
    path = models.CharField(max_length=255, help_text="The page of the action, with the object's key.")
    actor_id = models.BigIntegerField(help_text="Who of the staff submitted it.")
    fingerprint = models.BinaryField(help_text="SHA-256 of what was submitted.")
    created_at = models.DateTimeField(db_default=Now(), help_text="When.")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["form_key", "path"], name="form_is_spent_once"),
        ]

    def __str__(self) -> str:
        return f"{self.path} ({self.form_key})"
