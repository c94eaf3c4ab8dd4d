"""The periodic jobs and their times. Each job is a command, which cron can run instead (docs/operations.md)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Job:
    """A command and its times: cron's five fields in UTC, and a sixth for seconds where a minute is too long."""

    command: str
    when: str

    @property
    def is_frequent(self) -> bool:
        """Return whether it runs more than once an hour, too often for a log line each time."""
        return not self.when.split()[0].isdigit()


SCHEDULE = (
    Job("run_auto_reload", "* * * * * */10"),
    Job("deliver_webhooks", "* * * * * */5"),
    Job("reconcile_on_request", "* * * * * */10"),
    Job("send_alerts", "* * * * *"),
    Job("fold_figures", "* * * * *"),
    Job("renew_subscriptions", "* * * * *"),
    Job("post_adjustments", "* * * * *"),
    Job("settle_payments", "*/5 * * * *"),
    Job("expire_holds", "*/10 * * * *"),
    Job("expire_grants", "5 * * * *"),
    Job("reconcile", "15 2 * * *"),
    Job("maintain_partitions", "0 4 * * *"),
    Job("doctor", "30 4 * * *"),
)
