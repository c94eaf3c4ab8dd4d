"""The least that Django can serve: one view, no middleware. What all our layers cost is measured against it."""

from __future__ import annotations

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path


def empty(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"{}", content_type="application/json", headers={"Content-Length": "2"})


urlpatterns = [path("empty", empty)]

os.environ.pop("DJANGO_SETTINGS_MODULE", None)
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], MIDDLEWARE=[], SECRET_KEY="bench", INSTALLED_APPS=[])
application = get_wsgi_application()
