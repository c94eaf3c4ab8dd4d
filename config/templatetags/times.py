"""Times in pages: how long ago, with the exact time behind it."""

from __future__ import annotations

import datetime as dt

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.backoffice.times import age_of

register = template.Library()
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
    now = now or timezone.now()
    seconds = int((moment - now).total_seconds())
    distance = abs(seconds)
    if distance > _EXACTLY_AFTER_DAYS * 86_400:
        return f"{moment:%Y-%m-%d}"
    if seconds > 0:
        return f"in {age_of(now, moment)}"
    return f"{age_of(moment, now)} ago" if distance >= 60 else "just now"
