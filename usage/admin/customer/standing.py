"""How a customer stands: their state in a few words, their credits, and what is agreed with them in a sentence each."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.conf import settings

from accounts.models import ApiKey, Subscription, User
from config.backoffice.credits import shown
from config.backoffice.links import list_url, page_url
from config.backoffice.times import shown_at
from config.values.money import shown_money
from ledger.models import AutoReload
from ledger.selectors import CreditBalance, SpendingTerms
from usage.services.forecasts.selectors import Forecast

GOOD, WARNING, BAD, QUIET = "good", "warning", "bad", "quiet"  # what a badge means, as its CSS class


@dataclass(frozen=True)
class Badge:
    """A state in one or two words, with its reason."""

    text: str
    kind: str
    why: str = ""


@dataclass(frozen=True)
class Figure:
    """A number of credits or days, with a note below it."""

    name: str
    value: str
    unit: str = ""
    note: str = ""
    needs_care: bool = False


@dataclass(frozen=True)
class Sentence:
    """What is agreed with a customer, in one sentence; `url` leads to the page that says more."""

    about: str
    text: str
    url: str = ""


def terms_in(customer: Any) -> SpendingTerms:
    """Return the terms that were read together with the customer: their balance, and the sum `owed`."""
    balance = getattr(customer, "balance", None)
    return (
        SpendingTerms() if balance is None else SpendingTerms(balance.frozen_at, balance.overdraft_limit, customer.owed)
    )


def badges_of(customer: User, terms: SpendingTerms) -> list[Badge]:
    """Return every state that differs from an ordinary customer's, or that all is well."""
    badges = []
    if not customer.is_active:
        badges.append(Badge("Inactive", BAD, "Neither sign-ins nor keys work; nothing is charged."))
    if terms.frozen_at is not None:
        badges.append(Badge(f"Frozen since {shown_at(terms.frozen_at)} UTC", BAD, "Nothing is charged or held."))
    if terms.owed:
        badges.append(Badge("Owes credits", WARNING, f"{shown(terms.owed)} credits of money that was taken back."))
    if customer.email_verified_at is None:
        badges.append(Badge("Email not verified", WARNING, "No link that was sent to this address has been opened."))
    if customer.is_superuser or customer.is_staff:
        badges.append(Badge("Superuser" if customer.is_superuser else "Staff", QUIET, "May sign in here."))
    return badges or [Badge("Active", GOOD, "May sign in, and is charged as usual.")]


def figures_of(credits: CreditBalance, terms: SpendingTerms, forecast: Forecast) -> list[Figure]:
    """Return what a customer has, and how long it lasts."""
    unit = settings.CREDIT_UNIT.lower()
    figures = [
        Figure("Available", shown(credits.available), unit, needs_care=credits.available <= 0),
        Figure("Balance", shown(credits.balance), unit),
        Figure("Reserved", shown(credits.reserved), unit, "by open holds"),
        _days_left(forecast),
    ]
    if terms.owed:
        figures.append(Figure("Owed", shown(terms.owed), unit, needs_care=True))
    if terms.overdraft_limit:
        figures.append(Figure("Overdraft limit", shown(terms.overdraft_limit), unit))
    return figures


def _days_left(forecast: Forecast) -> Figure:
    rate = f"at {shown(round(forecast.burn_rate_per_day, 2))} credits a day"
    if forecast.days_left is None:
        return Figure("Days left", "–", note="no usage in the last week")
    return Figure("Days left", shown(round(forecast.days_left, 1)), "days", rate, needs_care=forecast.days_left < 3)


def subscription_sentence(subscription: Subscription | None) -> Sentence:
    if subscription is None:
        return Sentence("Subscription", "None.")
    said = (
        f"On {subscription.plan}, {subscription.get_billing_interval_display().lower()},"
        f" {subscription.get_status_display().lower()}; its period ends {shown_at(subscription.current_period_end)} UTC"
    )
    if subscription.cancel_at_period_end:
        said += ", then it is canceled"
    elif subscription.pending_plan is not None:
        interval = (subscription.get_pending_interval_display() or "").lower()
        said += f", then {subscription.pending_plan} ({interval}) begins"
    return Sentence("Subscription", f"{said}.", page_url("accounts_subscription", subscription.pk))


def reload_sentence(reload: AutoReload | None) -> Sentence:
    if reload is None:
        return Sentence("Auto-reload", "Never set up.")
    url = page_url("ledger_autoreload", reload.pk)
    if not reload.enabled:
        why = reload.get_off_reason_display() if reload.off_reason else "Off"
        since = f" ({shown_at(reload.turned_off_at)} UTC)" if reload.turned_off_at else ""
        return Sentence("Auto-reload", f"Off. {why}{since}.", url)
    bought = f"up to {shown(reload.target)}" if reload.target is not None else shown(reload.amount)
    cap = ""
    if reload.monthly_cap_minor is not None and reload.currency:
        cap = f", for at most {shown_money(reload.monthly_cap_minor, reload.currency)} a month"
    said = f"Buys {bought} credits when fewer than {shown(reload.threshold)} are available{cap}."
    return Sentence("Auto-reload", said, url)


def budget_sentence(customer: User, keys: list[ApiKey]) -> Sentence:
    """Return how far the limits of keys are spent; `keys` have `spent` (`usage.selectors.with_spending`)."""
    url = list_url("accounts_apikey", user=customer.pk)
    limited: list[Any] = [key for key in keys if key.spending_limit is not None]
    if not limited:
        return Sentence("Budgets", "No key has a spending limit.", url)
    nearest = max(limited, key=_share_spent)
    return Sentence(
        "Budgets",
        f"{_counted(len(limited), 'key')} with a spending limit; nearest to it is {nearest}, with"
        f" {shown(nearest.spent)} of {shown(nearest.spending_limit)} credits spent until {shown_at(nearest.resets_at)}"
        " UTC.",
        url,
    )


def _share_spent(key: Any) -> Decimal:
    return Decimal(key.spent) / key.spending_limit if key.spending_limit else Decimal(1)


def _counted(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def since_of(customer: User, now: dt.datetime) -> str:
    """Return for how long somebody has been a customer."""
    days = (now - customer.created_at).days
    return "since today" if days < 1 else f"for {_counted(days, 'day')}"
