"""`manage.py seed_demo`: the demo company, to look around in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from config.cli.command import OperatorCommand, Result, prints_result
from config.cli.run_lock import run_lock
from usage.demo.company import PASSWORD, DemoCompany, seed
from usage.services.retention import make_months_ahead


class Command(OperatorCommand):
    help = "Load a demo company: staff, customers, prices, keys, months of requests. Safe to run twice."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="where the demo is served, for the addresses shown")

    @prints_result
    def handle(self, *args: Any, **options: Any) -> Result:
        if settings.IN_PRODUCTION:
            raise CommandError("The demo company has known passwords and keys: it is not loaded in production.")
        with run_lock("seed_demo"):
            now = timezone.now()
            company = seed(now=now)
            make_months_ahead(now=now, ahead=3)
        data = _data(company, f"http://127.0.0.1:{options['port']}")
        return Result(data, text=_text(data))


def _data(company: DemoCompany, site: str) -> dict[str, Any]:
    return {
        "site": site,
        "password": PASSWORD,
        "staff": [user.email for user in company.staff],
        "customers": list(company.customers),
        "api_key": company.customer_key,
        "service_key": company.service_key,
    }


def _text(data: Mapping[str, Any]) -> str:
    site, customer = data["site"], data["customers"][0]
    return f"""\
Tollbook · demo company

  API docs   {site}/api/docs
  Admin      {site}/admin/     {" · ".join(data["staff"])}
  Customers  {" · ".join(data["customers"])}
  Password   {data["password"]}  (everybody's)
  API key    {data["api_key"]}  ({customer})
  Service    {data["service_key"]}  (gateways)

Try one charge, as a gateway makes it; the same call again is the same charge:
  curl -s {site}/v2/charges -H 'X-API-KEY: {data["service_key"]}' \\
    -H 'Idempotency-Key: first-charge' -H 'Content-Type: application/json' \\
    -d '{{"api_key": "{data["api_key"]}", "endpoint": "translate", "units": 3}}'

Or let a service charge where it works, with the customer's own key:
  curl -s {site}/v2/demo/translate -H 'X-API-KEY: {data["api_key"]}' \\
    -H 'Content-Type: application/json' -d '{{"text": "Hello, world", "to": "de"}}'

And what the customer sees of it:
  curl -s {site}/v2/account/summary -H 'X-API-KEY: {data["api_key"]}'
  TOKEN=$(curl -s {site}/auth/login -H 'Content-Type: application/json' \\
    -d '{{"email":"{customer}","password":"{data["password"]}"}}' | sed 's/.*"access":"\\([^"]*\\)".*/\\1/')
  curl -s {site}/auth/account/summary -H "Authorization: Bearer $TOKEN"
  curl -s '{site}/auth/account/ledger?limit=3' -H "Authorization: Bearer $TOKEN"

Buy credits with the saved card (of a provider that takes no money):
  CARD=$(curl -s {site}/auth/account/payment-methods -H "Authorization: Bearer $TOKEN" \\
    | sed 's/.*"id":\\([0-9]*\\).*/\\1/')
  curl -s {site}/auth/account/top-ups -H "Authorization: Bearer $TOKEN" -H 'Idempotency-Key: first-top-up' \\
    -H 'Content-Type: application/json' -d "{{\\"package\\": \\"starter\\", \\"payment_method_id\\": $CARD}}"

Reload, renew, alert and post webhooks as time goes on, beside the server:
  make worker
"""
