"""Modules that call other servers: few, each with its own time limit."""

from __future__ import annotations

import re
from pathlib import Path

from django.conf import settings

BASE = Path(settings.BASE_DIR)
CLIENTS = "requests|stripe|smtplib|http\\.client|urllib\\.request|httpx"
OUTBOUND = re.compile(rf"^\s*(?:import|from) (?:{CLIENTS})\b", re.MULTILINE)
NETWORK = re.compile(r"\bsocket\.(?:create_connection|getaddrinfo)\(|\burlopen\(")
KNOWN = {
    "accounts/providers/issuer.py",  # of staff, within a turn (tests/accounts/test_single_sign_on.py)
    "accounts/providers/look_ups.py",  # names of webhooks, looked up by deliver_webhooks
    "accounts/providers/webhook_post.py",  # webhooks, posted by deliver_webhooks
    "config/mail.py",  # emails, sent by rounds of notices (tests/config/test_mail.py)
    "ledger/providers/stripe.py",  # within a turn (tests/ledger/test_turns.py)
}


def test_only_modules_whose_waiting_is_bounded_talk_to_other_servers():
    sources = {
        str(path.relative_to(BASE)): path.read_text(encoding="utf-8")
        for app in ("accounts", "config", "ledger", "usage")
        for path in (BASE / app).rglob("*.py")
    }

    assert {name for name, text in sources.items() if OUTBOUND.search(text) or NETWORK.search(text)} == KNOWN
