"""Above the limit: asked for by support, not decided by support, approved by finance, reversed in part; and a file."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.visitor import PHONE, Visitor, Visits

HEADER = "customer,amount,reason,note,reference"


def click(visitor: Visitor, name: str, *, times: int = 1) -> None:
    visitor.page.get_by_role("button", name=name, exact=True).click(click_count=times)


def follow(visitor: Visitor, name: str | re.Pattern[str]) -> None:
    visitor.page.locator("#content").get_by_role("link", name=name).first.click()


def says(visitor: Visitor, text: str | re.Pattern[str]) -> None:
    expect(visitor.page.locator(".messagelist")).to_contain_text(text)


def fine(visitor: Visitor) -> None:
    """The page reads well, and is no wider than its window."""
    assert visitor.faults_for_screen_readers() == []
    assert visitor.overflow() <= 0


def test_one_person_asks_another_agrees_and_a_part_is_reversed(visits: Visits):
    support, finance = visits.open(), visits.open(scheme="dark")
    support.sign_in("support@demo.example")
    support.page.get_by_label("Search everything").fill("emil@demo.example")
    support.page.keyboard.press("Enter")
    follow(support, "Adjust credits")
    support.page.get_by_label("Amount").fill("450")
    support.page.get_by_label("Reason").select_option("goodwill")
    support.page.get_by_label("Note").fill("The outage of last week")
    support.page.get_by_label("Reference").fill("T-2001")
    click(support, "Preview")
    expect(support.page.locator(".tb-preview")).to_contain_text("A second person has to agree")
    fine(support)
    click(support, "Confirm", times=2)
    says(support, "Nothing was posted yet")
    support.page.locator(".messagelist").get_by_role("link").click()
    request = support.page.url
    expect(support.page.get_by_role("link", name="Withdraw")).to_be_visible()
    expect(support.page.get_by_role("link", name="Approve")).to_have_count(0)
    refused = support.page.goto(request.replace("change", "approve"))
    assert refused is not None
    assert refused.status == 403

    finance.sign_in("finance@demo.example")
    finance.page.goto(request)
    fine(finance)
    follow(finance, "Approve")
    finance.page.get_by_label("Note").fill("Seen in the incident report")
    click(finance, "Preview")
    fine(finance)
    second_tab = finance.context.new_page()
    second_tab.goto(request.replace("change", "approve"))
    second_tab.get_by_label("Note").fill("Seen in the incident report")
    second_tab.get_by_role("button", name="Preview").click()
    click(finance, "Confirm", times=2)
    says(finance, re.compile("is approved|nothing was decided again"))
    second_tab.get_by_role("button", name="Confirm").click()
    expect(second_tab.locator(".messagelist")).to_contain_text("nothing was decided again")
    finance.page.goto(request)
    expect(finance.page.locator("#content")).to_contain_text("Approved")

    finance.page.locator(".field-posted_entry a").click()
    follow(finance, "Explain")
    expect(finance.page.locator("#content")).to_contain_text("support@demo.example")
    fine(finance)
    finance.page.go_back()
    follow(finance, "Reverse entry")
    finance.page.get_by_label("Credits").fill("150")
    finance.page.get_by_label("Note").fill("It was one week, not two")
    click(finance, "Preview")
    expect(finance.page.locator(".tb-preview")).to_contain_text("-150")
    fine(finance)
    click(finance, "Confirm", times=2)
    expect(finance.page.locator(".field-reversed_by")).to_contain_text("(-150)")
    expect(finance.page.locator(".field-reversed_by a")).to_have_count(1)


def test_a_file_is_shown_line_by_line_and_posted_once(visits: Visits, tmp_path: Path):
    visitor = visits.open(window=PHONE)
    visitor.sign_in("finance@demo.example")
    file = tmp_path / "outage.csv"

    def upload(*lines: str) -> None:
        file.write_text("\n".join([HEADER, *lines]))
        visitor.go("/admin/ledger/adjustmentrequest/upload/")
        visitor.page.get_by_label("CSV file").set_input_files(file)
        visitor.page.get_by_label("Note").fill("Everybody who waited")
        click(visitor, "Preview")

    upload("dora@demo.example,5,goodwill,Slow,", "nobody@demo.example,5,goodwill,Slow,")
    expect(visitor.page.get_by_role("alert")).to_contain_text("1 of 2 lines cannot be posted.")
    expect(visitor.page.locator(".tb-lines")).to_contain_text("There is no customer with this email or id.")
    fine(visitor)

    upload("dora@demo.example,5,goodwill,Slow,")
    fine(visitor)
    click(visitor, "Confirm", times=2)
    says(visitor, re.compile("posted one by one|nothing was posted again"))
    expect(visitor.page.locator("#content")).to_contain_text("Posted")
    fine(visitor)

    upload("dora@demo.example,5.00,goodwill,Slow,")
    expect(visitor.page.get_by_role("alert")).to_contain_text("1 of 1 lines cannot be posted.")
