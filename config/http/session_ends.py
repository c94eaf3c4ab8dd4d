"""When a session of the pages expires: some time after the last page, and some hours after signing in."""

from __future__ import annotations

import time

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.http import HttpRequest

_BEGAN, _SEEN = "began_at", "seen_at"
_SEEN_IS_NOTED_EVERY = 60  # seconds: not every page writes


def begin_session(request: HttpRequest) -> None:
    """Record when a person has signed in."""
    request.session[_BEGAN] = request.session[_SEEN] = int(time.time())


def end_stale_session(request: HttpRequest) -> None:
    """End a session that was idle for too long, or began too long ago."""
    session = request.session
    if settings.SESSION_COOKIE_NAME not in request.COOKIES or SESSION_KEY not in session:
        return
    now = int(time.time())
    began, seen = session.get(_BEGAN), session.get(_SEEN)
    if not isinstance(began, int) or not isinstance(seen, int):
        begin_session(request)  # signed in elsewhere than on the form
    elif now - seen >= settings.ADMIN_IDLE_MINUTES * 60 or now - began >= settings.ADMIN_SESSION_HOURS * 3600:
        session.flush()
    elif now - seen >= _SEEN_IS_NOTED_EVERY:
        session[_SEEN] = now
