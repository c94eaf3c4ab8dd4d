"""django-allauth's app of accounts, whose middleware is one of the layers of pages."""

from __future__ import annotations

from importlib import import_module

from allauth.account.apps import AccountConfig


class PagesAccountConfig(AccountConfig):
    """The same app, without its own check that its middleware stands in MIDDLEWARE: config/http/pages.py runs it."""

    def ready(self) -> None:
        import_module("allauth.account.checks")
