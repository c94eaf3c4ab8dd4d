"""The table of roles: which permission belongs to which role. A new permission gets its row here.

Roles are names only, so this table may name permissions of every app. docs/roles.md prints it, and
tests/accounts/test_roles_table.py holds the two together and finds a permission that has no row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum


class Role(StrEnum):
    """A role of staff: the name of its group."""

    SUPPORT = "support"
    FINANCE = "finance"
    OPERATIONS = "operations"
    AUDITOR = "auditor"


WHAT_FOR: Mapping[Role, str] = {
    Role.SUPPORT: "answers customers: sees their accounts, helps with access, keys and small corrections",
    Role.FINANCE: "answers for the money: agrees to corrections, refunds, prices, plans and terms",
    Role.OPERATIONS: "keeps it running: keys of services, webhooks, imports, stuck holds and payments",
    Role.AUDITOR: "checks the others: sees and exports everything, and changes nothing",
}
_S, _F, _O, _A = Role
_ALL = (_S, _F, _O, _A)

# What it lets do: app and permission → the roles that have it. In the order in which docs/roles.md prints them.
PERMISSIONS: Mapping[str, tuple[Role, ...]] = {
    # People and keys
    "accounts.view_user": _ALL,
    "accounts.add_user": (_S, _O),
    "accounts.change_user": (_S, _O),
    "accounts.export_user": (_F, _A),
    "accounts.send_password_reset": (_S, _O),
    "accounts.view_apikey": _ALL,
    "accounts.add_apikey": (_S, _O),
    "accounts.verify_email": (_S,),
    "accounts.change_apikey": (_S, _O),
    "accounts.revoke_apikey": (_S, _O),
    "accounts.issue_service_key": (_O,),
    # Plans and subscriptions
    "accounts.view_plan": _ALL,
    "accounts.add_plan": (_F,),
    "accounts.change_plan": (_F,),
    "accounts.view_subscription": _ALL,
    "accounts.export_subscription": (_F, _A),
    "accounts.start_subscription": (_S, _F),
    "accounts.change_plan_subscription": (_S, _F),
    "accounts.pause_subscription": (_S, _F),
    "accounts.cancel_subscription": (_S, _F),
    "ledger.view_subscriptionchange": _ALL,
    # Notices and webhooks
    "accounts.view_notice": _ALL,
    "accounts.view_webhookendpoint": _ALL,
    "accounts.view_webhookdelivery": _ALL,
    "accounts.resend_webhookdelivery": (_S, _O),
    # Credits
    "ledger.view_balance": _ALL,
    "ledger.view_entry": _ALL,
    "ledger.view_grant": _ALL,
    "ledger.view_hold": _ALL,
    "ledger.view_termschange": _ALL,
    "ledger.download_statement": (_S, _F, _A),
    "ledger.export_entry": (_S, _F, _A),
    "ledger.export_hold": (_F, _O, _A),
    "ledger.adjust_credits": (_S, _F),
    "ledger.view_adjustmentrequest": _ALL,
    "ledger.export_adjustmentrequest": (_F, _A),
    "ledger.approve_adjustment": (_F,),
    "ledger.adjust_by_file": (_F,),
    "ledger.reverse_entry": (_S, _F),
    "ledger.view_entrydispute": _ALL,
    "ledger.answer_dispute": (_S, _F),
    "ledger.resolve_dispute": (_S, _F),
    "ledger.freeze_balance": (_S, _F),
    "ledger.release_hold": (_S, _O),
    "ledger.end_grant": (_F,),
    "ledger.extend_grant": (_S, _F),
    "ledger.set_overdraft": (_F,),
    # Payments
    "ledger.view_payment": _ALL,
    "ledger.settle_payment": (_S, _F, _O),
    "ledger.refund_payment": (_F,),
    "ledger.view_staffrefund": _ALL,
    "ledger.resend_receipt": (_S, _F),
    "ledger.hear_of_disputes": (_F,),
    "ledger.view_autoreload": _ALL,
    "ledger.switch_off_auto_reload": (_S, _F),
    "ledger.view_topuppackage": _ALL,
    "ledger.add_topuppackage": (_F,),
    "ledger.change_topuppackage": (_F,),
    # Prices, requests, alerts
    "usage.view_price": _ALL,
    "usage.add_price": (_F,),
    "usage.export_price": (_F, _A),
    "usage.view_requestlog": _ALL,
    "usage.export_requestlog": (_S, _F, _O, _A),
    "usage.view_alert": _ALL,
    "usage.view_importedcustomer": _ALL,
    "usage.change_importedcustomer": (_O,),
    # Checks and traces
    "procrastinate.view_procrastinatejob": (_O, _A),
    "usage.view_reconciliationrun": _ALL,
    "usage.start_reconciliation": (_F, _O),
    "usage.view_reconciliationfinding": _ALL,
    "usage.close_finding": (_F, _O),
    "config.view_staffrecord": (_F, _A),
    "config.export_staffrecord": (_A,),
    "auth.view_group": (_A,),
}  # fmt: skip

# Permissions that no role has, and why: only superusers may do this.
SUPERUSERS_ALONE: Mapping[str, str] = {
    "accounts.change_email": "who sets the email of an account can take it over",
    "accounts.reset_second_factor": "who resets a second factor leaves a colleague's account with a password alone",
    "accounts.set_password": "who sets the password of an account can sign in as its owner",
}


def permissions_of(role: Role) -> frozenset[str]:
    """Return the permissions of a role, such as `ledger.view_entry`."""
    return frozenset(permission for permission, roles in PERMISSIONS.items() if role in roles)


def as_markdown() -> str:
    """Return the table as docs/roles.md prints it."""
    rows = [f"| `{permission}` | {_marks(roles)} |" for permission, roles in PERMISSIONS.items()]
    alone = [f"| `{permission}` | {why} |" for permission, why in SUPERUSERS_ALONE.items()]
    head = f"| permission | {' | '.join(Role)} |\n|---|{'---|' * len(Role)}\n"
    return f"{head}{_lines(rows)}\n| superusers alone | why |\n|---|---|\n{_lines(alone)}"


def _marks(roles: Iterable[Role]) -> str:
    return " | ".join("✓" if role in roles else "" for role in Role)


def _lines(rows: Iterable[str]) -> str:
    return "".join(f"{row}\n" for row in rows)
