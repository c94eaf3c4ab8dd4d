"""The foreign key from the tables of the ledger and usage to their customer."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from accounts.models.user import User


def customer_key(
    *, related_name: str = "+", db_constraint: bool = True, db_index: bool = False
) -> models.ForeignKey[User, User]:
    """Return a foreign key to the customer who owns a row; the customer cannot be deleted while the row exists.

    Without `db_constraint` the database does not check it (docs/decisions/0002): this is for tables whose rows are
    written together with the customer's balance, whose own key is checked. Their constraints and indexes begin with
    the customer, so the key needs no index of its own.
    """
    return models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        db_constraint=db_constraint,
        db_index=db_index,
        related_name=related_name,
        help_text="The customer.",
    )
