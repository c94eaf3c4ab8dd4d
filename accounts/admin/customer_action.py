"""Staff actions on customers, and on what is theirs."""

from __future__ import annotations

from typing import Any

from accounts.admin.touching import may_touch
from accounts.models import User
from config.backoffice.staff_action import StaffAction, Target


class CustomerAction(StaffAction[Target]):
    """A staff action on a customer or on a row of theirs: whose account it is decides who may do it."""

    @classmethod
    def may_touch(cls, viewer: Any, target: Target) -> bool:
        return may_touch(viewer, target if isinstance(target, User) else target.user)  # type: ignore[attr-defined]
