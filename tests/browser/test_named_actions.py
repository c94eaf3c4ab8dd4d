"""Named actions: a refund sent twice, a grant changed by keyboard, a hold and an address on a telephone."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.visitor import PHONE, Visitor, Visits

ALICE, BOB, EMIL = "alice@demo.example", "bob@demo.example", "emil@demo.example"


def click(visitor: Visitor, name: str, *, times: int = 1) -> None:
    visitor.page.get_by_role("button", name=name, exact=True).click(click_count=times)


def follow(visitor: Visitor, name: str | re.Pattern[str]) -> None:
    visitor.page.locator("#content").get_by_role("link", name=name).first.click()


def first_of(visitor: Visitor, model: str, email: str, *, number: int = 0) -> str:
    """Open the page of a customer's newest row of a model, or of an older one; return its path."""
    visitor.go(f"/admin/{model}/?q={email}")
    visitor.page.locator("#result_list tbody th a").nth(number).click()
    return visitor.page.url


def says(visitor: Visitor, text: str | re.Pattern[str]) -> None:
    expect(visitor.page.locator(".messagelist")).to_contain_text(text)


def fine(visitor: Visitor) -> None:
    """The page reads well, and is no wider than its window."""
    assert visitor.faults_for_screen_readers() == []
    assert visitor.overflow() <= 0


def test_a_payment_is_refunded_in_part_once_however_often_it_is_sent(visits: Visits):
    support, finance = visits.open(), visits.open(window=PHONE, scheme="dark")
    support.sign_in("support@demo.example")
    payment = first_of(support, "ledger/payment", ALICE, number=1)
    expect(support.page.locator("#content").get_by_role("link", name="Refund payment")).to_have_count(0)
    refused = support.page.goto(payment.replace("change", "refund"))
    assert refused is not None
    assert refused.status == 403

    finance.sign_in("finance@demo.example")
    finance.page.goto(payment)
    fine(finance)
    follow(finance, "Refund payment")
    fine(finance)
    finance.page.get_by_label("Amount").fill("1.00")
    finance.page.get_by_label("Reason").fill("One hundred credits were unused")
    click(finance, "Preview")
    preview = finance.page.locator(".tb-preview")
    expect(preview).to_contain_text("1.00 USD")
    expect(preview).to_contain_text("Credits taken back")
    fine(finance)
    click(finance, "Confirm", times=2)
    says(finance, re.compile("1.00 USD were refunded|nothing was refunded again"))
    finance.page.goto(payment)
    expect(finance.page.locator(".field-refunds_by_staff")).to_contain_text("1.00 USD (made)")
    expect(finance.page.locator(".field-refunds_by_staff a")).to_have_count(2)  # one is of the demo itself
    finance.page.go_back()
    finance.page.goto(payment)
    expect(finance.page.locator(".field-refunds_by_staff a")).to_have_count(2)
    fine(finance)


def test_more_than_is_left_is_refused_beside_the_field(visits: Visits):
    finance = visits.open(scheme="dark")
    finance.sign_in("finance@demo.example")
    first_of(finance, "ledger/payment", ALICE, number=1)
    follow(finance, "Refund payment")

    finance.page.get_by_label("Amount").fill("999")
    finance.page.get_by_label("Reason").fill("All of it")
    click(finance, "Preview")

    expect(finance.page.get_by_role("alert")).to_contain_text("are left to refund")
    fine(finance)


def test_a_grant_is_extended_and_ended_by_keyboard_alone(visits: Visits):
    finance = visits.open()
    page = finance.page
    finance.sign_in("finance@demo.example")
    grant = first_of(finance, "ledger/grant", BOB)
    expect(page.locator(".field-changes")).to_contain_text("Extended from")
    page.locator("#content").get_by_role("link", name="Extend grant").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Last day").fill("2099-12-31")
    page.get_by_label("Reason").fill("They wait for a release")
    page.get_by_role("button", name="Preview").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".tb-preview")).to_contain_text("2100-01-01 00:00")
    fine(finance)
    page.get_by_role("button", name="Confirm").focus()
    page.keyboard.press("Enter")
    says(finance, "Extended from")
    fine(finance)

    page.goto(grant.replace("change", "end"))
    page.get_by_label("Reason").fill("Given to the wrong account")
    click(finance, "Preview")
    expect(page.locator(".tb-preview")).to_contain_text("Expires now")
    fine(finance)
    click(finance, "Confirm", times=2)
    says(finance, re.compile("Ended early|nothing was ended again"))
    expect(page.locator("#content").get_by_role("link", name="End grant")).to_have_count(0)


def test_a_hold_is_released_and_an_address_verified_on_a_telephone(visits: Visits):
    support = visits.open(window=PHONE)
    page = support.page
    support.sign_in("support@demo.example")
    first_of(support, "ledger/hold", ALICE)
    follow(support, "Release hold")
    page.get_by_label("Reason").fill("Their job died")
    click(support, "Preview")
    expect(page.locator(".tb-preview")).to_contain_text("Given back")
    fine(support)
    click(support, "Confirm")
    says(support, "credits given back")
    fine(support)

    first_of(support, "accounts/user", EMIL)
    follow(support, "Verify email")
    expect(page.locator(".tb-figures")).to_contain_text(EMIL)
    page.get_by_label("Reason").fill("Showed our letter")
    click(support, "Preview")
    expect(page.locator(".tb-preview")).to_contain_text("no → yes")
    fine(support)
    click(support, "Confirm", times=2)
    says(support, re.compile("Verified the email|nothing was verified again"))
