"""Staff who have signed in to the back office, and its pages."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from config.rounds import Round
from ledger.services.reconciliation.checks import Finding
from tests.factories import StaffFactory
from usage.models import ReconciliationFinding, ReconciliationRun
from usage.services.findings.noting import note_findings, subject_of

READ_ONLY = (
    "ledger_adjustmentrequest",
    "ledger_balance", "ledger_entry", "ledger_entrydispute",
    "ledger_grant", "ledger_hold", "ledger_termschange", "usage_requestlog",
    "usage_reconciliationrun",
    "usage_reconciliationfinding", "config_staffrecord", "ledger_payment", "ledger_staffrefund", "usage_alert",
    "usage_importedcustomer",
    "ledger_autoreload",
    "accounts_notice", "accounts_webhookdelivery", "accounts_webhookendpoint",
    "accounts_subscription", "ledger_subscriptionchange",
)  # fmt: skip
EXPORTED = (
    "accounts_user", "ledger_entry", "usage_requestlog", "ledger_hold", "usage_price", "accounts_subscription",
    "config_staffrecord", "ledger_adjustmentrequest",
)  # fmt: skip


def staff_with(*permissions: str, **fields: object) -> User:
    """Create a member of staff with exactly these permissions, such as `ledger.view_entry`."""
    staff = StaffFactory(**fields)
    for permission in permissions:
        app, codename = permission.split(".")
        staff.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    return staff


def superuser() -> User:
    return StaffFactory(is_superuser=True)


def signed_in(user: User | None) -> Client:
    """Return the browser of somebody who has just given the password."""
    client = Client()
    if user is not None:
        client.force_login(user)
        note_step(client, user, "password")
    return client


def note_step(client: Client, user: User, method: str, *, seconds_ago: float = 0) -> None:
    """Write into the session how its person signed in, in place of doing so."""
    session = client.session
    steps = session.get("account_authentication_methods", [])
    session["account_authentication_methods"] = [*steps, {"method": method, "at": time.time() - seconds_ago}]
    session["account_authentication_methods_user"] = str(user.pk)
    session.save()


def staff_log_of(thing: Model) -> list[str]:
    """Return the messages of the staff log about one object, in order."""
    kind = ContentType.objects.get_for_model(thing)
    about = LogEntry.objects.filter(content_type=kind, object_id=str(thing.pk))
    return list(about.order_by("pk").values_list("change_message", flat=True))


def list_of(model: str) -> str:
    return reverse(f"admin:{model}_changelist")


def page_of(model: str, pk: object) -> str:
    return reverse(f"admin:{model}_change", args=[pk])


def settings_of(customer: User) -> str:
    """Return the address of the settings of an account, the second tab of a customer's page."""
    return reverse("admin:accounts_user_settings", args=[customer.pk])


def export_of(model: str) -> str:
    return reverse(f"admin:{model}_export")


def audit(**fields: object) -> ReconciliationRun:
    """Create a full reconciliation run without findings."""
    run = {"started_at": timezone.now(), "finished_at": timezone.now(), "is_full": True, "findings": 0, "report": {}}
    return ReconciliationRun.objects.create(**run | fields)


def found(customer: User | None, entry_id: int = 7, *, run: ReconciliationRun | None = None) -> ReconciliationFinding:
    """Keep a finding about an entry of a customer, as a run of `reconcile` does."""
    finding = Finding("seal_fits_entry", customer and customer.pk, "It was altered.", {"entry_id": entry_id})
    customers = Round()
    note_findings(run or audit(findings=1), [finding], customers)
    assert customers.failure is None
    return ReconciliationFinding.objects.get(check_name=finding.check, subject=subject_of(finding))


def models() -> list[str]:
    """Return every model that has pages, by the names in their URLs."""
    return [f"{model._meta.app_label}_{model._meta.model_name}" for model in admin.site._registry]


def pages_of_staff_actions(customer: User) -> Iterator[str]:
    """Yield the URL of every staff action: on the customer, or on the latest row of its model."""
    for model, pages in admin.site._registry.items():
        for action in getattr(pages, "staff_actions", ()):
            yield action.url(customer if model is User else model._default_manager.latest("pk"))


def new_form(reason: str = "They called.", **fields: object) -> dict[str, object]:
    """Return a staff action's form with a reason and a key of its own, as it is confirmed."""
    return {"form_key": str(uuid.uuid4()), "note": reason, "step": "confirm", **fields}


def rows_of(answer: object) -> list[object]:
    """Return the objects that a list shows."""
    return list(answer.context["cl"].result_list)  # type: ignore[attr-defined]
