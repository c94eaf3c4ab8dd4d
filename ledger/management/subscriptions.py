"""The output of the commands about subscriptions."""

from __future__ import annotations

from config.cli.command import Result
from ledger.services.subscriptions.changes import Done


def change_result(done: Done) -> Result:
    """Return what was done, and the state of the subscription."""
    change, subscription = done.change, done.change.subscription
    return Result(
        {
            "change_id": change.pk,
            "kind": change.kind,
            "effective_at": change.effective_at,
            "credits": change.credits,
            "replayed": done.is_replay,
            "subscription_id": subscription.pk,
            "user_id": subscription.user_id,
            "plan": subscription.plan.code,
            "status": subscription.status,
            "current_period_start": subscription.current_period_start,
            "current_period_end": subscription.current_period_end,
            "next_grant_at": subscription.next_grant_at,
        }
    )
