"""Times in pages: how long ago, with the exact time behind it."""

from __future__ import annotations

import datetime as dt

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()
_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60))
_EXACTLY_AFTER_DAYS = 30


@register.filter
def ago(moment: dt.datetime | None) -> SafeString | str:
    """Return a time as `3 hours ago` (or `in 3 hours`), and its exact UTC time as the title; a dash for None.

    A time of more than 30 days ago, or ahead, is written as its date.
    """
    if moment is None:
        return "–"
    utc = moment.astimezone(dt.UTC)
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>', utc.isoformat(), f"{utc:%Y-%m-%d %H:%M:%S}", in_words(utc)
    )


def in_words(moment: dt.datetime, *, now: dt.datetime | None = None) -> str:
    """Return how long ago, or how far ahead, a time is: one number and its unit."""
    seconds = int((moment - (now or timezone.now())).total_seconds())
    distance = abs(seconds)
    if distance > _EXACTLY_AFTER_DAYS * 86_400:
        return f"{moment:%Y-%m-%d}"
    for unit, length in _UNITS:
        if distance >= length:
            number = distance // length
            said = f"{number} {unit}{'' if number == 1 else 's'}"
            return f"{said} ago" if seconds < 0 else f"in {said}"
    return "just now" if seconds <= 0 else "in less than a minute"
