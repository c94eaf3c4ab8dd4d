"""Whose account staff act on: every page and action about a customer asks, those of tomorrow too.

The routes are read from the back office itself. One that acts on a customer and does not ask fails here; so does one
whose model has no row in `MADE_FOR` or `ABOUT_NOBODY`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.urls import URLPattern, reverse

from accounts.admin.access import may_act_on, may_act_on_key
from accounts.models import ApiKey, User
from config.backoffice.read_only import ReadOnlyAdmin
from ledger.admin.subscriptions.actions import ACTIONS
from ledger.models import AdjustmentRequest, AdjustmentState, Entry
from ledger.providers import fake as cards
from ledger.selectors import terms_of
from tests.accounts.webhooks import webhook_tried
from tests.backoffice import found, list_of, new_form, signed_in, staff_with, superuser
from tests.factories import ApiKeyFactory, ServiceKeyFactory, StaffFactory, SubscriptionFactory, UserFactory, give
from tests.ledger.adjusting import limited, send
from tests.ledger.disputing import a_dispute
from tests.ledger.granting import granted
from tests.ledger.paying import bought
from tests.ledger.posting import hold
from tests.ledger.reloading import agreed

pytestmark = pytest.mark.django_db

# How to create an object of a customer's that the pages of a model can act on; returns its key.
MADE_FOR = {
    "accounts_user": lambda user: user.pk,
    "accounts_apikey": lambda user: ApiKeyFactory(user=user).api_key.pk,
    "accounts_webhookdelivery": lambda user: webhook_tried(user).pk,
    "accounts_subscription": lambda user: SubscriptionFactory(user=user).pk,
    "ledger_adjustmentrequest": lambda user: send(f"{user.pk},5,goodwill,{uuid.uuid4()},", by=cautious()).request.pk,
    "ledger_entry": lambda user: give(user, 5).pk,
    "ledger_entrydispute": lambda user: a_dispute(user).pk,
    "ledger_payment": lambda user: bought(user, cards.TIME_OUT).pk,
    "ledger_autoreload": lambda user: agreed(user).pk,
    "ledger_grant": lambda user: granted(user, 1, days=1).pk,
    "usage_reconciliationfinding": lambda user: found(user).pk,
    "ledger_hold": lambda user: hold(user, 0).hold.pk,
}
# Pages on which staff may ask for something on their own account, which a second person has to agree to.
ASKING = {"accounts_user_adjust_credits"}
# Pages of those who wrote the row; everybody else is refused.
OF_AUTHORS = {"ledger_adjustmentrequest_withdraw"}
# Models whose pages act on no customer's account, and why.
ABOUT_NOBODY = {
    "accounts_plan": "what there is to subscribe to",
    "auth_group": "roles, which superusers alone change",
    "ledger_topuppackage": "what there is to buy",
    "usage_price": "what an endpoint costs",
}
OTHER_ARGUMENTS = {"name": list(ACTIONS)}  # of routes that take more than the object's key
SHOWING = ("_changelist", "_add", "_history", "_export", "_explain", "_delete")  # the last is refused to all


def cautious() -> User:
    """Return a superuser who may post nothing alone."""
    return limited(superuser(), single=0, daily=0)


def routes() -> Iterator[tuple[str, str, dict[str, str]]]:
    """Return model, name and arguments of each route of the back office that could act on one object."""
    for model, pages in admin.site._registry.items():
        label = f"{model._meta.app_label}_{model._meta.model_name}"
        for pattern in pages.get_urls():
            assert isinstance(pattern, URLPattern)
            name, arguments = pattern.name, list(pattern.pattern.converters)
            if name is None or not arguments or name.endswith(SHOWING) or label in ABOUT_NOBODY:
                continue
            if name == f"{label}_change" and isinstance(pages, ReadOnlyAdmin):
                continue
            yield label, name, {"key": arguments[0], "other": arguments[1] if len(arguments) > 1 else ""}


ROUTES = [
    pytest.param(label, name, found["key"], {found["other"]: value} if found["other"] else {}, id=f"{name} {value}")
    for label, name, found in routes()
    for value in OTHER_ARGUMENTS.get(found["other"], [""])
]
BULK = [
    pytest.param(f"{model._meta.app_label}_{model._meta.model_name}", action, id=str(action))
    for model, pages in admin.site._registry.items()
    for action in pages.actions or ()
]


def everything(user: User) -> User:
    """Grant a user every permission, without making them a superuser."""
    user.user_permissions.set(Permission.objects.all())
    return User.objects.get(pk=user.pk)


def pairs() -> list[tuple[str, bool]]:
    return [
        ("support and a customer", True),
        ("support and themselves", False),
        ("support and a colleague", False),
        ("support and a superuser", False),
        ("support and a superuser who is no staff", False),
        ("superuser and a customer", True),
        ("superuser and themselves", False),
        ("superuser and a colleague", True),
    ]


def made(pair: str) -> tuple[User, User]:
    who, _, whom = pair.partition(" and ")
    viewer = superuser() if who == "superuser" else everything(StaffFactory())
    match whom:
        case "a customer":
            return viewer, UserFactory()
        case "themselves":
            return viewer, viewer
        case "a colleague":
            return viewer, StaffFactory()
        case "a superuser who is no staff":
            return viewer, UserFactory(is_superuser=True)
    return viewer, superuser()


@pytest.mark.parametrize(("pair", "allowed"), pairs())
def test_may_act_on_refuses_oneself_and_staff(pair, allowed):
    viewer, customer = made(pair)

    assert may_act_on(viewer, customer) is allowed


@pytest.mark.parametrize(("pair", "allowed"), pairs())
@pytest.mark.parametrize(("label", "name", "key", "others"), ROUTES)
def test_a_page_about_a_customer_asks_whose_account_it_is(label, name, key, others, pair, allowed):
    assert label in MADE_FOR, f"{name}: say in MADE_FOR how to make one, or in ABOUT_NOBODY why nobody need be asked"
    viewer, customer = made(pair)
    client = signed_in(viewer)
    address = reverse(f"admin:{name}", kwargs={key: MADE_FOR[label](customer), **others})
    is_own_page = name in ("accounts_user_change", "accounts_user_settings")  # is looked at, too
    allowed = (allowed or (viewer == customer and name in ASKING)) and name not in OF_AUTHORS

    shown, sent = client.get(address), client.post(address, {"step": "confirm"})

    assert (shown.status_code != 403) is (allowed or is_own_page)
    assert (sent.status_code != 403) is allowed
    assert shown.status_code in (200, 302, 403)


@pytest.mark.parametrize(("pair", "allowed"), pairs())
@pytest.mark.parametrize(("label", "action"), BULK)
def test_an_action_on_many_asks_whose_accounts_they_are(label, action, pair, allowed):
    assert label in MADE_FOR, f"{action}: say in MADE_FOR how to make one, or in ABOUT_NOBODY why nobody need be asked"
    viewer, customer = made(pair)
    chosen = [MADE_FOR[label](customer), MADE_FOR[label](UserFactory())]

    answer = signed_in(viewer).post(list_of(label), {"action": action, "_selected_action": chosen})

    assert (answer.status_code != 403) is allowed


def test_support_cannot_grant_itself_anything():
    staff = everything(StaffFactory())
    client = signed_in(staff)
    page = f"/admin/accounts/user/{staff.pk}/"
    words = {"form_key": "0" * 32, "note": "for me", "step": "confirm"}

    codes = [
        client.post(f"{page}adjust-credits/", {**words, "amount": "999999", "reason": "goodwill"}).status_code,
        client.post(f"{page}overdraft-limit/", {**words, "limit": "999999"}).status_code,
    ]

    assert codes == [302, 403]
    assert AdjustmentRequest.objects.get().state == AdjustmentState.PENDING
    assert not Entry.objects.exists()
    assert terms_of(user_id=staff.pk).overdraft_limit == 0


def test_a_page_offers_only_what_it_lets_do():
    viewer = everything(StaffFactory())
    client = signed_in(viewer)

    own = client.get(f"/admin/accounts/user/{viewer.pk}/change/").content.decode()
    others = client.get(f"/admin/accounts/user/{UserFactory().pk}/change/").content.decode()

    assert "/adjust-credits/" in own  # asks a second person
    for offered in ("/freeze/", "/overdraft-limit/", "/issue-key/"):
        assert offered not in own
        assert offered in others


# --- Keys of services -----------------------------------------------------------------------------------


CHANGING = ("accounts.view_apikey", "accounts.change_apikey", "accounts.revoke_apikey")


@pytest.mark.parametrize(
    ("permissions", "allowed"), [(CHANGING, False), ((*CHANGING, "accounts.issue_service_key"), True)]
)
def test_a_service_key_is_revoked_and_throttled_only_by_who_may_issue_one(permissions, allowed):
    key = ServiceKeyFactory().api_key
    viewer = staff_with(*permissions)
    client = signed_in(viewer)
    limits = reverse("admin:accounts_apikey_limits", args=[key.pk])
    revoking = {"action": "revoke", "_selected_action": [str(key.pk)], "confirmed": "yes", **new_form()}

    page = client.get(f"/admin/accounts/apikey/{key.pk}/change/").content.decode()
    codes = [
        client.get(limits).status_code,
        client.post(limits, {"rate_limit_per_minute": "1"}).status_code,
        client.post(list_of("accounts_apikey"), revoking).status_code,
    ]

    key.refresh_from_db()
    assert may_act_on_key(viewer, key) is allowed
    assert codes == ([200, 302, 302] if allowed else [403, 403, 403])
    assert (key.rate_limit_per_minute, key.revoked_at is not None) == ((1, True) if allowed else (None, False))
    assert ("Revoke…" in page, "Change limits" in page) == (allowed, allowed)


def test_a_selection_with_a_service_key_in_it_revokes_none():
    keys = [ServiceKeyFactory().api_key.pk, ApiKeyFactory().api_key.pk]
    revoking = {"action": "revoke", "_selected_action": keys, "confirmed": "yes", **new_form()}

    answer = signed_in(staff_with(*CHANGING)).post(list_of("accounts_apikey"), revoking)

    assert answer.status_code == 403
    assert ApiKey.objects.filter(revoked_at=None).count() == 2
