"""PageLayersMiddleware runs session, form, user and message middleware for pages only, not for API calls."""

from __future__ import annotations

import pytest
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpResponse
from django.test import RequestFactory

from config.http.pages import PageLayersMiddleware


def led(path: str) -> set[str]:
    """Send a call to `path` and return what the view finds on its request."""
    found: set[str] = set()

    def view(request):
        found.update(name for name in ("session", "user", "_messages", "allauth") if hasattr(request, name))
        return HttpResponse()

    assert PageLayersMiddleware(view)(RequestFactory().get(path)).status_code == 200
    return found


def test_a_page_finds_its_session_its_person_and_its_messages():
    assert led("/admin/login/") == {"session", "user", "_messages", "allauth"}


@pytest.mark.parametrize("path", ["/v2/charges", "/auth/login", "/no/such/path"])
def test_an_api_call_skips_every_page_layer(path):
    assert led(path) == set()


def test_an_error_inside_a_layer_is_a_response_for_the_outer_ones(monkeypatch):
    answered = []
    monkeypatch.setattr("config.http.pages.end_stale_session", lambda request: 1 / 0)
    finish = SessionMiddleware.process_response
    monkeypatch.setattr(
        SessionMiddleware,
        "process_response",
        lambda self, request, answer: answered.append(answer.status_code) or finish(self, request, answer),
    )

    answer = PageLayersMiddleware(lambda request: HttpResponse())(RequestFactory().get("/admin/"))

    assert (answer.status_code, answered) == (500, [500])
