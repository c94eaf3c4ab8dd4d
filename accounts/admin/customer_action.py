"""Staff actions on customers and their rows."""

from __future__ import annotations

from typing import Any

from accounts.admin.touching import may_touch
from accounts.models import User
from config.backoffice.staff_action import StaffAction, Target


class CustomerAction(StaffAction[Target]):
    """A staff action on a customer or one of the customer's rows; the account decides which staff may do it."""

    @classmethod
    def may_touch(cls, viewer: Any, target: Target) -> bool:
        return may_touch(viewer, target if isinstance(target, User) else target.user)  # type: ignore[attr-defined]
