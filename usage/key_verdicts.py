"""Verdicts on keys: whether a request with a customer's key would be charged. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from config.db.prepared import read_prepared
from config.values.paths import normal_endpoint
from ledger.errors import Budget
from ledger.selectors import BALANCE_QUERY
from usage.standings import budget_of


class Code(StrEnum):
    """The first thing that is wrong; `valid` when nothing is."""

    VALID = "valid"
    API_KEY_INVALID = "api_key_invalid"
    API_KEY_EXPIRED = "api_key_expired"
    API_KEY_REVOKED = "api_key_revoked"
    CUSTOMER_INACTIVE = "customer_inactive"
    PRICE_UNKNOWN = "price_unknown"
    RATE_LIMITED = "rate_limited"
    INSUFFICIENT_CREDITS = "insufficient_credits"


@dataclass(frozen=True)
class Verdict:
    """The verdict on a key. `user_id` is None for an unknown key; `credits_required` is None without a price."""

    code: Code
    user_id: int | None
    scopes: list[str] | None
    credits_required: Decimal | None
    available: Decimal | None
    budget: Budget | None

    @property
    def is_valid(self) -> bool:
        return self.code == Code.VALID


# The state of a key, as `usage_key_left` and `usage_take_call` would find it, but without writing or settling.
# Inside CASE, since a function in a lateral join is called before the join's condition is evaluated: nothing may be
# counted for a key without a limit, which could read all of the customer's log.
_LIMITS = """
    SELECT CASE WHEN key.spending_limit IS NOT NULL THEN usage_key_standing(
            key.user_id, coalesce(key.original_id, key.id), key.spending_limit, key.spending_reset_day, asked.at) END
            AS standing,
        CASE WHEN key.rate_limit_per_minute IS NOT NULL THEN EXISTS (
            SELECT FROM config_ratewindow
            WHERE subject = 'key:' || key.id AND minute = floor(extract(epoch FROM asked.at) / 60)
                AND taken >= key.rate_limit_per_minute) END AS has_no_call_left
    OFFSET 0
"""
# A service's key is not a customer's. This reads what a charge would: the same price, the same cost of a request that
# succeeds, and the same bounds.
_FACTS = f"""
    SELECT key.user_id, key.scopes, price.cost, funds.available, limits.standing::text,
        CASE
            WHEN key.user_id IS NULL THEN 'api_key_invalid'
            WHEN key.revoked_at IS NOT NULL THEN 'api_key_revoked'
            WHEN key.expires_at <= asked.at THEN 'api_key_expired'
            WHEN NOT customer.is_active THEN 'customer_inactive'
            WHEN asked.endpoint IS NOT NULL AND price.cost IS NULL THEN 'price_unknown'
            WHEN limits.has_no_call_left THEN 'rate_limited'
            WHEN asked.endpoint IS NULL OR price.cost = 0 THEN 'valid'
            WHEN bounds.frozen_at IS NOT NULL
                OR funds.available - price.cost < -coalesce(bounds.overdraft_limit, 0)
                OR (limits.standing ->> 'limit')::numeric - (limits.standing ->> 'spent')::numeric
                    - (limits.standing ->> 'held')::numeric < price.cost THEN 'insufficient_credits'
            ELSE 'valid'
        END
    FROM (
        SELECT %s::bytea AS key_hash, %s::text AS endpoint, %s::text AS method, %s::numeric AS units,
            clock_timestamp() AS at OFFSET 0
    ) asked
    LEFT JOIN accounts_apikey key ON key.key_hash = asked.key_hash AND key.user_id IS NOT NULL
    LEFT JOIN accounts_user customer ON customer.id = key.user_id
    LEFT JOIN ledger_balance bounds ON bounds.user_id = key.user_id
    LEFT JOIN LATERAL (
        SELECT balance - reserved AS available FROM ({BALANCE_QUERY.replace("%s", "key.user_id")}) credits
    ) funds ON true
    LEFT JOIN LATERAL (
        SELECT usage_cost(found, NULL, asked.units, 200) AS cost
        FROM usage_find_price(asked.endpoint, asked.method, asked.at) found
        WHERE asked.endpoint IS NOT NULL AND found.id IS NOT NULL
    ) price ON true
    LEFT JOIN LATERAL ({_LIMITS}) limits ON true
"""


def verdict_on(*, key_hash: bytes | None, endpoint: str | None, method: str, units: Decimal) -> Verdict:
    """Return whether `units` of an endpoint could be charged by the key with this SHA-256.

    Without an endpoint only the key, its customer and its calls a minute are checked. One statement; nothing is
    written, settled or counted.
    """
    endpoint = None if endpoint is None else normal_endpoint(endpoint)
    rows = read_prepared(_FACTS, [key_hash, endpoint, method, units])
    ((user_id, scopes, required, available, standing, code),) = rows
    return Verdict(Code(code), user_id, scopes, required, available, budget_of(standing))
