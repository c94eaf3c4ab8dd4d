"""Lists of rows that belong to customers."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.utils.safestring import SafeString

from config.backoffice.links import page_link
from config.backoffice.model_admin import ModelAdmin


class OfCustomers(ModelAdmin):
    """Add a column with a link to the row's customer, from the field `user`."""

    list_select_related: ClassVar[tuple[str, ...]] = ("user",)

    @admin.display(description="customer")
    def customer(self, row: Any) -> SafeString:
        return page_link("accounts_user", row.user_id, row.user)
