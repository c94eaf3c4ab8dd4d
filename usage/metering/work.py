"""The metering of one request, from the hold before the work to its cost after it."""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import time
import uuid
from decimal import Decimal

from django.db import Error
from django.utils import timezone

from accounts import key_format
from accounts.errors import ApiKeyInvalid, ApiKeyMissing
from config.db.failures import count_database_error, is_database_away
from config.values.credits import parse_credits
from config.values.idempotency_keys import NotAnIdempotencyKey, parse_idempotency_key
from ledger.errors import LedgerRefusal
from ledger.services.holds import extend_hold
from usage.errors import (
    CustomerKeyInvalid,
    IdempotencyKeyRefused,
    IdempotencyKeySpent,
    MeteringUnavailable,
    PriceUnknown,
    UsageRefusal,
)
from usage.metering.incoming import Incoming
from usage.metering.terms import Terms
from usage.services.metered_requests import Announced, Opened, Outcome, log_repeat, open_request, settle_request
from usage.services.spool.files import SpoolFull, SpoolMissing, append_to_spool, configured_spool
from usage.services.spool.lines import SpooledRequest, to_line

logger = logging.getLogger(__name__)


class Metering:
    """The metering of a request, as the work finds it in `request.metering`.

    `hold` is None while the database is unavailable and the terms let the work run all the same.
    """

    def __init__(self, announced: Announced, opened: Opened | None, *, reference: str) -> None:
        self.hold = opened.hold if opened else None
        self.is_repeat = opened.is_repeat if opened else False
        self._opened = opened
        self._announced = announced
        self._reference = reference
        self._began = time.monotonic()
        self._units: Decimal | None = None
        self._credits: Decimal | None = None
        self._has_ended = False

    @property
    def user_id(self) -> int | None:
        """Return the id of the customer who pays; None when only their key is known."""
        return self.hold.user_id if self.hold else self._announced.user_id

    @property
    def held(self) -> Decimal:
        """Return the most that this request will cost, in credits."""
        return self.hold.credits if self.hold else Decimal(0)

    def use(self, *, units: Decimal | int | str | None = None, credits: Decimal | int | str | None = None) -> None:
        """Set what the work used, in units of its price or in credits; the last call counts.

        More than was held is not charged. A failure costs nothing all the same, unless its price charges failures.

        :raises NotACreditAmount: if it is not an exact amount
        """
        if units is not None:
            self._units = parse_credits(units, allow_zero=True, noun="units")
        if credits is not None:
            self._credits = parse_credits(credits, allow_zero=True)

    def extend(self, seconds: int) -> None:
        """Keep the credits held for this many seconds from now, and never shorter than before.

        :raises HoldExpired: if they are no longer held
        """
        if self.hold is not None and not self.is_repeat:
            self.hold.expires_at = extend_hold(
                hold_id=self.hold.pk, expires_in_seconds=seconds, idempotency_key=f"metered {uuid.uuid4()}"
            ).hold.expires_at

    def end(self, status: int) -> None:
        """Settle the request, once, by the status of its response.

        :raises MeteringUnavailable: if its cost can neither be charged nor spooled
        """
        if self._has_ended:
            return
        self._has_ended = True
        latency_ms = int((time.monotonic() - self._began) * 1000)
        outcome = Outcome(status, self._units, self._credits, latency_ms, self._reference)
        if self.hold is None or self._opened is None:
            self._spool(outcome)
            return
        try:
            if self.is_repeat or settle_request(self._announced, outcome, self.hold, metadata={}).is_repeat:
                self._log_repeat(outcome, self._opened)
        except Error as error:
            if not is_database_away(error):
                raise
            count_database_error(error)
            self._spool(outcome)
        except (LedgerRefusal, UsageRefusal) as refusal:
            logger.error("Hold %s ran out before its work, which stays unpaid: %s", self.hold.pk, refusal)  # noqa: TRY400

    def _log_repeat(self, outcome: Outcome, opened: Opened) -> None:
        """Log a request that another one has paid for; it owes nothing, so only its log row can be lost."""
        if not self._announced.is_shared:
            return  # no other request could have paid: only the first result of its own settlement was lost
        try:
            log_repeat(self._announced, outcome, opened)
        except Error as error:
            if not is_database_away(error):
                raise
            count_database_error(error)
            logger.error("A repeated request to %s could not be logged: %s", self._announced.endpoint, error)  # noqa: TRY400

    def spooled(self, outcome: Outcome) -> SpooledRequest:
        """Return the request in the form in which it is spooled."""
        announced = self._announced
        if self.hold is None and outcome.status >= 400:  # a failure is not replayed to a repetition
            announced = announced._replace(key=str(uuid.uuid4()), is_shared=False)
        return SpooledRequest(announced, outcome, self.hold, timezone.now())

    def _spool(self, outcome: Outcome) -> None:
        line = to_line(self.spooled(outcome))
        try:
            append_to_spool(line)
        except (OSError, SpoolFull, SpoolMissing) as reason:
            logger.error("%s Nobody but you can charge this request: %s", reason, line)  # noqa: TRY400
            raise MeteringUnavailable from reason


def begin(terms: Terms, call: Incoming) -> Metering:
    """Hold what a request may cost, before any work is done for it.

    :raises ApiKeyMissing, ApiKeyInvalid: if no customer is named
    :raises CustomerInactive, UnknownCustomer: if the customer that `customer` named may not be charged
    :raises InsufficientCredits: if less is available
    :raises CustomerKeyRateLimited: if the key has made all its calls of this minute
    :raises IdempotencyKeyRefused, IdempotencyKeyReused, IdempotencyKeySpent: if its idempotency key cannot be used
    :raises MeteringUnavailable: if it cannot be charged now
    """
    announced = _announced(terms, call)
    now = timezone.now()
    try:
        opened = open_request(announced, now=now, most_repeats=terms.most_repeats)
    except CustomerKeyInvalid:
        raise ApiKeyInvalid from None
    except PriceUnknown as error:
        endpoint = announced.endpoint
        logger.error("%s Work for it is refused: manage.py set_price %s CREDITS.", error, endpoint)  # noqa: TRY400
        raise MeteringUnavailable from error
    except Error as error:
        if not is_database_away(error):
            raise
        count_database_error(error)
        return _without_database(terms, announced, call, error)
    if opened.is_repeat:
        _refuse_late_repeat(terms, opened, now)
    return Metering(announced, opened, reference=call.request_id)


def settle_or_log(metering: Metering, status: int) -> None:
    """Settle a request whose response can no longer be changed: an error is only logged."""
    try:
        metering.end(status)
    except Exception:
        logger.exception("A metered request could not be settled.")


def _announced(terms: Terms, call: Incoming) -> Announced:
    key, digest = _key(call)  # before the terms' functions: after they have read the body, it cannot be read again
    user_id, key_hash = _customer(terms, call)
    units, credits = terms.units_of(call.request), terms.credits_of(call.request)
    return Announced(
        user_id=user_id,
        key_hash=key_hash,
        endpoint=terms.endpoint_of(call.request, call.path),
        method=call.method,
        units=units,
        credits=credits,
        expires_in_seconds=terms.expires_in_seconds,
        key=key or str(uuid.uuid4()),
        is_shared=key is not None,
        digest=digest,
        is_admitted=terms.customer is None and call.is_counted,
    )


def _key(call: Incoming) -> tuple[str | None, str | None]:
    if call.idempotency_key is None:
        return None, None
    try:
        sent = parse_idempotency_key(call.idempotency_key)
    except NotAnIdempotencyKey as error:
        raise IdempotencyKeyRefused(str(error)) from error
    return hashlib.sha256(sent.encode()).hexdigest(), call.digest()


def _customer(terms: Terms, call: Incoming) -> tuple[int | None, bytes | None]:
    if terms.customer is not None:
        named = terms.customer(call.request)
        if named is None:
            raise ApiKeyMissing
        return (None, named) if isinstance(named, bytes) else (int(named), None)
    if not call.api_key:
        raise ApiKeyMissing
    if not key_format.is_well_formed(call.api_key):
        raise ApiKeyInvalid
    return None, key_format.hash_of(call.api_key)


def _without_database(terms: Terms, announced: Announced, call: Incoming, error: Error) -> Metering:
    """Let the work run if the terms allow it and the request can be spooled."""
    metering = Metering(announced, None, reference=call.request_id)
    if terms.fail_open:
        spool = configured_spool()
        likely = metering.spooled(Outcome(200, announced.units, announced.credits, 1_000_000, call.request_id))
        if spool is not None and spool.has_room_for(to_line(likely)):
            logger.warning("The database is away: a request to %s is let through.", announced.endpoint)
            return metering
        logger.error("The database is away, and the spool has no room: a request to %s is refused.", announced.endpoint)
    else:
        logger.error("The database is away: a request to %s is refused.", announced.endpoint, exc_info=error)
    raise MeteringUnavailable from error


def _refuse_late_repeat(terms: Terms, opened: Opened, now: dt.datetime) -> None:
    if now - opened.hold.created_at > dt.timedelta(seconds=terms.repeat_seconds):
        raise IdempotencyKeySpent(
            "This request was answered and paid before, too long ago to be repeated. Use a new idempotency key."
        )
