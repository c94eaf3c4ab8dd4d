"""Change a person's email address on behalf of staff."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

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
