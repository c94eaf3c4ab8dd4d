"""The demo company on the real server, and Debian's Chromium to look at it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, sync_playwright

from tests.browser.visitor import Visitor, Visits
from tests.server import Server
from usage.demo.company import seed
from usage.services.partitions import ensure_partition
from usage.services.retention import make_months_ahead

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
WITHOUT = "Browser tests need Chromium: apt-get install chromium, or name its program in CHROMIUM."
# What a machine without the wider network needs, and root.
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync",
         "--disable-component-update", "--no-first-run")  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the stories, with one sentence, where there is no browser; pytest calls this for every test there is."""
    if not CHROMIUM:
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=WITHOUT))


@pytest.fixture(scope="session")
def site(django_db_setup: None, django_db_blocker: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the demo company; yield the site's address. Stories share it, and act on customers of their own."""
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        seed(now=timezone.now())
        ensure_partition(timezone.now())
        make_months_ahead(now=timezone.now(), ahead=1)
        with Server(log=tmp_path_factory.mktemp("server") / "log") as server:
            yield server.url


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    # Playwright runs an event loop in this thread, so Django would refuse its own database calls.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))


@pytest.fixture
def visits(site: str, browser: Browser) -> Iterator[Visits]:
    """Yield what opens visitors; at the end none of them may have met an error."""
    visits = Visits(browser, site)
    yield visits
    visits.close()


@pytest.fixture
def visitor(visits: Visits) -> Visitor:
    """Return one visitor with a wide, light window."""
    return visits.open()
