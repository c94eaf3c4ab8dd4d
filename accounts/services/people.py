"""What staff change about a person besides rights: the email address, and what follows from that."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.models import User
from accounts.services.account_notices import notify_email_changed


@transaction.atomic
def change_email(*, user: User, email: str, now: dt.datetime) -> None:
    """Give a person another address, which nobody has verified yet; both addresses are told.

    `email` is one that `refuse_person` lets pass. Repeating it changes nothing.

    :raises IntegrityError: if somebody has it, in whatever form
    """
    before = User.objects.select_for_update(no_key=True).get(pk=user.pk).email
    if email == before:
        return
    User.objects.filter(pk=user.pk).update(email=email, email_verified_at=None)
    notify_email_changed(user_id=user.pk, old=before, is_by_staff=True, now=now)
