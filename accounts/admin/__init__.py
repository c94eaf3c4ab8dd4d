"""Pages about people's keys, plans and roles. The page of a person joins all apps: usage/admin/customers.py."""

from accounts.admin.api_keys import ApiKeyAdmin
from accounts.admin.plans import PlanAdmin, SubscriptionAdmin
from accounts.admin.roles import RoleAdmin

__all__ = ["ApiKeyAdmin", "PlanAdmin", "RoleAdmin", "SubscriptionAdmin"]
