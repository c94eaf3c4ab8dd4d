"""Which grants an entry drew on, opened or refilled."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import NamedTuple

from config.db.statements import Statement
from ledger.models import Entry, GrantProgress
from ledger.services.grants import settle_grants

MOST_SHARES = 200
"""How many grants of an entry are named; the rest of a debit that drew on more is one share without a grant."""

# The runs of debits that the entry has a part in (as `ledger_drawn_at`): one that ends with it, or the next to end. In
# the middle of a run the whole entry is drawn from its one grant. By the unique index, so no more rows are read than
# are returned.
_DRAWN = Statement.named("""
    SELECT g.entry_id, g.category, g.expires_at,
        CASE %(seq)s WHEN d.first_seq THEN d.first_credits WHEN d.last_seq THEN d.last_credits ELSE %(debited)s END
    FROM (
        (SELECT * FROM ledger_grantdraw WHERE user_id = %(user)s AND last_seq = %(seq)s
         ORDER BY last_seq, grant_id LIMIT %(most)s)
        UNION ALL
        (SELECT * FROM ledger_grantdraw
         WHERE user_id = %(user)s AND first_seq <= %(seq)s AND last_seq = (
            SELECT min(last_seq) FROM ledger_grantdraw WHERE user_id = %(user)s AND last_seq > %(seq)s)
         ORDER BY last_seq, grant_id LIMIT %(most)s)
    ) d
    JOIN ledger_grant g ON g.entry_id = d.grant_id
    ORDER BY d.id LIMIT %(most)s
""")
# A credit opens the grant of its own id, or refills those that an earlier debit drew on.
_BROUGHT = Statement.named("""
    SELECT entry_id, category, expires_at, amount FROM ledger_grant WHERE entry_id = %(entry)s AND user_id = %(user)s
    UNION ALL
    (SELECT g.entry_id, g.category, g.expires_at, -d.credits
     FROM ledger_grantdraw d JOIN ledger_grant g ON g.entry_id = d.grant_id
     WHERE d.user_id = %(user)s AND d.last_seq = %(seq)s AND d.first_seq = %(seq)s AND d.credits < 0
     ORDER BY d.last_seq, d.grant_id LIMIT %(most)s)
""")


class GrantShare(NamedTuple):
    """Credits of one grant that an entry used or brought. Without a grant: an overdraft, or what is not named."""

    grant_id: int | None
    category: str | None
    expires_at: dt.datetime | None
    credits: Decimal


def shares_of(entry: Entry) -> list[GrantShare]:
    """Return the grants that an entry drew on, opened or refilled; their credits sum to its amount, without the sign.

    What a debit took beyond all grants, within an overdraft, is a share without a grant; so is what a credit paid of
    one. Which debits drew on which grants is settled first, unless it has been: that locks the balance.
    """
    if not _is_settled(entry):
        settle_grants(user_id=entry.user_id)
    asked = {
        "user": entry.user_id,
        "entry": entry.pk,
        "seq": entry.seq,
        "debited": -entry.amount,
        "most": MOST_SHARES,
    }
    rows = (_DRAWN if entry.amount < 0 else _BROUGHT).read_planned(asked)
    shares = [GrantShare(*row) for row in rows]
    rest = abs(entry.amount) - sum((share.credits for share in shares), Decimal(0))
    return [*shares, GrantShare(None, None, None, rest)] if rest else shares


def _is_settled(entry: Entry) -> bool:
    return GrantProgress.objects.filter(pk=entry.user_id, seq__gte=entry.seq).exists()
