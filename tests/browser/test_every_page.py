"""Every page of the back office: readable on a telephone, in the dark, and by a screen reader."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.browser.visitor import PHONE, WIDE, Visits

LOOKS = [
    pytest.param(WIDE, "light", id="wide-light"),
    pytest.param(WIDE, "dark", id="wide-dark"),
    pytest.param(PHONE, "light", id="phone-light"),
    pytest.param(PHONE, "dark", id="phone-dark"),
]


def _pages(page: Page) -> list[str]:
    """Return the front page, each list that it names, and the first object of each list."""
    page.goto(page.url.partition("/admin/")[0] + "/admin/")
    hrefs = page.eval_on_selector_all("#content-main th a", "all => all.map((a) => a.getAttribute('href'))")
    lists = list(dict.fromkeys(hrefs))
    objects = []
    for path in lists:
        page.goto(page.url.partition("/admin/")[0] + path)
        first = page.locator("#result_list tbody th a").first
        if first.count():
            objects.append(first.get_attribute("href"))
    return ["/admin/", *lists, *(path.partition("?")[0] for path in objects if path)]


@pytest.mark.parametrize(("window", "scheme"), LOOKS)
def test_every_page_fits_its_window_and_reads_well(visits: Visits, window: dict[str, int], scheme: str):
    visitor = visits.open(window=window, scheme=scheme)
    visitor.sign_in("admin@demo.example")
    faults = {}

    pages = _pages(visitor.page)
    for path in pages:
        visitor.go(path)
        found = visitor.faults_for_screen_readers()
        if visitor.overflow() > 0:
            found.append(f"{visitor.overflow()} pixels wider than the window")
        if found:
            faults[path] = found

    assert len(pages) > 30
    assert faults == {}, "\n".join(f"{path}: {found}" for path, found in faults.items())
