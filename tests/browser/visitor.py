"""A person at a browser window, who notices what went wrong in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response

from usage.demo.company import PASSWORD

WIDE, PHONE = {"width": 1400, "height": 900}, {"width": 390, "height": 844}
SERIOUS = ("serious", "critical")
_AXE = {"preload": False, "resultTypes": ["violations"]}  # its preloading adds inline styles, which our policy refuses
# Refusals that a story may meet on purpose are written to the console by the browser itself.
_EXPECTED = "the server responded with a status of 4"


@dataclass
class Visitor:
    """One window. `troubles` are errors of scripts, refusals of the content policy, other hosts and 5xx."""

    site: str
    context: BrowserContext
    page: Page
    troubles: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.troubles.append(f"{self.page.url}: {error}"))
        self.page.on("request", self._request)
        self.page.on("response", self._response)
        self.page.set_default_timeout(15_000)

    def go(self, path: str) -> Response | None:
        return self.page.goto(f"{self.site}{path}")

    def sign_in(self, email: str, password: str = PASSWORD) -> None:
        """Sign in to the back office by its form."""
        self.go("/admin/login/")
        self.page.get_by_label("Email").fill(email)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Log in").click()
        self.page.wait_for_url(lambda url: "/login/" not in url)

    def overflow(self) -> int:
        """Return by how many pixels the page is wider than its window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    def faults_for_screen_readers(self) -> list[str]:
        """Return axe's serious findings on this page, each with the elements that it found."""
        violations: list[dict[str, Any]] = Axe().run(self.page, options=_AXE).response["violations"]
        return [
            f"{found['id']} ({found['help']}): {[node['target'] for node in found['nodes']][:5]}"
            for found in violations
            if found["impact"] in SERIOUS
        ]

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and _EXPECTED not in message.text:
            self.troubles.append(f"{self.page.url}: {message.text}")

    def _request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme in ("http", "https") and f"{address.scheme}://{address.netloc}" != self.site:
            self.troubles.append(f"{self.page.url} asked another host: {request.url}")

    def _response(self, response: Response) -> None:
        if response.status >= 500:
            self.troubles.append(f"{response.url}: {response.status}")


@dataclass
class Visits:
    """Opens visitors of one test, and closes them."""

    browser: Browser
    site: str
    visitors: list[Visitor] = field(default_factory=list)

    def open(self, *, window: dict[str, int] = WIDE, scheme: str = "light", scripts: bool = True) -> Visitor:
        """Open a window with cookies of its own."""
        context = self.browser.new_context(
            viewport=window,  # type: ignore[arg-type]
            color_scheme=scheme,  # type: ignore[arg-type]
            java_script_enabled=scripts,
        )
        visitor = Visitor(self.site, context, context.new_page())
        self.visitors.append(visitor)
        return visitor

    def close(self) -> None:
        troubles = [trouble for visitor in self.visitors for trouble in visitor.troubles]
        for visitor in self.visitors:
            visitor.context.close()
        assert not troubles, "\n".join(troubles)
