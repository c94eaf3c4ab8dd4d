"""Second factors used by many at once: a code once, guesses within their limit."""

from __future__ import annotations

import pytest
from allauth.mfa.models import Authenticator
from django.utils import timezone

from accounts.errors import NoSecondFactor, TooManyLoginFailures, WrongSecondFactor
from accounts.models import Notice
from accounts.services.signing_in.second_factors import reset_second_factors, use_code
from tests.accounts.races import at_once
from tests.accounts.second_factors import app_of, code_of, recovery_codes_of
from tests.factories import StaffFactory

pytestmark = pytest.mark.django_db(transaction=True)
CALLERS = 10  # as many as may try at once


@pytest.fixture
def staff():
    return StaffFactory()


def uses(staff, code, callers=CALLERS):
    return at_once(callers, lambda: use_code(user=staff, code=code, now=timezone.now()))


def test_one_of_many_uses_a_code(staff):
    app = app_of(staff)

    outcomes = uses(staff, code_of(app))

    assert sum(isinstance(outcome, Authenticator) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, WrongSecondFactor) for outcome in outcomes) == CALLERS - 1


def test_one_of_many_uses_a_recovery_code_and_its_owner_is_told_once(staff):
    app_of(staff)
    code = recovery_codes_of(staff)[0]

    outcomes = uses(staff, code)

    assert sum(isinstance(outcome, Authenticator) for outcome in outcomes) == 1
    assert Notice.objects.filter(type="account.recovery_code_used").count() == 1
    assert len(recovery_codes_of(staff)) == 9


def test_guesses_of_many_at_once_are_ten_at_most(staff):
    app_of(staff)

    outcomes = uses(staff, "000000", callers=16)

    assert sum(isinstance(outcome, WrongSecondFactor) for outcome in outcomes) == 10
    assert sum(isinstance(outcome, TooManyLoginFailures) for outcome in outcomes) == 6


def test_one_of_many_resets_a_second_factor_and_its_owner_is_told_once(staff):
    app_of(staff)

    outcomes = at_once(16, lambda: reset_second_factors(user_id=staff.pk, now=timezone.now()))

    assert sum(outcome == 1 for outcome in outcomes) == 1
    assert sum(isinstance(outcome, NoSecondFactor) for outcome in outcomes) == 15
    assert Notice.objects.filter(type="account.second_factor_changed").count() == 1
