"""Keys that lead through the back office, and lists that are cards on a telephone."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import PHONE, Visits

ENTRIES = "/admin/ledger/entry/"


def test_keys_lead_to_the_next_and_previous_row_and_open_it(visits: Visits):
    visitor = visits.open()
    visitor.sign_in("admin@demo.example")
    visitor.go(ENTRIES)
    links = visitor.page.locator("#result_list tbody th a")

    visitor.page.keyboard.press("j")
    visitor.page.keyboard.press("j")
    expect(links.nth(1)).to_be_focused()
    visitor.page.keyboard.press("k")
    expect(links.nth(0)).to_be_focused()
    opened = links.nth(0).get_attribute("href") or ""
    visitor.page.keyboard.press("Enter")

    visitor.page.wait_for_url(f"**{opened}")


def test_question_mark_lists_the_shortcuts_and_is_a_letter_while_one_writes(visits: Visits):
    visitor = visits.open()
    visitor.sign_in("admin@demo.example")
    dialog = visitor.page.get_by_role("dialog", name="Keyboard shortcuts")

    visitor.page.keyboard.press("/")
    visitor.page.keyboard.press("?")
    expect(dialog).to_be_hidden()
    expect(visitor.page.get_by_label("Search everything")).to_have_value("?")
    visitor.page.get_by_label("Search everything").blur()
    visitor.page.keyboard.press("?")
    expect(dialog).to_be_visible()
    visitor.page.keyboard.press("Escape")

    expect(dialog).to_be_hidden()


@pytest.mark.parametrize("scripts", [True, False], ids=["cards", "without-scripts"])
def test_no_amount_is_cut_off_on_a_telephone(visits: Visits, scripts: bool):
    visitor = visits.open(window=PHONE, scripts=scripts)
    visitor.sign_in("admin@demo.example")
    visitor.go(ENTRIES)

    amount = visitor.page.locator("td.field-shown_amount").first

    assert visitor.overflow() == 0
    amount.scroll_into_view_if_needed()
    box = amount.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= PHONE["width"]
    if scripts:
        assert amount.get_attribute("data-column") == "Amount"
