"""Signing in by pages, with django-allauth: what its hooks do here, second factors, single sign-on.

Staff use it today; the customers' portal uses the same (docs/decisions/0050).
"""
