"""The customers that names in logs stand for."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from accounts.models.customer_key import customer_key


class ImportedCustomer(models.Model):
    """One host or user name of one log, and the customer that it stands for, whatever their email is by now."""

    source = models.CharField(max_length=100, help_text="The log's name, given by the operator.")
    value = models.CharField(max_length=254, help_text="The host or user name, in one spelling.")
    user = customer_key(db_index=True)
    created_at = models.DateTimeField(db_default=Now(), help_text="When an import first met it.")

    class Meta:
        verbose_name = "name in logs"
        verbose_name_plural = "names in logs"
        indexes: ClassVar = [models.Index(fields=["value"], name="names_in_logs")]  # staff ask whom a host stands for
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["source", "value"], name="a_name_in_a_log_is_one_customer")
        ]

    def __str__(self) -> str:
        return f"{self.value} in {self.source}"
