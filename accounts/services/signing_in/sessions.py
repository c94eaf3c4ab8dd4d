"""Sign-ins: families of refresh tokens, each token exchanged once for the next."""

from __future__ import annotations

import datetime as dt

from django.conf import settings
from django.db import transaction

from accounts import tokens
from accounts.callers import user_of_active_family
from accounts.errors import InvalidCredentials, RefreshTokenSpent, TokenInvalid
from accounts.models import SpentRefreshToken, TokenFamily, User
from accounts.services.signing_in.passwords import check_credentials
from accounts.tokens import Claims, TokenPair

_ROWS_PER_PURGE = 100


def sign_in(*, email: str, password: str, address: str | None, now: dt.datetime) -> TokenPair:
    """Check the password and start a new family of tokens; each call starts its own.

    :raises InvalidCredentials: if the email is unknown, the password wrong, or the person inactive
    :raises TooManyLoginFailures: if too many failed lately
    """
    user = check_credentials(email=email, password=password, address=address, now=now)
    purge_ended_families(now=now)
    with transaction.atomic():
        if not User.objects.filter(pk=user.pk).update(last_login=now):  # locks the row until the commit
            raise InvalidCredentials
        family = TokenFamily.objects.create(user=user, created_at=now, expires_at=tokens.refresh_token_ends_at(now))
    return tokens.make_pair(user=user, family_id=family.pk, now=now)


def user_of_access_token(raw: str) -> User:
    """Return the user of an access token, with one query.

    :raises TokenInvalid: if it is forged or expired, its sign-in was revoked, or its user was deleted or deactivated
        or changed the password
    """
    claims = tokens.read_access(raw)
    user = user_of_active_family(family_id=claims.family_id, user_id=claims.user_id)
    if user is None or not claims.match(user):
        raise TokenInvalid
    return user


def refresh(*, refresh_token: str, now: dt.datetime) -> TokenPair:
    """Exchange a refresh token for a new pair of its family; of several exchanges of one token one wins.

    A token that was exchanged longer ago than REFRESH_REUSE_GRACE may be stolen: then the whole family is revoked, in a
    transaction that the refusal does not roll back.

    :raises TokenInvalid: if it is forged or expired, its family was revoked, or its user was deleted or deactivated
        or changed the password
    :raises RefreshTokenSpent: if it was exchanged before
    """
    claims = tokens.read_refresh(refresh_token)
    user = _active_family(claims).user
    try:
        _spend(claims, now)
    except RefreshTokenSpent as refusal:
        if now - refusal.spent_at > settings.REFRESH_REUSE_GRACE:
            _revoke_family(claims, now)
        raise
    return tokens.make_pair(user=user, family_id=claims.family_id, now=now)


def sign_out(*, refresh_token: str, now: dt.datetime) -> None:
    """Revoke the family of a refresh token, including its access tokens; repetition changes nothing.

    :raises TokenInvalid: if it is forged or expired
    """
    _revoke_family(tokens.read_refresh(refresh_token), now)


@transaction.atomic
def purge_ended_families(*, now: dt.datetime) -> None:
    """Delete some rows whose tokens have all expired; never waits for another purge."""
    for model in (SpentRefreshToken, TokenFamily):
        ended = model.objects.filter(expires_at__lte=now).order_by("expires_at")
        some = ended.select_for_update(skip_locked=True)[:_ROWS_PER_PURGE]
        model.objects.filter(pk__in=list(some.values_list("pk", flat=True))).delete()


def _active_family(claims: Claims) -> TokenFamily:
    families = TokenFamily.objects.select_related("user")
    family = families.filter(pk=claims.family_id, user_id=claims.user_id, revoked_at=None).first()
    if family is None or not claims.match(family.user):
        raise TokenInvalid
    return family


@transaction.atomic(durable=True)
def _spend(claims: Claims, now: dt.datetime) -> None:
    # Refreshing and signing out lock the family's row; the unique insert decides between refreshes.
    family = TokenFamily.objects.filter(pk=claims.family_id, user_id=claims.user_id, revoked_at=None)
    if not family.update(expires_at=tokens.refresh_token_ends_at(now)):
        raise TokenInvalid
    spent, is_first = SpentRefreshToken.objects.get_or_create(
        user_id=claims.user_id,
        jti=claims.jti,
        defaults={"family_id": claims.family_id, "spent_at": now, "expires_at": claims.expires_at},
    )
    if not is_first:
        raise RefreshTokenSpent(spent_at=spent.spent_at)


@transaction.atomic(durable=True)
def _revoke_family(claims: Claims, now: dt.datetime) -> None:
    family = TokenFamily.objects.filter(pk=claims.family_id, user_id=claims.user_id, revoked_at=None)
    family.update(revoked_at=now)
