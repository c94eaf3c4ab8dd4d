"""Pages about plans and roles. Those of people and of keys join more apps: usage/admin/customers.py and api_keys.py."""

from accounts.admin.plans import PlanAdmin, SubscriptionAdmin
from accounts.admin.roles import RoleAdmin

__all__ = ["PlanAdmin", "RoleAdmin", "SubscriptionAdmin"]
