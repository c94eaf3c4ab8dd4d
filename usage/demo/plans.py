"""The demo company's plans, and who is on them: one who upgraded, one who stays, one who has canceled."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from accounts.models import BillingInterval, Plan, Subscription, User
from ledger.services.subscriptions.actions import cancel_subscription, change_plan, start_subscription
from ledger.services.subscriptions.periods import month_of

# Credits a month and a year, and how many roll over when a period ends; None: all.
PLANS = (
    ("starter", "Starter", 1_000, None, 200),
    ("growth", "Growth", 10_000, 120_000, 2_000),
    ("scale", "Scale", 100_000, 1_200_000, None),
)


def seed_plans(people: Mapping[str, User], *, actor: User, now: dt.datetime) -> None:
    """Put the plans on sale, and customers on them since the month began; a second run does nothing more."""
    for code, name, a_month, a_year, cap in PLANS:
        brings = {"name": name, "credits_per_period": a_month, "credits_per_year": a_year, "rollover_cap": cap}
        Plan.objects.get_or_create(code=code, defaults=brings)
    starter, growth = Plan.objects.get(code="starter"), Plan.objects.get(code="growth")
    for name in ("alice", "bob", "dora"):
        user = people[name]
        if Subscription.objects.filter(user=user).exists():
            continue
        start_subscription(
            plan=starter, interval=BillingInterval.MONTHLY, starts_at=month_of(now),
            **_asked(user, actor, "start", "Chose a plan on the website"),
        )  # fmt: skip
        if name == "alice":
            asked = _asked(user, actor, "upgrade", "Asked for more by telephone")
            change_plan(plan=growth, interval=BillingInterval.MONTHLY, **asked)
        if name == "dora":
            cancel_subscription(**_asked(user, actor, "cancel", "Her project ends"))


def _asked(user: User, actor: User, what: str, note: str) -> dict[str, Any]:
    return {"user_id": user.pk, "actor_id": actor.pk, "note": note, "idempotency_key": f"demo: {what}"}
