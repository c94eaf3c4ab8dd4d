"""A dispute: found in the queue, read beside its entry, answered, and resolved with credits."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import PHONE, WIDE, Visits

LIST = "/admin/ledger/entrydispute/"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("window", [WIDE, PHONE], ids=["wide", "phone"])
def test_the_explanation_of_an_entry_fits_its_window_and_reads_well(
    visits: Visits, window: dict[str, int], scheme: str
):
    visitor = visits.open(window=window, scheme=scheme)
    visitor.sign_in("admin@demo.example")
    visitor.go(LIST)
    entry = visitor.page.locator("#result_list td.field-shown_entry a").first.get_attribute("href") or ""

    visitor.go(entry.replace("/change/", "/explain/"))

    assert visitor.page.locator(".tb-explain h2").count() >= 3
    assert visitor.faults_for_screen_readers() == []
    assert visitor.overflow() <= 0


def test_the_oldest_dispute_is_answered_and_resolved(visits: Visits):
    visitor = visits.open()
    visitor.sign_in("support@demo.example")
    visitor.go(LIST)
    page = visitor.page
    page.locator("#result_list tbody th a").first.click()
    dispute = page.url

    page.get_by_role("link", name="Answer", exact=True).click()
    page.get_by_label("Message").fill("We see: the pages are empty.")
    page.get_by_role("button", name="Preview").click()
    page.get_by_role("button", name="Confirm").click()
    page.goto(dispute)
    expect(page.locator(".tb-thread")).to_contain_text("We see: the pages are empty.")
    page.get_by_role("link", name="Resolve with credits").click()
    page.get_by_label("Credits").fill("2")
    page.get_by_label("Note").fill("Two empty pages")
    page.get_by_role("button", name="Preview").click()
    page.get_by_role("button", name="Confirm").click(click_count=2)
    page.goto(dispute)

    expect(page.locator(".field-state")).to_contain_text("Resolved")
    expect(page.get_by_role("link", name="Answer", exact=True)).to_have_count(0)
    assert visitor.faults_for_screen_readers() == []
    assert visitor.overflow() <= 0
