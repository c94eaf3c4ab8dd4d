"""django-allauth's own admin pages are taken away: they would show secrets, and change second factors silently."""

from __future__ import annotations

from allauth.account import admin as _account_pages  # noqa: F401  importing them registers their pages
from allauth.mfa import admin as _mfa_pages  # noqa: F401
from allauth.socialaccount import admin as _social_pages  # noqa: F401
from allauth.usersessions import admin as _session_pages  # noqa: F401
from django.contrib import admin

without_pages = [model for model in admin.site._registry if model.__module__.startswith("allauth.")]
admin.site.unregister(without_pages)
