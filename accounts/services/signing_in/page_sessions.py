"""Sessions of the pages: which a person has, and ending them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.db import transaction

MOST_SHOWN = 50
_ROWS_PER_PURGE = 100


@dataclass(frozen=True)
class PageSession:
    """One session that has not ended."""

    id: int
    key: str
    address: str
    browser: str
    began_at: dt.datetime


def sessions_of(user_id: int, *, now: dt.datetime) -> list[PageSession]:
    """Return the newest sessions of a person that are still there; those that idleness ends are found at their next
    page."""
    kept = list(UserSession.objects.filter(user_id=user_id).order_by("-created_at", "-pk")[:MOST_SHOWN])
    there = _there({each.session_key for each in kept}, now)
    return [
        PageSession(each.pk, each.session_key, each.ip, each.user_agent, each.created_at)
        for each in kept
        if each.session_key in there
    ]


@transaction.atomic
def end_sessions(*, user_id: int, session_id: int | None = None, but: str | None = None) -> int:
    """End the sessions of a person: all, one, or all but the one with the key `but`; return how many were there."""
    kept = UserSession.objects.filter(user_id=user_id)
    if session_id is not None:
        kept = kept.filter(pk=session_id)
    if but is not None:
        kept = kept.exclude(session_key=but)
    keys = list(kept.values_list("session_key", flat=True))
    ended, _ = Session.objects.filter(session_key__in=keys).delete()
    kept.filter(session_key__in=keys).delete()
    return ended


@transaction.atomic
def purge_ended_sessions(*, now: dt.datetime) -> None:
    """Delete some sessions that are over, and what was listed about them; never waits for another purge."""
    over = Session.objects.filter(expire_date__lte=now).order_by("expire_date")
    keys = list(over.select_for_update(skip_locked=True).values_list("session_key", flat=True)[:_ROWS_PER_PURGE])
    Session.objects.filter(session_key__in=keys).delete()
    UserSession.objects.filter(session_key__in=keys).delete()


def _there(keys: Iterable[str], now: dt.datetime) -> set[str]:
    live = Session.objects.filter(session_key__in=list(keys), expire_date__gt=now)
    return set(live.values_list("session_key", flat=True))
