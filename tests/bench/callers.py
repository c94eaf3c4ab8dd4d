"""Credentials of a benchmark's accounts: tokens and keys."""

from __future__ import annotations

from django.contrib.auth.hashers import make_password
from django.utils import timezone

from accounts.models import Scope, User
from accounts.services.keys.api_keys import issue_api_key, issue_service_key
from accounts.services.signing_in.sessions import sign_in

PASSWORD = "a long phrase of the bench"


def token_of(user_id: int) -> str:
    """Sign an account in, and return its access token."""
    User.objects.filter(pk=user_id).update(password=make_password(PASSWORD))
    user = User.objects.get(pk=user_id)
    return sign_in(email=user.email, password=PASSWORD, address=None, now=timezone.now()).access


def key_of(user_id: int) -> str:
    """Return a new key of an account."""
    user = User.objects.get(pk=user_id)
    return issue_api_key(user=user, name="bench", scopes=[Scope.ACCOUNT_READ], now=timezone.now()).raw


def service_key() -> str:
    """Return a new service key."""
    return issue_service_key(name="bench", scopes=[Scope.METERING], now=timezone.now()).raw
