"""The naive implementation: lock the row, read, compute in Python, save, create."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db import models, transaction
from django.utils import timezone

from usage.models import Price


class Balance(models.Model):
    user_id = models.BigIntegerField(primary_key=True)
    balance = models.DecimalField(max_digits=15, decimal_places=6)

    class Meta:
        app_label, managed, db_table = "naive", False, "naive_balance"


class Entry(models.Model):
    user_id = models.BigIntegerField()
    amount = models.DecimalField(max_digits=15, decimal_places=6)
    balance_after = models.DecimalField(max_digits=15, decimal_places=6)
    idempotency_key = models.CharField(max_length=255)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        app_label, managed, db_table = "naive", False, "naive_entry"


class Request(models.Model):
    user_id = models.BigIntegerField()
    endpoint = models.CharField(max_length=200)
    status = models.IntegerField()
    credits = models.DecimalField(max_digits=15, decimal_places=6)
    entry_id = models.BigIntegerField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        app_label, managed, db_table = "naive", False, "naive_request"


def charge(*, user_id: int, endpoint: str, idempotency_key: str) -> Any:
    """Charge one request naively."""
    with transaction.atomic():
        balance = Balance.objects.select_for_update().get(pk=user_id)
        made = Entry.objects.filter(user_id=user_id, idempotency_key=idempotency_key).first()
        if made is not None:
            return made
        price = Price.objects.filter(endpoint=endpoint, effective_from__lte=timezone.now()).latest("effective_from")
        if balance.balance < price.credits:
            raise ValueError("Insufficient credits")
        balance.balance -= Decimal(price.credits)
        balance.save()
        entry = Entry.objects.create(
            user_id=user_id,
            amount=-price.credits,
            balance_after=balance.balance,
            idempotency_key=idempotency_key,
        )
        Request.objects.create(user_id=user_id, endpoint=endpoint, status=200, credits=price.credits, entry_id=entry.pk)
        return entry
