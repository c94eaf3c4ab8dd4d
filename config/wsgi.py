"""The WSGI entry point; production unless the environment says otherwise."""

import os

from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("TOLLBOOK_ENV", "production")

try:
    application = get_wsgi_application()
except ImproperlyConfigured as refusal:
    raise SystemExit(f"Tollbook cannot start: {refusal}") from None
