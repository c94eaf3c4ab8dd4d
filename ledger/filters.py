"""Filters of the ledger."""

from __future__ import annotations

from typing import ClassVar

from django_filters import CharFilter, ChoiceFilter

from config.http.filters import TimeRangeFilterSet
from ledger.models import Entry, EntryType


class LedgerFilter(TimeRangeFilterSet):
    """`type`, `reference`, and `from`/`to` over the time of the entry."""

    time_field = "created_at"

    type = ChoiceFilter(choices=EntryType.choices, label="Only entries of this type.")
    reference = CharFilter(label="Only entries with exactly this reference.", max_length=255, strip=False)

    class Meta:
        model = Entry
        fields: ClassVar[list[str]] = ["type", "reference"]
