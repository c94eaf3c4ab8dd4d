"""The step of a sign-in that asks for the second factor."""

from __future__ import annotations

from typing import Any, cast

from allauth.account.authentication import get_authentication_records
from allauth.mfa.stages import AuthenticateStage
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare

from accounts.models import User
from accounts.tokens import fingerprint_of
from config.http.sign_in_records import SECOND_FACTOR

_FINGERPRINT = "password"  # of the stored hash: nothing secret stands in the session


class SecondFactorStage(AuthenticateStage):
    """Ask whoever has a second factor for it, unless the issuer of single sign-on has done so.

    A new password, or a deactivation, between the first step and this one ends the sign-in.
    """

    def handle(self) -> tuple[Any, bool]:
        answer, goes_on = super().handle()
        if answer is not None:
            self.state[_FINGERPRINT] = self._fingerprint()
        return answer, goes_on

    def exit(self) -> Any:
        user: Any = self.login.user
        kept = str(self.state.get(_FINGERPRINT))
        if not user.is_active or not constant_time_compare(kept, self._fingerprint()):
            return self.abort()
        return super().exit()

    def _fingerprint(self) -> str:
        return fingerprint_of(cast(User, self.login.user))

    def _should_handle(self, request: HttpRequest) -> bool:
        user: Any = self.login.user
        steps = get_authentication_records(request, user)
        if any(step["method"] == SECOND_FACTOR for step in steps):
            return False
        return bool(super()._should_handle(request))
