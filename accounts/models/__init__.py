"""People, API keys, plans and subscriptions, notices, and webhooks."""

from accounts.models.api_key import ApiKey, KeyStatus, Scope
from accounts.models.limits import LARGEST_SPENDING_LIMIT, MOST_CALLS_PER_MINUTE
from accounts.models.login_attempt import LoginAttempt, SignInPlace
from accounts.models.notice import NOTICE_TYPES, STAFF_NOTICE_TYPES, Notice
from accounts.models.plan import BillingInterval, Plan, Subscription, SubscriptionStatus
from accounts.models.refresh_token import SpentRefreshToken, TokenFamily
from accounts.models.user import User
from accounts.models.webhook import LONGEST_URL as LONGEST_WEBHOOK_URL
from accounts.models.webhook import DeliveryState, DisabledReason, WebhookAttempt, WebhookDelivery, WebhookEndpoint

__all__ = [
    "LARGEST_SPENDING_LIMIT",
    "LONGEST_WEBHOOK_URL",
    "MOST_CALLS_PER_MINUTE",
    "NOTICE_TYPES",
    "STAFF_NOTICE_TYPES",
    "ApiKey",
    "BillingInterval",
    "DeliveryState",
    "DisabledReason",
    "KeyStatus",
    "LoginAttempt",
    "Notice",
    "Plan",
    "Scope",
    "SignInPlace",
    "SpentRefreshToken",
    "Subscription",
    "SubscriptionStatus",
    "TokenFamily",
    "User",
    "WebhookAttempt",
    "WebhookDelivery",
    "WebhookEndpoint",
]
