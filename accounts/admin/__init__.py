"""Pages about plans, roles, notices and webhooks.

The pages of people and keys need other apps too: see usage/admin/customer/admin.py and api_keys.py.
"""

from accounts.admin.allauth_pages import without_pages
from accounts.admin.finders import FINDERS
from accounts.admin.notices import NoticeAdmin
from accounts.admin.people.own_password import own_password
from accounts.admin.people.roles import RoleAdmin
from accounts.admin.people.second_factor import ResetSecondFactor
from accounts.admin.people.signing_in import sign_in
from accounts.admin.plans import PlanAdmin
from accounts.admin.to_do import TO_DOS
from accounts.admin.webhooks.webhooks import WebhookDeliveryAdmin, WebhookEndpointAdmin

__all__ = [
    "FINDERS",
    "TO_DOS",
    "NoticeAdmin",
    "PlanAdmin",
    "ResetSecondFactor",
    "RoleAdmin",
    "WebhookDeliveryAdmin",
    "WebhookEndpointAdmin",
    "own_password",
    "sign_in",
    "without_pages",
]
