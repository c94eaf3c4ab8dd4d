"""Passwords: checking one at a price, and setting a new one."""

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
LONGEST_PASSWORD = 4096  # what is looked at: somebody may have set a long one elsewhere
_NO_PASSWORD = hashers.UNUSABLE_PASSWORD_PREFIX


def check_credentials(
    *, email: str, password: str, address: str | None, now: dt.datetime, device_token: str = ""
) -> User:
    """Find the active person with this email and password.

    Takes the same time whether the email is unknown, the password wrong or the person inactive. `device_token` is what
    a browser kept of an earlier sign-in, if anything (`accounts.services.signing_in.devices`).

    :raises InvalidCredentials: if there is none
    :raises TooManyLoginFailures: if too many failed of late; then no password is looked at
    :raises HashingBusy: if too many are being looked at; the attempt is not counted
    """
    user = User.objects.with_email(email).first() if "\0" not in email else None
    attempt = reserve_attempt(email=email, address=address, now=now, device=device_of(device_token, user))
    purge_old_attempts(now=now)
    if not _looked_at(attempt, user, password) or user is None:  # in this order: the hasher runs for nobody, too
        raise InvalidCredentials
    forgive_attempts(attempt)
    remember_place(user_id=user.pk, address=address, now=now)
    return user


def change_password(
    *, user: User, current: str, new: str, address: str | None, now: dt.datetime, revoke_keys: bool = False
) -> None:
    """Replace the password of a person who knows the current one; every token dies, and every API key if so asked.

    Guesses at the current one count as failed sign-ins of the account.

    :raises TooManyLoginFailures: if too many failed of late
    :raises WrongCurrentPassword: if `current` is another, or was replaced meanwhile
    :raises PasswordTooWeak: if the validators refuse `new`
    """
    prove_password(user=user, current=current, address=address, now=now)
    refuse_weak_password(new, user=user, field="new_password")
    # Of two changes at once, the second no longer knows the current password.
    if not store_password(user=user, encoded=hashers.make_password(new), now=now, revoke_keys=revoke_keys):
        raise WrongCurrentPassword


def prove_password(*, user: User, current: str, address: str | None, now: dt.datetime) -> None:
    """Look at one guess of a person who has signed in at their own password; it counts as a sign-in.

    :raises TooManyLoginFailures: if too many failed of late
    :raises WrongCurrentPassword: if it is another one
    """
    attempt = reserve_attempt(email=user.email, address=address, now=now)
    if not _looked_at(attempt, user, current):
        raise WrongCurrentPassword
    forgive_attempts(attempt)


def _looked_at(attempt: LoginAttempt, user: User | None, password: str) -> bool:
    """Look at a password for the place that was taken; where there was no look at all, the place is given back."""
    try:
        return password_fits(user, password)
    except HashingBusy:
        attempt.delete()
        raise


@transaction.atomic
def store_password(
    *, user: User, encoded: str, now: dt.datetime, revoke_keys: bool = False, is_by_staff: bool = False
) -> bool:
    """Put a password hash in the place of the one that `user` was read with; answers whether that was still there.

    Every token and sign-in dies, every API key if so asked; no address is known any more; the person is told.
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
    """Ask Django's validators about a new password of this person.

    :raises PasswordTooWeak: with their sentences, under the name of the field it came in
    """
    try:
        validate_password(password, user=user)
    except ValidationError as refusal:
        raise PasswordTooWeak(field, refusal.messages) from None


def password_fits(user: User | None, password: str) -> bool:
    """Run the hasher once, whoever is asked about, and say whether an active person has this password."""
    encoded = user.password if user is not None and user.is_active else _NO_PASSWORD
    if len(password) > LONGEST_PASSWORD:
        password, encoded = "", _NO_PASSWORD

    def upgrade(raw: str) -> None:
        """Store the hash anew with today's cost, unless the password was changed while it was checked."""
        assert user is not None  # noqa: S101  # Django calls this for a password that fits
        renewed = hashers.make_password(raw)
        if User.objects.filter(pk=user.pk, password=user.password).update(password=renewed):
            user.password = renewed

    return hashers.check_password(password, encoded, setter=upgrade)
