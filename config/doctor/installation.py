"""The settings, as Django and we see them."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.core import checks

from config.doctor.finding import Finding


def site_settings() -> Iterator[Finding]:
    """Nothing in the settings is known to be wrong; in production also nothing that is fit for a demo only."""
    for message in checks.run_checks(include_deployment_checks=settings.IN_PRODUCTION, databases=["default"]):
        if message.is_serious(checks.WARNING) and not message.is_silenced():
            hint = f" {message.hint}" if message.hint else ""
            yield Finding("settings", f"{message.msg}{hint} ({message.id})")
    if getattr(settings, "SECURE_PROXY_SSL_HEADER", None) and not settings.TRUSTED_PROXIES:
        yield Finding(
            "settings",
            "BEHIND_TLS_PROXY is set but TRUSTED_PROXIES is not: all callers count as one address, the proxy's. "
            "Name the proxy's address there.",
        )
