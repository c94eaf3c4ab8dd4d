"""Links between pages of the back office, by the names of models: no app needs to import another for them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.db.models import Model
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString


def name_of(model: Model | type[Model]) -> str:
    """Give a model's name in the back office's addresses, such as `ledger_entry`."""
    return model._meta.label_lower.replace(".", "_")


def page_url(model: str, pk: Any) -> str:
    """Give the address of one object's page; `model` is such as `ledger_entry`."""
    return reverse(f"admin:{model}_change", args=[pk])


def list_url(model: str, **filters: Any) -> str:
    """Give the address of a list, narrowed."""
    return reverse(f"admin:{model}_changelist") + (f"?{urlencode(filters)}" if filters else "")


def page_link(model: str, pk: Any, text: Any) -> SafeString:
    return format_html('<a href="{}">{}</a>', page_url(model, pk), text)
