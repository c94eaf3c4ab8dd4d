"""Usage in the Account API, and the summaries that join credits, plan and usage."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from functools import cached_property
from typing import Any

from rest_framework import serializers

from accounts.models import BillingInterval, Subscription, SubscriptionStatus, User
from config.http.declared import Answer
from config.http.fields import CreditsField, InstantField, PercentageField
from config.values.credits import percentage
from ledger.serializers.account import CreditBalanceSerializer
from usage.models import Outcome, RequestLog
from usage.selectors import LifetimeTotals, Overview, Usage
from usage.windows import PERIODS


@dataclass(frozen=True)
class UsageStats:
    """One customer's usage in a resolved window, as asked for."""

    user_id: int
    period: str
    usage: Usage
    period_start: dt.datetime
    period_end: dt.datetime


class UsageStatsSerializer(serializers.Serializer[UsageStats]):
    """Requests and credits in a window. Requests refused before any work (401, 402, 429) are not among them."""

    user_id = serializers.IntegerField()
    period = serializers.ChoiceField(choices=PERIODS)
    total_requests = serializers.IntegerField(source="usage.total")
    successful_requests = serializers.IntegerField(source="usage.successful", help_text="Status below 400.")
    failed_requests = serializers.IntegerField(source="usage.failed", help_text="Status 400 and above.")
    credits_consumed = CreditsField(source="usage.credits", help_text="Credits those requests cost, less refunds.")
    requests_by_endpoint = serializers.DictField(
        source="usage.by_endpoint", child=serializers.IntegerField(), help_text="Endpoint code → requests."
    )
    period_start = InstantField()
    period_end = InstantField()


USAGE = Answer(UsageStatsSerializer)


class PlanSerializer(serializers.Serializer[Any]):
    """A plan, by the names that programs and people use."""

    code = serializers.CharField()
    name = serializers.CharField()


class SubscriptionSerializer(serializers.Serializer[Subscription]):
    """The running subscription."""

    id = serializers.IntegerField()
    plan = PlanSerializer()
    status = serializers.ChoiceField(choices=SubscriptionStatus.choices)
    billing_interval = serializers.ChoiceField(choices=BillingInterval.choices)
    credits_per_period = CreditsField()
    current_period_start = InstantField()
    current_period_end = InstantField()
    next_grant_at = InstantField(allow_null=True)
    cancel_at_period_end = serializers.BooleanField()
    started_at = InstantField()
    canceled_at = InstantField(allow_null=True)


@dataclass(frozen=True)
class AccountSummary:
    """A customer with their credits and totals at one time, and their usage of the running month."""

    user: User
    overview: Overview
    usage_this_month: UsageStats

    @property
    def subscription(self) -> Subscription | None:
        return self.overview.subscription


class AccountSummarySerializer(serializers.Serializer[AccountSummary]):
    """The whole account on one page, read at one time."""

    user_id = serializers.IntegerField(source="user.pk")
    email = serializers.EmailField(source="user.email")
    credit_balance = CreditBalanceSerializer(source="overview.life.credits")
    subscription = SubscriptionSerializer(allow_null=True)
    usage_this_month = UsageStatsSerializer()
    total_requests_all_time = serializers.IntegerField(source="overview.life.total_requests")
    account_created_at = InstantField(source="user.created_at")
    last_login_at = InstantField(allow_null=True, source="user.last_login")


SUMMARY = Answer(AccountSummarySerializer)


@dataclass(frozen=True)
class KeySummary:
    """An account in whole credits: remaining is what can really be spent, and whatever is not remaining is used."""

    user: User
    life: LifetimeTotals

    @cached_property
    def credits_remaining(self) -> int:
        return max(_whole(self.life.credits.available), 0)

    @cached_property
    def total_credits(self) -> int:
        return max(_whole(self.life.credits.granted_total), self.credits_remaining)

    @property
    def credits_used(self) -> int:
        return self.total_credits - self.credits_remaining

    @property
    def credits_percentage(self) -> Decimal:
        return percentage(self.credits_used, self.total_credits)


def _whole(credits: Decimal) -> int:
    return int(credits.to_integral_value(ROUND_FLOOR))


class RequestTotalsSerializer(serializers.Serializer[LifetimeTotals]):
    """All requests of the account's life."""

    total_requests = serializers.IntegerField()
    successful_requests = serializers.IntegerField()
    failed_requests = serializers.IntegerField()
    success_rate = PercentageField(help_text="Successful of total, in percent.")


class KeySummarySerializer(serializers.Serializer[KeySummary]):
    """The account as a program sees it, in whole credits."""

    email = serializers.EmailField(source="user.email")
    full_name = serializers.CharField(source="user.full_name")
    total_credits = serializers.IntegerField(help_text="All credits ever granted, bought or adjusted.")
    credits_used = serializers.IntegerField(help_text="Total less remaining; held credits count as used.")
    credits_remaining = serializers.IntegerField(help_text="What can be spent now.")
    credits_percentage = PercentageField(help_text="Used of total, in percent.")
    summary = RequestTotalsSerializer(source="life")


KEY_SUMMARY = Answer(KeySummarySerializer)


class RequestSerializer(serializers.Serializer[RequestLog]):
    """One request, as `usage.request_pages` returns it."""

    id = serializers.IntegerField(help_text="Names the request, and its charge, for ever.")
    request_id = serializers.UUIDField(
        allow_null=True, help_text="The id that was returned to the gateway; null for imports."
    )
    occurred_at = InstantField()
    endpoint = serializers.CharField(help_text="The endpoint under which the request is counted.")
    path = serializers.CharField(help_text="The endpoint that was reported, in its normal spelling.")
    method = serializers.CharField(help_text="May be empty.")
    status = serializers.IntegerField(help_text="HTTP status.")
    outcome = serializers.ChoiceField(
        choices=Outcome.choices, help_text="rejected: refused before any work, with 401, 402 or 429."
    )
    units = CreditsField(help_text="How much was asked for, in units of price.")
    credits = CreditsField(help_text="Credits charged; 0: free or unpaid.")
    unpaid = serializers.BooleanField(help_text="It had a price that could not be paid.")
    latency_ms = serializers.IntegerField(allow_null=True)
    api_key = serializers.CharField(
        source="api_key_prefix", allow_null=True, help_text="Prefix of the key it came with, when known."
    )
    reference = serializers.CharField(allow_null=True, help_text="The gateway's own name for the request.")
    entry_id = serializers.IntegerField(allow_null=True, help_text="The ledger entry that paid for it.")
    metadata = serializers.DictField(help_text="Additional data.")
