"""A member of staff gets a second factor, and signs in with it: an app's codes, and a passkey of the browser."""

from __future__ import annotations

import re

import pytest
from django.db import connections

from accounts.hashers import Argon2
from accounts.models import User
from tests.accounts.second_factors import code_from
from tests.browser.visitor import PHONE, WIDE, Visitor, Visits
from usage.demo.company import PASSWORD

MIDDLE = "/account/second-factor/"
PAGES = (
    *(f"{MIDDLE}{page}" for page in ("", "app/replace/", "app/remove/", "keys/", "keys/add/", "confirm/")),
    *(f"{MIDDLE}recovery-codes/{page}" for page in ("", "new/")),
    *(f"/account/{page}/" for page in ("sessions", "confirm", "single-sign-on-cancelled")),
)


@pytest.fixture
def newcomer(site: str, django_db_blocker: object, request: pytest.FixtureRequest) -> str:
    """Create somebody of staff for one story; return the address."""
    email = f"{re.sub(r'[^a-z0-9]+', '-', request.node.name)[-50:].strip('-')}@demo.example"
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        person = User.objects.create_user(email, is_staff=True, is_superuser=True)
        # As the server hashes, and not as other tests do.
        User.objects.filter(pk=person.pk).update(password=Argon2().encode(PASSWORD, "salt of a story"))
        connections.close_all()
    return email


def enrol(visitor: Visitor) -> str:
    """Add an authenticator app; return its secret."""
    visitor.go(f"{MIDDLE}app/add/")
    secret = visitor.page.locator(".ac-secret").inner_text()
    visitor.page.get_by_label("Authenticator code").fill(code_from(secret))
    visitor.page.get_by_role("button", name="Add").click()
    visitor.page.wait_for_url("**/recovery-codes/")
    return secret


def sign_out(visitor: Visitor) -> None:
    visitor.page.context.clear_cookies()


def give_password(visitor: Visitor, email: str) -> None:
    visitor.go("/admin/login/")
    visitor.page.get_by_label("Email").fill(email)
    visitor.page.get_by_label("Password").fill(PASSWORD)
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_url("**/second-factor/sign-in/")


def with_passkeys(visits: Visits) -> Visitor:
    """Open a window whose browser has a passkey device; passkeys need a name, not an address."""
    visitor = visits.open()
    visitor.site = visitor.site.replace("127.0.0.1", "localhost")
    session = visitor.context.new_cdp_session(visitor.page)
    session.send("WebAuthn.enable")
    device = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
    options = {**device, "isUserVerified": True, "automaticPresenceSimulation": True}
    session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return visitor


def test_staff_enrol_an_app_and_sign_in_with_its_code_by_keyboard_alone(visitor: Visitor, newcomer: str):
    visitor.sign_in(newcomer)
    secret = enrol(visitor)
    assert visitor.page.locator(".ac-codes li").count() == 10
    sign_out(visitor)

    give_password(visitor, newcomer)
    visitor.page.get_by_label("Code").fill(code_from(secret, steps=1))
    visitor.page.keyboard.press("Enter")

    visitor.page.wait_for_url("**/admin/")
    assert visitor.page.get_by_role("heading", level=1).is_visible()


def test_staff_enrol_a_passkey_and_sign_in_with_it(visits: Visits, newcomer: str):
    visitor = with_passkeys(visits)
    visitor.sign_in(newcomer)
    visitor.go(f"{MIDDLE}keys/add/")
    visitor.page.get_by_label("Name").fill("This browser")
    visitor.page.get_by_role("button", name="Add").click()
    visitor.page.wait_for_url("**/recovery-codes/")
    sign_out(visitor)

    give_password(visitor, newcomer)
    visitor.page.get_by_role("button", name="Use a passkey instead").click()

    visitor.page.wait_for_url("**/admin/")


@pytest.mark.parametrize(("window", "scheme"), [(WIDE, "light"), (PHONE, "light"), (PHONE, "dark")])
def test_pages_of_ones_own_account_fit_their_window_and_read_well(
    visits: Visits, newcomer: str, window: dict[str, int], scheme: str
):
    visitor = visits.open(window=window, scheme=scheme)
    visitor.sign_in(newcomer)
    faults = {}

    def look(path: str) -> None:
        found = visitor.faults_for_screen_readers()
        if visitor.overflow() > 0:
            found.append(f"{visitor.overflow()} pixels wider than the window")
        if found:
            faults[path] = found

    visitor.go(f"{MIDDLE}app/add/")
    look(f"{MIDDLE}app/add/")
    enrol(visitor)
    for path in PAGES:
        visitor.go(path)
        look(path)
    sign_out(visitor)
    give_password(visitor, newcomer)
    look(f"{MIDDLE}sign-in/")

    assert faults == {}, "\n".join(f"{path}: {found}" for path, found in faults.items())
