"""Support finds what it is given, by keyboard alone and without scripts, and the staff log tells who looked."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from accounts.key_format import make_key, prefix_of
from tests.browser.visitor import PHONE, Visits
from usage.demo.company import CUSTOMERS

ALICE = CUSTOMERS[0].email


def search(page: Page, term: str) -> None:
    """Search as somebody with only a keyboard does."""
    page.locator("body").press("/")
    expect(page.get_by_label("Search everything")).to_be_focused()
    page.keyboard.type(term)
    with page.expect_navigation():
        page.keyboard.press("Enter")


def test_support_finds_a_customer_a_reference_and_a_key_by_keyboard_alone(visits: Visits):
    visitor = visits.open()
    visitor.sign_in("support@demo.example")
    page, key = visitor.page, make_key()

    search(page, ALICE)
    expect(page).to_have_url(re.compile(r"/admin/accounts/user/\d+/change/$"))
    search(page, "demo-batch-job nobody")
    expect(page.get_by_role("status")).to_contain_text("Nothing was found")
    search(page, "1")
    expect(page.get_by_role("heading", name="Entries")).to_be_visible()
    found = visitor.faults_for_screen_readers()
    search(page, key)
    expect(page.get_by_role("status")).to_contain_text(prefix_of(key))
    assert key[30:] not in page.content() + page.url

    assert found == []


def test_a_slash_in_a_text_field_is_only_a_slash(visits: Visits):
    visitor = visits.open()
    visitor.sign_in("admin@demo.example")
    visitor.go("/admin/ledger/entry/")

    field = visitor.page.locator("#searchbar")
    field.press("/")

    expect(field).to_have_value("/")


def test_the_search_works_on_a_telephone_without_scripts(visits: Visits):
    visitor = visits.open(window=PHONE, scripts=False)
    visitor.sign_in("support@demo.example")

    visitor.page.get_by_label("Search everything").fill("1")
    visitor.page.locator("form.tb-search button").click()

    expect(visitor.page.get_by_role("heading", name="Entries")).to_be_visible()


def test_an_auditor_reads_who_looked_and_downloads_a_statement(visits: Visits):
    visitor = visits.open()
    visitor.sign_in("auditor@demo.example")
    page = visitor.page
    search(page, ALICE)
    customer = page.url

    page.goto(customer.replace("change", "statement"))
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    visitor.go("/admin/config/staffrecord/?kind=export")

    assert download.value.suggested_filename.startswith("statement-")
    expect(page.locator("#result_list")).to_contain_text(f"Downloaded {download.value.suggested_filename}.")
    visitor.go("/admin/config/staffrecord/?kind=view")
    expect(page.locator("#result_list")).to_contain_text("auditor@demo.example")
