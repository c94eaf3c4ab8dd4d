"""Packages of credits: what customers can buy."""

from __future__ import annotations

from django.contrib import admin

from config.backoffice.credits import shown
from config.backoffice.model_admin import BackOfficeAdmin
from config.values.money import shown_money
from ledger.models import TopUpPackage


@admin.register(TopUpPackage)
class TopUpPackageAdmin(BackOfficeAdmin):
    """Purchases keep their terms: changing a package changes later purchases alone."""

    list_display = ("code", "name", "shown_credits", "shown_price", "is_active")
    list_filter = ("is_active", "currency")
    search_fields = ("code", "name")
    search_help_text = "Part of the code or the name."
    ordering = ("code",)
    fields = ("code", "name", "credits", "price_minor", "currency", "is_active")

    @admin.display(description="credits")
    def shown_credits(self, package: TopUpPackage) -> str:
        return shown(package.credits)

    @admin.display(description="price")
    def shown_price(self, package: TopUpPackage) -> str:
        return shown_money(package.price_minor, package.currency)
