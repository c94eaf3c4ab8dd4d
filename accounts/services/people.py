"""Changes of a person's email address on behalf of staff: another one, or that it is the person's own."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.emails import is_mailbox
from accounts.errors import CannotBeMailed, EmailHasChanged, EmailIsVerified
from accounts.models import User
from accounts.services.account_notices import notify_email_changed


@transaction.atomic
def change_email(*, user: User, email: str, now: dt.datetime) -> None:
    """Change a person's email address, which is then unverified; both addresses are notified.

    `email` must be one that `refuse_person` accepts. Repetition changes nothing.

    :raises IntegrityError: if another person has it, in any form
    """
    before = User.objects.select_for_update(no_key=True).get(pk=user.pk).email
    if email == before:
        return
    User.objects.filter(pk=user.pk).update(email=email, email_verified_at=None)
    notify_email_changed(user_id=user.pk, old=before, is_by_staff=True, now=now)


@transaction.atomic
def verify_email(*, user_id: int, email: str, now: dt.datetime) -> None:
    """Record that a person reads their address, which staff have made sure of by other means than a link.

    `email` is the address of which they made sure: what was changed meanwhile is not verified.

    :raises EmailHasChanged: if the account has another address by now
    :raises EmailIsVerified: if it is verified already
    :raises CannotBeMailed: if no mail can be sent to it
    """
    user = User.objects.select_for_update(no_key=True).get(pk=user_id)
    if user.email != email:
        raise EmailHasChanged(email=user.email)
    if user.email_verified_at is not None:
        raise EmailIsVerified
    if not is_mailbox(email):
        raise CannotBeMailed
    User.objects.filter(pk=user_id).update(email_verified_at=now)
