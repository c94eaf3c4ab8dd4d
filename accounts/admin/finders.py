"""What the one search finds of people and their keys."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Q

from accounts import key_format
from accounts.admin.keys.search import PUBLIC_LENGTH, is_beyond_prefix, keys_with_prefix
from accounts.models import ApiKey, User
from config.backoffice.search.finders import MOST_READ, Finder, Hit, Term, hit, register_finders

_SHORTEST_NAME = 2


def find_customers(term: Term) -> Sequence[Hit]:
    """Find people by email, id, or how the email, the name or its last word begins; an email in full is found alone."""
    if "@" in term.text:
        people = list(User.objects.with_email(term.text)[:1])
        if people:
            return [_person(people[0])]
    named = Q() if term.id is None else Q(pk=term.id)
    people = list(User.objects.get_queryset().filter(named)[:1]) if named else []
    if len(term.text) >= _SHORTEST_NAME and term.id is None:
        among = User.objects.get_queryset()
        if term.customers is not None:
            among = among.filter(pk__in=term.customers)
        people += [person for person in among.beginning_with(term.text, most=MOST_READ) if person not in people]
    return [_person(person) for person in people[:MOST_READ]]


def find_keys(term: Term) -> Sequence[Hit]:
    """Find a key by its hash if the term is a whole key, otherwise by its public prefix."""
    keys = ApiKey.objects.select_related("user")
    if is_beyond_prefix(term.text):
        found = keys.filter(key_hash=key_format.hash_of(term.text))
    else:
        prefix = keys_with_prefix(term.text)
        found = keys.none() if prefix is None else keys.filter(prefix)
    if term.customers is not None:
        found = found.filter(user_id__in=term.customers)
    return [hit(key, str(key), key.name, key.user or "service key") for key in found[:MOST_READ]]


def public_part_of_key(text: str) -> str | None:
    """Return the public part of what looks like a key, whole or cut off; None for all else."""
    return f"{text[:PUBLIC_LENGTH]}…" if is_beyond_prefix(text) else None


FINDERS = (
    Finder(
        kind="Customers and staff",
        word="customer",
        permission="accounts.view_user",
        find=find_customers,
        by="Email, id; how an email, a name or the last word of a name begins.",
        is_of_people=True,
    ),
    Finder(
        kind="API keys",
        word="key",
        permission="accounts.view_apikey",
        find=find_keys,
        by="Prefix, with or without tb_live_; the whole key. The staff log tells who searched by key.",
        claims=public_part_of_key,
        is_recorded=True,
    ),
)


def _person(person: User) -> Hit:
    state = "" if person.is_active else "deactivated"
    return hit(person, person.email, person.full_name, f"id {person.pk}", "staff" if person.is_staff else "", state)


register_finders(*FINDERS)
