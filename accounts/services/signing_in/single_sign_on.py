"""Single sign-on: which person an issuer vouches for, and which roles its groups give.

Only staff come in this way. The issuer's groups are taken at each sign-in: roles that they no longer give are taken
away. A role that no group of OIDC_ROLES gives is none of its business.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group
from django.db import transaction

from accounts.emails import canonical_email
from accounts.errors import SignOnRefused
from accounts.models import User
from accounts.services.signing_in.page_sessions import end_sessions

_NO_ROLE = "None of your groups gives you a role here."


@dataclass(frozen=True)
class Vouched:
    """What an issuer says about a person."""

    issuer: str  # the name of the provider in our settings
    subject: str  # the person's lasting name there
    email: str
    is_email_verified: bool
    full_name: str
    groups: tuple[str, ...]
    gave_second_factor: bool
    asked_at: float | None  # when the issuer asked the person (the claim auth_time)


def vouched(claims: Mapping[str, Any], *, issuer: str, subject: str) -> Vouched:
    """Read the claims of an issuer. What is not of the form that OpenID Connect prescribes counts as not said."""
    groups = claims.get(settings.OIDC_GROUPS_CLAIM)
    asked_at = claims.get("auth_time")
    return Vouched(
        issuer=issuer,
        subject=subject,
        email=str(claims.get("email") or ""),
        is_email_verified=claims.get("email_verified") is True,
        full_name=str(claims.get("name") or "")[:200],
        groups=tuple(str(group) for group in groups) if isinstance(groups, list) else (),
        gave_second_factor=_gave_second_factor(claims),
        asked_at=float(asked_at) if isinstance(asked_at, int | float) and not isinstance(asked_at, bool) else None,
    )


def sign_on(said: Vouched, *, now: dt.datetime) -> User:
    """Return the person whom the issuer vouches for, with the roles of today; the staff log says how those changed.

    Somebody who has no role any more loses the roles and every session, although the sign-in is refused.

    :raises SignOnRefused: with a sentence for the person
    """
    with transaction.atomic():
        person, is_new = _person(said, now)
        if not person.is_active:
            raise SignOnRefused("This account is deactivated.")
        if not person.is_staff:
            raise SignOnRefused("This address belongs to a customer's account, not to one of staff.")
        _take_roles(person, said.groups, is_new=is_new)
        has_role = person.is_superuser or not settings.OIDC_ROLES or person.groups.exists()
        if not has_role and is_new:
            raise SignOnRefused(_NO_ROLE)  # nothing is kept of it
        if not has_role:
            end_sessions(user_id=person.pk)
    if not has_role:
        raise SignOnRefused(_NO_ROLE)
    return person


def _person(said: Vouched, now: dt.datetime) -> tuple[User, bool]:
    """Find the person by the issuer's lasting name, else by a verified address; create them if that is allowed."""
    known = SocialAccount.objects.filter(provider=said.issuer, uid=said.subject).first()
    if known is not None:
        return User.objects.select_for_update(no_key=True).get(pk=known.user_id), False
    if not (said.is_email_verified and said.email):
        raise SignOnRefused("The issuer does not say that your email address is verified.")
    person = User.objects.with_email(said.email).select_for_update(no_key=True).first()
    is_new = person is None
    if person is None:
        person = _new_person(said, now)
    elif SocialAccount.objects.filter(provider=said.issuer, user_id=person.pk).exists():
        raise SignOnRefused("Another account of the issuer is connected with this address.")
    if person.is_staff:
        SocialAccount.objects.create(provider=said.issuer, uid=said.subject, user_id=person.pk)
    return person, is_new


def _new_person(said: Vouched, now: dt.datetime) -> User:
    if not settings.OIDC_CREATE_STAFF:
        raise SignOnRefused("There is no account with your address here. A superuser can create one.")
    if not _roles_of(said.groups):
        raise SignOnRefused(_NO_ROLE)
    email = canonical_email(said.email)
    return User.objects.create_user(email, full_name=said.full_name, is_staff=True, email_verified_at=now)


def _take_roles(person: User, groups: Collection[str], *, is_new: bool) -> None:
    managed = set(settings.OIDC_ROLES.values())
    meant = _roles_of(groups)
    has = set(person.groups.filter(name__in=managed).values_list("name", flat=True))
    by_name = {group.name: group for group in Group.objects.filter(name__in=managed)}
    added, removed = sorted((meant & by_name.keys()) - has), sorted(has - meant)
    person.groups.add(*(by_name[name] for name in added))
    person.groups.remove(*(by_name[name] for name in removed))
    parts = ["created the account"] if is_new else []
    parts += [f"gave the role {name}" for name in added] + [f"took the role {name}" for name in removed]
    if parts:
        said = f"Single sign-on {', '.join(parts)}."
        LogEntry.objects.log_actions(person.pk, [person], CHANGE, change_message=said)


def _roles_of(groups: Collection[str]) -> set[str]:
    return {role for group, role in settings.OIDC_ROLES.items() if group in groups}


def _gave_second_factor(claims: Mapping[str, Any]) -> bool:
    if settings.OIDC_MFA != "claimed":
        return bool(settings.OIDC_MFA == "always")
    amr = claims.get("amr")
    said = {str(method) for method in amr} if isinstance(amr, list) else set()
    return not (said | {str(claims.get("acr"))}).isdisjoint(settings.OIDC_MFA_VALUES)
