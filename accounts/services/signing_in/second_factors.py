"""Second factors: codes that work once, how often they may be guessed, and a colleague's lost ones.

django-allauth keeps them (allauth.mfa.models.Authenticator); what is decided about them is decided here.
"""

from __future__ import annotations

import datetime as dt
import logging

from allauth.core.internal.cryptokit import compare_user_code
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time
from allauth.mfa.utils import decrypt
from django.db import transaction

from accounts.errors import NoSecondFactor, WrongSecondFactor
from accounts.models import User
from accounts.services.account_notices import notify_recovery_code_used, notify_second_factor_changed
from accounts.services.signing_in.login_guard import SECOND_FACTOR, forgive_attempts, reserve_attempt
from accounts.services.signing_in.page_sessions import end_sessions

Type = Authenticator.Type
_LAST_STEP = "last_step"

logger = logging.getLogger(__name__)


def has_second_factor(user: User) -> bool:
    """Return whether the person has one; recovery codes alone are none."""
    return bool(Authenticator.objects.filter(user_id=user.pk).exclude(type=Type.RECOVERY_CODES).exists())


def second_factors_in_words(user: User) -> str:
    """Return which a person has, such as `Authenticator app, 2 passkeys, recovery codes`; `None` if there is none."""
    kinds = list(Authenticator.objects.filter(user_id=user.pk).values_list("type", flat=True))
    passkeys = kinds.count(Type.WEBAUTHN)
    said = ["authenticator app"] if Type.TOTP in kinds else []
    said += [f"{passkeys} passkey{'' if passkeys == 1 else 's'}"] if passkeys else []
    said += ["recovery codes"] if Type.RECOVERY_CODES in kinds else []
    return ", ".join(said).capitalize() or "None"


def is_last_factor(authenticator: Authenticator) -> bool:
    """Return whether its owner has no other; recovery codes do not count."""
    others = Authenticator.objects.filter(user_id=authenticator.user_id).exclude(type=Type.RECOVERY_CODES)
    return not others.exclude(pk=authenticator.pk).exists()


def use_code(*, user: User, code: str, now: dt.datetime) -> Authenticator:
    """Use up a code of the person's authenticator app, or a recovery code; return which of the two it is of.

    Guesses count by person alone, wherever they come from: who guesses here knows the password already. A right
    password does not clear them, a right code does.

    :raises TooManyLoginFailures: if too many were wrong lately; then the code is not looked at
    :raises WrongSecondFactor: if it is none, or was used before
    """
    attempt = reserve_attempt(email=user.email, address=None, device=SECOND_FACTOR, now=now)
    authenticator = _use(user, code, now)
    if authenticator is None:
        logger.warning("A wrong code of a second factor for account %s.", user.pk)
        raise WrongSecondFactor
    forgive_attempts(attempt)
    return authenticator


@transaction.atomic
def reset_second_factors(*, user_id: int, now: dt.datetime) -> int:
    """Remove all second factors of a person who has lost them, end all sessions, and tell the person.

    Returns how many there were, recovery codes included.

    :raises NoSecondFactor: if there is none; nothing is changed
    """
    person = User.objects.select_for_update(no_key=True).get(pk=user_id)
    removed, _ = Authenticator.objects.filter(user_id=user_id).delete()
    if not removed:
        raise NoSecondFactor
    end_sessions(user_id=user_id)
    notify_second_factor_changed(user_id=person.pk, what="reset", now=now, is_by_staff=True)
    return int(removed)


@transaction.atomic
def _use(user: User, code: str, now: dt.datetime) -> Authenticator | None:
    kept = Authenticator.objects.select_for_update(no_key=True).filter(user_id=user.pk).order_by("pk")
    for authenticator in kept.exclude(type=Type.WEBAUTHN):
        if authenticator.type == Type.TOTP and _use_step(authenticator, code):
            return authenticator
        if authenticator.type == Type.RECOVERY_CODES and authenticator.wrap().validate_code(code):
            left = len(Authenticator.objects.get(pk=authenticator.pk).wrap().get_unused_codes())
            notify_recovery_code_used(user_id=user.pk, left=left, now=now)
            return authenticator
    return None


def _use_step(authenticator: Authenticator, code: str) -> bool:
    """Return whether it is the code of a step that is later than the last one used; that one is used then.

    RFC 6238, 5.2: a code is accepted once. Every process sees the row, unlike a cache.
    """
    secret = decrypt(authenticator.data["secret"])
    for step in yield_hotp_counters_from_time():
        if step > authenticator.data.get(_LAST_STEP, 0) and compare_user_code(
            actual=code, expected=format_hotp_value(hotp_value(secret, step))
        ):
            authenticator.data[_LAST_STEP] = step
            authenticator.save(update_fields=["data"])
            return True
    return False
