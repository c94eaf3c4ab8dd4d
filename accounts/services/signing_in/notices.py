"""Notify people about guesses at their password or second factor, once a day and never within a sign-in.

A sign-in takes the same time for an account that exists and one that does not, so nothing is written there.
"""

from __future__ import annotations

import datetime as dt

from django.conf import settings
from django.db.models import Count, QuerySet
from django.db.models.functions import Lower

from accounts.models import LoginAttempt, User
from accounts.services.notices import notify_customer
from accounts.services.signing_in.login_guard import SECOND_FACTOR
from config.rounds import Round
from config.values.timestamps import instant_text

FAILURES = "account.sign_in_failures"
_GUESSED_AT_SIGN_IN = (
    "Somebody tried to sign in to your account with a wrong password {failures} times within 15 minutes.\n\n"
    "Those attempts failed. If it was you, wait a little and try again. If not, there is nothing to do as long as\n"
    "your password is a good one that you use nowhere else."
)
_GUESSED_CODES = (
    "Somebody tried to sign in to your account with its password and a wrong code of the second factor {failures}\n"
    "times within 15 minutes.\n\n"
    "Those attempts failed. If it was you, wait a little and try again. If not, somebody knows your password: change\n"
    "it now."
)


def notify_failed_sign_ins(customers: Round, *, now: dt.datetime) -> int:
    """Notify the owners of accounts that ran out of guesses in the last LOGIN_WINDOW; return how many are new."""
    of_late = LoginAttempt.objects.filter(attempted_at__gt=now - settings.LOGIN_WINDOW)
    codes = of_late.filter(device=SECOND_FACTOR)
    told = _notify(customers, of_late.exclude(device=SECOND_FACTOR), "", _GUESSED_AT_SIGN_IN, now)
    return told + _notify(customers, codes, " second factor", _GUESSED_CODES, now)


def _notify(customers: Round, attempts: QuerySet[LoginAttempt], kind: str, said: str, now: dt.datetime) -> int:
    counted = attempts.values("account").annotate(failures=Count("pk"))
    many = dict(
        counted.filter(failures__gte=settings.LOGIN_FAILURES_PER_ACCOUNT).values_list("account", "failures").order_by()
    )
    people = User.objects.with_emails(many).filter(is_active=True).annotate(account=Lower("email"))
    told = 0
    for user_id, account in people.values_list("pk", "account"):
        with customers.turn(user_id):
            told += _tell(user_id, f"{now:%Y-%m-%d}{kind}", many[account], said, now)
    return told


def _tell(user_id: int, key: str, failures: int, said: str, now: dt.datetime) -> bool:
    return notify_customer(
        user_id=user_id,
        type=FAILURES,
        key=key,
        data={"failures": failures, "until": instant_text(now)},
        subject="Failed sign-ins to your account",
        body=f"{said.format(failures=failures)} You are told this at most once a day.\n",
        now=now,
    )
