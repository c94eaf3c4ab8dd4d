"""Staff actions on customers and their rows."""

from __future__ import annotations

from typing import Any

from accounts.admin.access import may_act_on
from accounts.models import User
from config.backoffice.staff_action import StaffAction, Target


class CustomerAction(StaffAction[Target]):
    """A staff action on a customer or one of the customer's rows; the account decides which staff may do it."""

    @classmethod
    def may_act_on(cls, viewer: Any, target: Target) -> bool:
        return may_act_on(viewer, target if isinstance(target, User) else target.user)  # type: ignore[attr-defined]
