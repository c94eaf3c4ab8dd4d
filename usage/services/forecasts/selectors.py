"""Forecasts: how long customers' credits last at the rate of their recent usage. Reads only."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Any

from config.db.arrays import plain_array
from config.db.prepared import read_prepared
from ledger.selectors import BALANCE_QUERY
from usage.services.forecasts.runway import GrantAhead, Runway, runway_of, spend

RATE_DAYS = 7
"""Full days, besides today, over which the burn rate is measured."""
SOON_DAYS = 30
FARTHEST_DAYS = 36_500
"""A forecast beyond a hundred years counts as never."""
_DAY = dt.timedelta(days=1)
_MICROSECONDS_A_DAY = 86_400_000_000

# Grants as of their last settlement, in the order of burn-down; expired ones that are kept for holds come first.
# The grants of customers without expiring credits are not read.
_FORECASTS = f"""
    SELECT u.id, u.created_at, credits.balance - credits.reserved, burnt.credits, burnt.first_day, grants.remaining,
        grants.expires_at
    FROM unnest(%s::bigint[]) AS asked(user_id)
    JOIN accounts_user u ON u.id = asked.user_id
    CROSS JOIN LATERAL ({BALANCE_QUERY % "asked.user_id"}) credits
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(d.credits), 0) AS credits, min(d.day) AS first_day
        FROM usage_dailyusage d WHERE d.user_id = asked.user_id AND d.day >= %s AND d.day <= %s
    ) burnt
    CROSS JOIN LATERAL (
        SELECT array_agg(g.remaining ORDER BY g.has_run_out DESC, g.priority, g.expires_at NULLS LAST, g.category DESC,
                g.effective_at, g.entry_id) AS remaining,
            array_agg(g.expires_at ORDER BY g.has_run_out DESC, g.priority, g.expires_at NULLS LAST, g.category DESC,
                g.effective_at, g.entry_id) AS expires_at
        FROM ledger_grant g WHERE g.user_id = asked.user_id AND g.remaining > 0 AND EXISTS (
            SELECT FROM ledger_grant e WHERE e.user_id = asked.user_id AND e.expires_at > %s AND e.remaining > 0)
    ) grants
    ORDER BY u.id
"""


@dataclass(frozen=True)
class Forecast:
    """How long one customer's credits last if usage continues as it was since `burn_rate_since`.

    The rate is the usage of the last 7 full UTC days and today so far, less refunds, divided by that time to the
    microsecond, and rounded half-up to 6 places. For a younger account, or one whose first use lies within these days
    and before it was created (an import), the time is its own, but never less than a day. All other figures are
    computed from the rounded rate.

    `days_left` is rounded down to 2 places: null when the rate is 0 or it would take more than a hundred years, 0 when
    nothing is available. Grants are used up in the ledger's burn-down order, and what is left of one at its expiry is
    lost. Reserved credits count as spent from the first grants. Future credits are not counted.
    """

    user_id: int
    available: Decimal
    burn_rate_per_day: Decimal
    burn_rate_since: dt.datetime
    days_left: Decimal | None
    depletes_at: dt.datetime | None
    expiring_soon: Decimal = Decimal(0)
    expiring_unspent: Decimal = Decimal(0)
    next_expiry_at: dt.datetime | None = None


def forecast_of(*, user_id: int, now: dt.datetime) -> Forecast:
    """Return a customer's forecast, read in one statement."""
    (forecast,) = forecasts_of([user_id], now=now).values()
    return forecast


def forecasts_of(user_ids: Collection[int], *, now: dt.datetime) -> dict[int, Forecast]:
    """Return the forecast of each of these customers, all read in one statement."""
    now = now.astimezone(dt.UTC)
    today = now.date()
    values = [plain_array(user_ids), today - RATE_DAYS * _DAY, today, now]
    return {row[0]: _forecast(*row, now=now) for row in read_prepared(_FORECASTS, values)}


def burn_rate(
    credits: Decimal, *, created_at: dt.datetime, first_day: dt.date | None, now: dt.datetime
) -> tuple[Decimal, dt.datetime]:
    """Return the rate by the rule that `Forecast` states, in credits a day, and the start of its measurement."""
    since = _midnight(now.date() - RATE_DAYS * _DAY)
    young_since = created_at.astimezone(dt.UTC)
    if first_day is not None:
        young_since = min(young_since, _midnight(first_day))
    since = min(max(since, young_since), now - _DAY)
    return _half_up(Fraction(max(credits, Decimal(0))) / _days(now - since)), since


def _forecast(
    user_id: int,
    created_at: dt.datetime,
    available: Decimal,
    credits: Decimal,
    first_day: dt.date | None,
    remaining: Sequence[Decimal] | None,
    expires_at: Sequence[dt.datetime | None] | None,
    *,
    now: dt.datetime,
) -> Forecast:
    rate, since = burn_rate(credits, created_at=created_at, first_day=first_day, now=now)
    grants = _ahead(available, remaining or (), expires_at or (), now)
    runway = runway_of(grants, rate)
    expiring = [grant for grant in grants if grant.expires_in_days is not None]
    next_expiry = min((grant.expires_in_days for grant in expiring), default=None)  # type: ignore[type-var]
    return Forecast(
        user_id=user_id,
        available=available,
        burn_rate_per_day=rate,
        burn_rate_since=since,
        **_end(available, runway, now),
        expiring_soon=sum(
            (grant.credits for grant in expiring if (grant.expires_in_days or 0) <= SOON_DAYS), Decimal(0)
        ),
        expiring_unspent=_half_up(runway.unspent_within(SOON_DAYS)),
        next_expiry_at=None if next_expiry is None else _after(now, next_expiry),
    )


def _ahead(
    available: Decimal, remaining: Sequence[Decimal], expires_at: Sequence[dt.datetime | None], now: dt.datetime
) -> list[GrantAhead]:
    """Return the available part of grants as of their last settlement: the rest is reserved, or spent since."""
    grants = [
        GrantAhead(credits, None if end is None else _days(end - now))
        for credits, end in zip(remaining, expires_at, strict=True)
    ]
    known = sum(remaining, Decimal(0))
    if known < available:  # all of it, for those without credits that expire
        grants.append(GrantAhead(available - known))
        return grants
    return [
        grant
        for grant in spend(grants, known - available)
        if grant.expires_in_days is None or grant.expires_in_days > 0
    ]


def _end(available: Decimal, runway: Runway, now: dt.datetime) -> dict[str, Any]:
    if available <= 0:
        return {"days_left": Decimal(0), "depletes_at": now.replace(microsecond=0)}
    if runway.days is None or runway.days > FARTHEST_DAYS:
        return {"days_left": None, "depletes_at": None}
    hundredths = Decimal(floor(runway.days * 100)).scaleb(-2)
    return {"days_left": hundredths, "depletes_at": _after(now, runway.days).replace(microsecond=0)}


def _days(span: dt.timedelta) -> Fraction:
    return Fraction(span // dt.timedelta(microseconds=1), _MICROSECONDS_A_DAY)


def _after(now: dt.datetime, days: Fraction) -> dt.datetime:
    return now + dt.timedelta(microseconds=floor(days * _MICROSECONDS_A_DAY))


def _half_up(credits: Fraction) -> Decimal:
    return Decimal(floor(credits * 10**6 + Fraction(1, 2))).scaleb(-6)


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC)
