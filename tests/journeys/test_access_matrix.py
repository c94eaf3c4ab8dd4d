"""Every route for every caller: another customer's objects cannot be seen or changed, and are answered as missing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse

from accounts.models import ApiKey, User, WebhookDelivery, WebhookEndpoint
from ledger.models import Balance, Entry, Hold, Payment, PaymentMethod
from tests.backoffice import signed_in
from tests.factories import PASSWORD, StaffFactory, UserFactory
from tests.journeys.access_table import CALLERS, MARK, TABLE, Row, World, build_world, caller_of
from tests.journeys.routes import VERBS, Route, admin_patterns, routes
from tests.module_data import module_data

pytestmark = pytest.mark.django_db
NOWHERE = 2**62
OPEN = {route for route, row in TABLE.items() if row.access["anonymous"] < 400}
WITH_ID = [route for route, row in TABLE.items() if row.of is not None]


@pytest.fixture(scope="module")
def shared_world(django_db_setup, django_db_blocker) -> Iterator[World]:
    yield from module_data(django_db_blocker, build_world)


@pytest.fixture
def world(shared_world, db) -> World:
    return shared_world.copy()


def owners_things(world: World) -> list[list[dict[str, object]]]:
    tables = (ApiKey, Entry, Hold, Balance, Payment, PaymentMethod, WebhookEndpoint, WebhookDelivery)
    return [list(table.objects.filter(user=world.owner).order_by("pk").values()) for table in tables]


def ask(world: World, caller: str, route: Route, row: Row, *, id: object = None):
    path = route.path.format(**row.path_ids(world, id))
    sent = {"data": json.dumps(row.body(world)), "content_type": "application/json"} if row.body else {}
    before = transaction.savepoint()
    answer = world.clients[caller].generic(route.method, path, **sent)
    transaction.savepoint_rollback(before)  # rolled back before the next caller
    return answer


def test_every_route_and_method_has_its_row():
    assert sorted(routes()) == sorted(TABLE), "tests/journeys/access_table.py has a row for each route"


def test_every_route_with_an_id_says_whose():
    assert {route for route in TABLE if "{" in route.path} == set(WITH_ID)


@pytest.mark.parametrize("route", TABLE, ids=str)
def test_each_caller_gets_what_the_table_says(world, route):
    row = TABLE[route]

    answers = {caller: ask(world, caller, route, row) for caller in CALLERS}

    assert {caller: answer.status_code for caller, answer in answers.items()} == row.access
    for caller, answer in answers.items():
        if answer.status_code >= 400:
            assert {"detail", "code"} <= set(answer.json())
        assert ("WWW-Authenticate" in answer.headers) == (answer.status_code == 401)
        if caller not in ("owner", "service") and route not in OPEN:
            assert MARK not in answer.content.decode()


@pytest.mark.parametrize("route", WITH_ID, ids=str)
def test_another_customers_object_is_answered_like_a_missing_one_and_stays_as_it_is(world, route):
    row = TABLE[route]
    before = owners_things(world)

    for caller in CALLERS:
        nobodys = ask(world, caller, route, row, id=NOWHERE)
        no_number = ask(world, caller, route, row, id="x")

        assert nobodys.content == no_number.content
        if caller == row.caller:
            assert nobodys.status_code == no_number.status_code == 404
        else:
            anothers = ask(world, caller, route, row)
            assert anothers.status_code == nobodys.status_code == no_number.status_code == row.access[caller]
            assert anothers.content == nobodys.content
    assert owners_things(world) == before


def test_a_deactivated_owner_is_shut_out_with_all_they_have(world):
    User.objects.filter(pk=world.owner.pk).update(is_active=False)

    for route in TABLE.keys() - OPEN:
        assert ask(world, "owner", route, TABLE[route]).status_code == 401, route


def test_a_token_from_before_a_change_of_password_is_invalid(world):
    passwords = {"current_password": PASSWORD, "new_password": "another fine long phrase"}
    world.clients["owner"].post("/auth/password", passwords)

    for route in [route for route in TABLE if route.path.startswith("/auth/account")]:
        assert ask(world, "owner", route, TABLE[route]).status_code == 401, route


def test_every_other_method_is_a_405_that_names_the_ones_there_are(world):
    for path in {route.path for route in TABLE} - {"/"}:
        there_are = {route.method for route in TABLE if route.path == path}
        for method in {*VERBS, "OPTIONS", "TRACE", "PROPFIND", "GETS"} - there_are:
            answer = world.clients[caller_of(path)].generic(method, path.format(id=1, delivery_id=1))

            assert answer.status_code == 405, (method, path)
            assert answer.json()["code"] == "method_not_allowed"
            assert set(answer.headers["Allow"].split(", ")) - {"HEAD"} == there_are, path


def back_office() -> list[str]:
    """Return all addresses of the back office, with 1 as the id of each object."""
    addresses = set()
    for path, _ in admin_patterns():
        path = re.sub(r"\(\?P\{app_label\}(\w+)[^)]*\)", r"\1", path)
        path = path.replace("(?P{url}.*)", "nowhere/")
        addresses.add(re.sub(r"\{\w+\}", "1", path).replace("^", "").replace("$", "").replace("\\Z", ""))
    return sorted(addresses)


def _former_staff() -> Client:
    staff = StaffFactory(is_superuser=True)
    client = signed_in(staff)
    User.objects.filter(pk=staff.pk).update(is_staff=False, is_superuser=False)
    return client


OUTSIDERS: dict[str, Callable[[], Client]] = {
    "anonymous": lambda: signed_in(None),
    "customer": lambda: signed_in(UserFactory()),
    "former staff": _former_staff,
}


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "PUT", "DELETE", "PROPFIND"])
@pytest.mark.parametrize("who", OUTSIDERS)
def test_every_address_of_the_back_office_asks_others_to_sign_in(who, method):
    client = OUTSIDERS[who]()
    open_to_all = {reverse("admin:login"), reverse("admin:logout")}

    for address in back_office():
        answer = client.generic(method, address)

        if address not in open_to_all:
            assert answer.status_code == 302, address
            assert answer.url.startswith("/admin/login/"), address


def test_the_walk_has_found_the_back_office():
    found = back_office()

    assert {"/admin/", "/admin/ledger/entry/", "/admin/accounts/user/1/change/"} <= set(found)
    assert {reverse("admin:accounts_user_adjust_credits", args=[1]), "/admin/nowhere/"} <= set(found)
    assert not [address for address in found if re.search(r"[()<>{}?*]", address)]
