"""Anchors: where every ledger ended at one time, stored apart from the ledgers."""

from __future__ import annotations

from django.db import models

from accounts.models.customer_key import customer_key


class Anchor(models.Model):
    """One signed record of where every customer's ledger ended; the database does not have the key."""

    taken_at = models.DateTimeField(help_text="When.")
    customers = models.BigIntegerField(help_text="How many customers it names: all who had entries.")
    digest = models.BinaryField(help_text="SHA-256 over all of its places, in the order of the customers' ids.")
    key_id = models.CharField(max_length=16, help_text="Which of ANCHOR_KEYS signed it: the start of its SHA-256.")
    signature = models.BinaryField(help_text="HMAC-SHA-256 of id, time, customers and digest by that key.")

    def __str__(self) -> str:
        return f"anchor {self.pk} of {self.customers} customers"


class AnchorPlace(models.Model):
    """Where one customer's ledger ended when an anchor was taken: the seq and seal of its last entry."""

    pk = models.CompositePrimaryKey("anchor_id", "user_id")
    anchor = models.ForeignKey(
        Anchor,
        on_delete=models.PROTECT,
        db_constraint=False,
        db_index=False,
        related_name="places",
        help_text="The anchor.",
    )
    user = customer_key(db_constraint=False)
    seq = models.BigIntegerField(help_text="Place of the customer's last entry.")
    seal = models.BinaryField(help_text="Seal of that entry.")

    def __str__(self) -> str:
        return f"customer {self.user_id} at entry {self.seq}"
