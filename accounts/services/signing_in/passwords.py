"""Passwords: check one within the limits on guessing, and set a new one."""

from __future__ import annotations

import datetime as dt

from django.contrib.auth import hashers
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.errors import HashingBusy, InvalidCredentials, PasswordTooWeak, WrongCurrentPassword
from accounts.models import ApiKey, LoginAttempt, TokenFamily, User
from accounts.services.account_notices import notify_password_changed
from accounts.services.signing_in.devices import device_of
from accounts.services.signing_in.login_guard import (
    forget_places,
    forgive_attempts,
    purge_old_attempts,
    remember_place,
    reserve_attempt,
)

LONGEST_NEW_PASSWORD = 128
LONGEST_PASSWORD = 4096  # the longest that is checked: longer than a new one may be, for passwords set elsewhere
_NO_PASSWORD = hashers.UNUSABLE_PASSWORD_PREFIX


def check_credentials(
    *, email: str, password: str, address: str | None, now: dt.datetime, device_token: str = ""
) -> User:
    """Return the active person with this email and password.

    Takes the same time whether the email is unknown, the password wrong or the person inactive. `device_token` is what
    a browser kept of an earlier sign-in, if anything (`accounts.services.signing_in.devices`).

    :raises InvalidCredentials: if there is none
    :raises TooManyLoginFailures: if too many failed lately; then the password is not checked
    :raises HashingBusy: if too many are being hashed; the attempt is not counted
    """
    user = User.objects.with_email(email).first() if "\0" not in email else None
    attempt = reserve_attempt(email=email, address=address, now=now, device=device_of(device_token, user))
    purge_old_attempts(now=now)
    if not _is_right(attempt, user, password) or user is None:  # in this order: unknown emails run the hasher, too
        raise InvalidCredentials
    forgive_attempts(attempt)
    remember_place(user_id=user.pk, address=address, now=now)
    return user


def change_password(
    *, user: User, current: str, new: str, address: str | None, now: dt.datetime, revoke_keys: bool = False
) -> None:
    """Replace the password of a person who knows the current one; revoke every token, and every API key if asked.

    Guesses at the current one count as failed sign-ins of the account.

    :raises TooManyLoginFailures: if too many failed lately
    :raises WrongCurrentPassword: if `current` is wrong, or was replaced concurrently
    :raises PasswordTooWeak: if the validators refuse `new`
    """
    verify_current_password(user=user, current=current, address=address, now=now)
    refuse_weak_password(new, user=user, field="new_password")
    # Of two concurrent changes, the second has the wrong current password.
    if not store_password(user=user, encoded=hashers.make_password(new), now=now, revoke_keys=revoke_keys):
        raise WrongCurrentPassword


def verify_current_password(*, user: User, current: str, address: str | None, now: dt.datetime) -> None:
    """Check the current password of a person who has signed in; a failure counts as a failed sign-in.

    :raises TooManyLoginFailures: if too many failed lately
    :raises WrongCurrentPassword: if it is wrong
    """
    attempt = reserve_attempt(email=user.email, address=address, now=now)
    if not _is_right(attempt, user, current):
        raise WrongCurrentPassword
    forgive_attempts(attempt)


def _is_right(attempt: LoginAttempt, user: User | None, password: str) -> bool:
    """Check a password for the place that was taken; return the place if the check could not run."""
    try:
        return password_matches(user, password)
    except HashingBusy:
        attempt.delete()
        raise


@transaction.atomic
def store_password(
    *, user: User, encoded: str, now: dt.datetime, revoke_keys: bool = False, is_by_staff: bool = False
) -> bool:
    """Replace the password hash that `user` was read with; return False if it had changed.

    Revoke every token and session, and every API key if asked; delete the known addresses; notify the person.
    """
    if not User.objects.filter(pk=user.pk, password=user.password).update(password=encoded):
        return False
    TokenFamily.objects.filter(user_id=user.pk, revoked_at=None).update(revoked_at=now)
    forget_places(user_id=user.pk)
    keys = ApiKey.objects.of(user.pk).filter(revoked_at=None) if revoke_keys else ApiKey.objects.none()
    revoked = keys.update(revoked_at=now)
    notify_password_changed(user_id=user.pk, revoked_keys=revoked, is_by_staff=is_by_staff, now=now)
    user.password = encoded
    return True


def refuse_weak_password(password: str, *, user: User, field: str) -> None:
    """Check a new password of this person by Django's validators.

    :raises PasswordTooWeak: with their sentences, for the field that it came in
    """
    try:
        validate_password(password, user=user)
    except ValidationError as refusal:
        raise PasswordTooWeak(field, refusal.messages) from None


def password_matches(user: User | None, password: str) -> bool:
    """Run the hasher once for any user, also None, and return whether an active person has this password."""
    encoded = user.password if user is not None and user.is_active else _NO_PASSWORD
    if len(password) > LONGEST_PASSWORD:
        password, encoded = "", _NO_PASSWORD

    def rehash(raw: str) -> None:
        """Rehash the password with today's cost, unless it was changed during the check."""
        assert user is not None  # noqa: S101  # Django calls this for a password that fits
        renewed = hashers.make_password(raw)
        if User.objects.filter(pk=user.pk, password=user.password).update(password=renewed):
            user.password = renewed

    return hashers.check_password(password, encoded, setter=rehash)
