"""A key with a spending limit, for tests: it calls under new idempotency keys unless others are passed."""

from __future__ import annotations

import datetime as dt
import hashlib
import uuid
from decimal import Decimal
from typing import Any

from django.utils import timezone

from accounts.key_format import hash_of
from accounts.models import ApiKey, User
from accounts.services.keys.api_keys import IssuedKey
from accounts.services.keys.limits import KeyLimits, change_limits
from ledger.errors import InsufficientCredits
from ledger.models import Hold
from ledger.services.holds import release_hold
from tests.factories import ApiKeyFactory
from tests.usage.metering import charge, held, request_at
from usage.models import KeySpending
from usage.services.charges.charge import Charge
from usage.services.imports.recording import Line, record_lines

Amount = Decimal | int | str


class LimitedKey:
    """One customer's key; units of `search`, at one credit each, are what is spent by it."""

    def __init__(self, issued: IssuedKey) -> None:
        self.id = issued.api_key.pk
        self.user_id = issued.api_key.user_id
        self.hash = hash_of(issued.raw)

    def charge(self, credits: Amount, **asked: Any) -> Charge:
        return charge(None, key_hash=self.hash, credits=Decimal(credits), **asked)

    def hold(self, credits: Amount, *, seconds: int = 900, **asked: Any) -> Hold:
        return held(None, None, key_hash=self.hash, credits=Decimal(credits), expires_in_seconds=seconds, **asked).hold

    def report(self, units: Amount, *, at: dt.datetime | None = None) -> None:
        """Report a request of this key, with charging."""
        request = request_at(at or timezone.now(), units=Decimal(units))
        line = Line(hashlib.sha256(uuid.uuid4().bytes).digest(), request, self.id)
        record_lines(user_id=self.user_id, source="test", lines=[line], charge=True)

    @property
    def spent(self) -> Decimal:
        """Return the spending that is counted in the current period."""
        key = ApiKey.objects.get(pk=self.id)
        return KeySpending.objects.filter(api_key_id=key.original_id or key.pk).latest("began_on").credits

    @property
    def left(self) -> Decimal:
        """Return how many whole credits may be held by this key at most, found by trying."""
        low, high = Decimal(0), ApiKey.objects.get(pk=self.id).spending_limit
        while low < high:
            middle = (low + high + 1) // 2
            try:
                opened = self.hold(middle)
            except InsufficientCredits:
                high = middle - 1
            else:
                release_hold(hold_id=opened.pk, idempotency_key=uuid.uuid4().hex)
                low = middle
        return low


def limited_key(user: User, spending_limit: Amount | None, *, reset_day: int = 1) -> LimitedKey:
    """Issue a key with this spending limit to a customer; None is no limit."""
    return LimitedKey(ApiKeyFactory(user=user, limits=_limits(spending_limit, reset_day)))


def limit(key: LimitedKey, spending_limit: Amount | None, *, reset_day: int = 1) -> None:
    """Replace a key's limit, as staff do."""
    change_limits(key_id=key.id, limits=_limits(spending_limit, reset_day))


def _limits(spending_limit: Amount | None, reset_day: int) -> KeyLimits:
    credits = None if spending_limit is None else Decimal(spending_limit)
    return KeyLimits(spending_limit=credits, spending_reset_day=reset_day)
