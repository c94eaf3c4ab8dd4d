"""New passwords by an emailed link: sent by staff, used by the reader of the account's mail."""

from __future__ import annotations

import datetime as dt

from django.contrib.auth import hashers
from django.db import transaction

from accounts.emails import is_mailbox
from accounts.errors import CannotBeMailed, TokenInvalid, TooManyResetLinks
from accounts.models import Notice, User
from accounts.reset_tokens import user_of_reset_token
from accounts.services.account_notices import MOST_EMAILS_A_DAY, send_reset_link
from accounts.services.notices import RESET_LINK
from accounts.services.signing_in.login_guard import unlock
from accounts.services.signing_in.passwords import refuse_weak_password, store_password


@transaction.atomic
def request_reset(*, user_id: int, now: dt.datetime) -> None:
    """Queue an email with a link to set a new password, to the person's own address; nothing changes until it is used.

    :raises CannotBeMailed: if the person was deactivated, or no mail can be sent to their address
    :raises TooManyResetLinks: if the limit of links in a day is reached
    """
    user = User.objects.select_for_update(no_key=True).get(pk=user_id)
    if not user.is_active or not is_mailbox(user.email):
        raise CannotBeMailed
    sent = Notice.objects.of(user_id).filter(type=RESET_LINK, created_at__gt=now - dt.timedelta(days=1)).count()
    if sent >= MOST_EMAILS_A_DAY:
        raise TooManyResetLinks(limit=MOST_EMAILS_A_DAY)
    send_reset_link(user=user, now=now)


def reset_password(*, token: str, new: str, now: dt.datetime, revoke_keys: bool = False) -> None:
    """Set a new password by a link's token; every token and session ends, and failed sign-ins are deleted.

    The token proves that its user reads the address, which then counts as verified. It works once, also when two
    callers use it at the same time.

    :raises TokenInvalid: if it is none of ours, has ended or been used, or its user was deactivated or changed
    :raises PasswordTooWeak: if the validators refuse `new`; the token stays valid
    """
    user = user_of_reset_token(token, now=now)
    refuse_weak_password(new, user=user, field="new_password")
    encoded = hashers.make_password(new)
    with transaction.atomic():
        if not store_password(user=user, encoded=encoded, now=now, revoke_keys=revoke_keys):
            raise TokenInvalid
        User.objects.filter(pk=user.pk, email_verified_at=None).update(email_verified_at=now)
        unlock(email=user.email, keep_second_factor=True)
