"""Every staff action says whether it moves money, rights or limits: then it requires a recent sign-in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from config.backoffice.staff_action import StaffAction

# Staff actions that do not, and why not.
MOVES_NO_MONEY = {
    "AnswerDispute": "only says something; resolving with credits moves them",
    "CloseFinding": "says what was found out; no credits move",
    "DownloadStatement": "only reads",
    "StartRun": "checks, and changes nothing",
    "Freeze": "stops money, and must be quick",
    "IssueKey": "a customer's key only reads",
    "Reject": "posts nothing",
    "RejectDispute": "posts nothing",
    "ResendReceipt": "the same receipt to the same customer",
    "Resend": "the same delivery to the same customer",
    "RevokeKey": "ends access, and must be quick",
    "RevokeKeys": "ends access, and must be quick",
    "SendResetLink": "only the account's owner can use the link",
    "Settle": "asks the provider what is true",
    "SwitchOff": "stops money, and must be quick",
    "VerifyEmail": "gives no rights",
    "Withdraw": "posts nothing",
}


def staff_actions() -> Iterator[type[StaffAction[Any]]]:
    """Return every class of a staff action that is complete: those of the apps, listed on a page or not."""
    left: list[type[StaffAction[Any]]] = [StaffAction]
    while left:
        kind = left.pop()
        left += kind.__subclasses__()
        if not kind.__abstractmethods__ and hasattr(kind, "permission") and kind.__module__.split(".")[0] != "tests":
            yield kind


@pytest.mark.parametrize("action", sorted(set(staff_actions()), key=lambda kind: kind.__name__))
def test_a_staff_action_moves_money_or_says_why_not(action):
    assert action.moves_money is not (action.__name__ in MOVES_NO_MONEY), action
