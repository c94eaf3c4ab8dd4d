"""The step of a sign-in that asks for the second factor."""

from __future__ import annotations

from typing import Any

from allauth.account.authentication import get_authentication_records
from allauth.mfa.stages import AuthenticateStage
from django.http import HttpRequest

from config.http.sign_in_records import SECOND_FACTOR


class SecondFactorStage(AuthenticateStage):
    """Ask whoever has a second factor for it, unless the issuer of single sign-on has done so."""

    def _should_handle(self, request: HttpRequest) -> bool:
        user: Any = self.login.user
        steps = get_authentication_records(request, user)
        if any(step["method"] == SECOND_FACTOR for step in steps):
            return False
        return bool(super()._should_handle(request))
