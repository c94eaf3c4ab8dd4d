"""Pages about plans, roles, notices and webhooks.

Those of people and of keys join more apps: usage/admin/customers.py and api_keys.py.
"""

from accounts.admin.notices import NoticeAdmin
from accounts.admin.own_password import own_password
from accounts.admin.plans import PlanAdmin
from accounts.admin.roles import RoleAdmin
from accounts.admin.signing_in import sign_in_answer
from accounts.admin.webhooks import WebhookDeliveryAdmin, WebhookEndpointAdmin

__all__ = [
    "NoticeAdmin",
    "PlanAdmin",
    "RoleAdmin",
    "WebhookDeliveryAdmin",
    "WebhookEndpointAdmin",
    "own_password",
    "sign_in_answer",
]
