"""Password sign-in by Django's own forms (the back office), with the same limits as over the API."""

from __future__ import annotations

from typing import Any, cast

from asgiref.sync import sync_to_async
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone

from accounts.errors import HashingBusy, InvalidCredentials, TooManyLoginFailures
from accounts.models import User
from accounts.services.signing_in.passwords import check_credentials
from config.http.client_address import client_address

DEVICE_COOKIE = "tollbook_device"
TOO_MANY = "too_many_login_failures"


def too_many_failures(refusal: TooManyLoginFailures | HashingBusy) -> ValidationError:
    """Return the refusal as a form error; `params` contains the seconds to wait."""
    return ValidationError(str(refusal), code=TOO_MANY, params={"retry_after_seconds": refusal.retry_after_seconds})


class GuardedEmailBackend(ModelBackend):
    """Email and password, counted against the account and the address; permissions are Django's own."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        """Check a form's email and password.

        :raises ValidationError: after too many failures; the form shows it as its own error
        """
        email = username if username is not None else kwargs.get("email")
        if email is None or password is None:
            return None
        address = client_address(request) if request is not None else None
        token = request.COOKIES.get(DEVICE_COOKIE, "") if request is not None else ""
        try:
            return check_credentials(
                email=email, password=password, address=address, now=timezone.now(), device_token=token
            )
        except InvalidCredentials:
            return None
        except (TooManyLoginFailures, HashingBusy) as refusal:
            raise too_many_failures(refusal) from refusal

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        """Return the permissions of a person and of their groups, read in one statement: each page asks for them."""
        if user_obj.is_superuser or not user_obj.is_active or user_obj.is_anonymous or obj is not None:
            return super().get_all_permissions(user_obj, obj)
        if not hasattr(user_obj, "_perm_cache"):
            own = User.user_permissions.through.objects.filter(user_id=user_obj.pk)
            of_groups = Group.permissions.through.objects.filter(group__user=user_obj.pk)
            held = Permission.objects.filter(
                Q(pk__in=own.values("permission_id")) | Q(pk__in=of_groups.values("permission_id"))
            )
            names = held.order_by().values_list("content_type__app_label", "codename")
            user_obj._perm_cache = {f"{app}.{codename}" for app, codename in names}
        return cast(set[str], user_obj._perm_cache)

    async def aauthenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        # ModelBackend's own would check the password without counting.
        return await sync_to_async(self.authenticate)(request, username, password, **kwargs)
