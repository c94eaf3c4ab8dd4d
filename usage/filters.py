"""Filters of the request log."""

from __future__ import annotations

from typing import ClassVar

from django.core.validators import RegexValidator
from django_filters import CharFilter, ChoiceFilter

from config.http.filters import TimeRangeFilterSet
from usage.models import Outcome, RequestLog

_PREFIX = RegexValidator(
    r"\A(tb_live_)?[0-9A-Za-z]{12}\Z",
    "Give the key's 12 public characters, with or without tb_live_ before them; never a whole key.",
)


class RequestFilter(TimeRangeFilterSet):
    """`endpoint`, `status`, `api_key`, and `from`/`to` over the time of the request."""

    time_field = "occurred_at"

    endpoint = CharFilter(label="Only requests counted under exactly this endpoint.", max_length=200, strip=False)
    status = ChoiceFilter(choices=Outcome.choices, label="Only requests with this outcome.")
    api_key = CharFilter(
        label="Only requests made with the key of this prefix: its 12 public characters, with or without `tb_live_`.",
        validators=[_PREFIX],
        strip=False,
    )

    class Meta:
        model = RequestLog
        fields: ClassVar[list[str]] = ["endpoint", "status", "api_key"]
