"""Emails about adjustments that wait: to those who may approve them, and to the author once they are decided.

They are notices, written in the transaction of what they report and sent by a job.
"""

from __future__ import annotations

import datetime as dt

from django.conf import settings

from accounts.models import User
from accounts.selectors import staff_with_permission
from accounts.services.notices import notify_customer
from config.values.credits import plain
from ledger.models import AdjustmentRequest, AdjustmentState, SecondPersonBecause

REQUESTED, DECIDED = "adjustment.requested", "adjustment.decided"
APPROVING = "ledger.approve_adjustment"


def tell_approvers(request: AdjustmentRequest, *, now: dt.datetime) -> None:
    """Write a notice to everybody who may approve this request: not to its author, nor to its customer."""
    for approver in staff_with_permission(APPROVING).exclude(pk__in=[request.author_id, request.user_id or 0]):
        _tell(
            approver, REQUESTED, request, f"An adjustment of {_credits(request)} waits for you", _asking(request), now
        )


def tell_author(request: AdjustmentRequest, *, now: dt.datetime) -> None:
    """Write a notice of the decision to the author of a request."""
    verb = "approved" if request.state == AdjustmentState.APPROVED else "rejected"
    _tell(request.author, DECIDED, request, f"Your adjustment was {verb}", _telling(request, verb), now)


def _tell(person: User, type: str, request: AdjustmentRequest, subject: str, body: str, now: dt.datetime) -> None:
    notify_customer(
        user_id=person.pk,
        type=type,
        key=str(request.pk),
        data={"adjustment_id": request.pk},
        subject=subject,
        body=body,
        now=now,
        email_to=person.email,  # and to no webhook: it is about the work of staff
    )


def _credits(request: AdjustmentRequest) -> str:
    if request.amount is None:
        return f"{plain(request.total):,f} credits in {request.line_count} lines"
    return f"{plain(request.amount):+,f} credits"


def _address(request: AdjustmentRequest) -> str:
    return f"{settings.SITE_URL.rstrip('/')}/admin/ledger/adjustmentrequest/{request.pk}/change/"


def _asking(request: AdjustmentRequest) -> str:
    because = SecondPersonBecause(request.second_person_because or "").label
    return f"""\
{request.author} asks for an adjustment that a second person has to agree to, since {because}.

  Customer  {request.user or request.file_name}
  Credits   {_credits(request)}
  Note      {request.note}

Approve or reject it: {_address(request)}
"""


def _telling(request: AdjustmentRequest, verb: str) -> str:
    return f"""\
{request.decided_by} has {verb} the adjustment that you asked for.

  Customer  {request.user or request.file_name}
  Credits   {_credits(request)}
  Their note  {request.decision_note or "none"}

{_address(request)}
"""
