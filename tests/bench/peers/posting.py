"""Postings by a peer, repeated; run by the peers' own Python, which does not import Tollbook.

`python posting.py hordak|django_ledger HOST PORT USER DATABASE SECONDS` migrates the database, posts, and prints
postings a second.
"""

from __future__ import annotations

import datetime as dt
import random
import sys
import time
from collections.abc import Callable

CUSTOMERS = 100
APPS = {
    "hordak": ["mptt", "hordak"],
    "django_ledger": ["django.contrib.sessions", "django.contrib.messages", "treebeard", "django_ledger"],
}


def configure(peer: str, *, host: str, port: str, user: str, name: str) -> None:
    import django
    from django.conf import settings
    from django.core.management import call_command

    database = {"ENGINE": "django.db.backends.postgresql", "HOST": host, "PORT": port, "USER": user, "NAME": name}
    settings.configure(
        DATABASES={"default": database | {"CONN_MAX_AGE": 600}},
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", *APPS[peer]],
        USE_TZ=True,
        TIME_ZONE="UTC",
        SECRET_KEY="of nobody",
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        HORDAK_CURRENCIES=["EUR"],
        HORDAK_INTERNAL_CURRENCY="EUR",
        CURRENCIES=["EUR"],
        DJANGO_LEDGER_USE_DEPRECATED_BEHAVIOR=False,
    )
    django.setup()
    call_command("migrate", verbosity=0)


def hordak() -> Callable[[], object]:
    """Make accounts of customers and one of income; a posting is a transaction with two legs."""
    from django.db import transaction
    from hordak.models import Account
    from moneyed import Money

    income = Account.objects.create(name="income", code="1", type=Account.TYPES.income, currencies=["EUR"])
    customers = [
        Account.objects.create(name=f"c{n}", code=str(n), type=Account.TYPES.liability, currencies=["EUR"])
        for n in range(2, CUSTOMERS + 2)
    ]

    def post() -> None:
        with transaction.atomic():
            random.choice(customers).transfer_to(income, Money(1, "EUR"), description="translate")

    return post


def django_ledger() -> Callable[[], object]:
    """Make an entity with a ledger; a posting is a journal entry with two transactions, posted."""
    from django.contrib.auth import get_user_model
    from django_ledger.models import EntityModel

    admin = get_user_model().objects.create_user("bench")
    entity = EntityModel.create_entity(name="bench", use_accrual_method=True, admin=admin, fy_start_month=1)
    entity.create_chart_of_accounts(assign_as_default=True, commit=True)
    entity.populate_default_coa(activate_accounts=True)
    ledger = entity.create_ledger(name="usage", posted=True)
    accounts = entity.get_default_coa_accounts()
    cash, income = accounts.get(role="asset_ca_cash"), accounts.filter(role="in_operational").first()

    def post() -> None:
        ledger.commit_txs(
            je_timestamp=dt.datetime.now(dt.UTC),
            je_txs=[
                {"account": cash, "amount": 1, "tx_type": "debit", "description": "translate"},
                {"account": income, "amount": 1, "tx_type": "credit", "description": "translate"},
            ],
            je_posted=True,
        )

    return post


def main(peer: str, host: str, port: str, user: str, name: str, seconds: str) -> None:
    configure(peer, host=host, port=port, user=user, name=name)
    post = {"hordak": hordak, "django_ledger": django_ledger}[peer]()
    for _ in range(20):
        post()
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < float(seconds):
        post()
        count += 1
    print(count / float(seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
