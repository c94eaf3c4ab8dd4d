"""Links between pages of the back office by the names of models, so that apps need not import each other."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.db.models import Model
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString


def name_of(model: Model | type[Model]) -> str:
    """Return a model's name in the URLs of the back office, such as `ledger_entry`."""
    return model._meta.label_lower.replace(".", "_")


def page_url(model: str, pk: Any) -> str:
    """Return the URL of one object's page; `model` is a name such as `ledger_entry`."""
    return reverse(f"admin:{model}_change", args=[pk])


def list_url(model: str, **filters: Any) -> str:
    """Return the URL of a list with filters."""
    return reverse(f"admin:{model}_changelist") + (f"?{urlencode(filters)}" if filters else "")


def page_link(model: str, pk: Any, text: Any) -> SafeString:
    return format_html('<a href="{}">{}</a>', page_url(model, pk), text)
