"""System checks of the configuration."""

from __future__ import annotations

import os
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning, register  # noqa: A004  Django's name for it


@register("database")
def owner_is_another_login(**_: Any) -> list[CheckMessage]:
    """Warn if the owner's login is the application's: production refuses that (config/settings.py)."""
    if not os.environ.get("DATABASE_OWNER_URL", "").strip():
        return []
    if settings.DATABASES["owner"]["USER"] != settings.DATABASES["default"]["USER"]:
        return []
    return [
        Warning(
            "DATABASE_OWNER_URL names the same login as DATABASE_URL.",
            hint="The application can then rewrite the ledger it writes through: give it a role of its own.",
            id="config.W001",
        )
    ]
