"""The empty view as a site of its own, without middleware. The cost of our layers is measured against it."""

from __future__ import annotations

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.pop("DJANGO_SETTINGS_MODULE", None)
settings.configure(
    ROOT_URLCONF="tests.bench.empty_view", ALLOWED_HOSTS=["*"], MIDDLEWARE=[], SECRET_KEY="bench", INSTALLED_APPS=[]
)
application = get_wsgi_application()
