"""The README's tables agree with the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import get_commands
from django.urls import URLPattern, URLResolver, get_resolver

README = (Path(settings.BASE_DIR) / "README.md").read_text(encoding="utf-8")
OUR_APPS = {"config", "accounts", "ledger", "usage"}


def our_commands() -> list[str]:
    return sorted(name for name, app in get_commands().items() if app in OUR_APPS and name != "migrate")


def api_routes(patterns: list[URLPattern | URLResolver], before: str = "/") -> list[str]:
    routes = []
    for pattern in patterns:
        route = before + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(pattern.pattern))  # as the contract writes it
        if isinstance(pattern, URLResolver):
            if pattern.app_name != "admin":
                routes += api_routes(pattern.url_patterns, route)
        elif not route.startswith("/admin") and route != "/":
            routes.append(route)
    return routes


def settings_read() -> list[str]:
    files = sorted((Path(settings.BASE_DIR) / "config").glob("settings*.py"))
    source = "".join(file.read_text(encoding="utf-8") for file in files)
    return sorted(set(re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', source)))


@pytest.mark.parametrize("command", our_commands())
def test_every_command_stands_in_the_readme(command):
    assert f"| `{command}" in README


@pytest.mark.parametrize("route", api_routes(get_resolver().url_patterns))
def test_every_route_stands_in_the_readme(route):
    assert re.search(rf"[ `]{re.escape(route)}`", README)


@pytest.mark.parametrize("name", settings_read())
def test_every_setting_stands_in_the_readme(name):
    assert f"`{name}`" in README


def test_every_decision_that_the_readme_names_exists():
    for path in re.findall(r"\((docs/[^)]+)\)", README):
        assert (Path(settings.BASE_DIR) / path).is_file(), path
