import datetime as dt

import pytest
from django.db import connection
from django.utils import timezone

from config.values.paths import normal_endpoint
from tests.usage.metering import LONG_AGO, price

pytestmark = pytest.mark.django_db
DAY = dt.timedelta(days=1)


def found(endpoint, method="GET", at=None):
    """Return the endpoint of the price that applies, or None."""
    row = found_row(endpoint, method, at)
    return row and row[0]


def found_row(endpoint, method="GET", at=None):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT endpoint, method, credits FROM usage_find_price(%s, %s, %s)",
            [normal_endpoint(endpoint), method, at or timezone.now()],
        )
        row = cursor.fetchone()
    return row if row[0] is not None else None


@pytest.mark.parametrize(
    ("endpoint", "winner"),
    [
        ("/v1/items/7", "/v1/items/7"),
        ("/v1/items/8", "/v1/items/{id}"),
        ("/v1/items/8.png", "/v1/items/{id}"),
        ("/v2/items/8.png", "*.png"),
        ("/v2/x/thumbnail.png", "*thumbnail.png"),
        ("/v2/items/8", "*"),
        ("search", "*"),
        ("", "*"),
    ],
)
def test_the_most_specific_price_applies(endpoint, winner):
    for priced in ("*", "*.png", "*thumbnail.png", "/v1/items/{id}", "/v1/items/7"):
        price(priced, 1)

    assert found(endpoint) == winner


@pytest.mark.parametrize(
    ("endpoint", "winner"),
    [
        ("/v1/items/7", "/v1/items/{id}"),
        ("/v1/other/7", "/v1/{kind}/{id}"),
        ("/v9/other/7", "/{version}/{kind}/{id}"),
        ("/v9/items/7", "/{version}/items/{id}"),
    ],
)
def test_the_template_with_more_literal_characters_applies(endpoint, winner):
    for priced in ("/v1/items/{id}", "/v1/{kind}/{id}", "/{version}/{kind}/{id}", "/{version}/items/{id}"):
        price(priced, 1)

    assert found(endpoint) == winner


@pytest.mark.parametrize(
    ("path", "matches"),
    [
        ("/v1/items/7", True),
        ("/v1/items/a b", True),
        ("/v1/items/%2F", True),
        ("/v1/items/ü", True),
        ("/v1/items/7?x=/y", True),
        ("/v1/items/7#/y", True),
        ("/v1/items/", False),
        ("/v1/items", False),
        ("/v1/items/7/", True),
        ("/v1/items/7/8", False),
        ("/v1/items//7", True),
        ("/v1/items/?x=7", False),
        ("//v1/items/7", True),
        ("/v1/items/7//", True),
        ("/v1/items//", False),
        ("/v1/Items/7", False),
        ("x/v1/items/7", False),
    ],
)
def test_a_placeholder_is_exactly_one_segment_that_is_not_empty(path, matches):
    price("/v1/items/{id}", 1)

    assert found(path) == ("/v1/items/{id}" if matches else None)


@pytest.mark.parametrize(
    ("path", "matches"),
    [
        ("/a/x/b/y", True),
        ("/a/x/c/b/y", False),
        ("/a//b/y", False),
        ("/a//x/b/y", True),
        ("/a/x/b/", False),
        ("/a/b/b/b", True),
    ],
)
def test_placeholders_in_the_middle_are_one_segment_each(path, matches):
    price("/a/{one}/b/{two}", 1)

    assert found(path) == ("/a/{one}/b/{two}" if matches else None)


@pytest.mark.parametrize(
    ("priced", "path", "matches"),
    [
        ("100%_off", "100%_off", True),
        ("100%_off", "100 xoff", False),
        ("*100%", "/at100%", True),
        ("*100%", "/at100percent", False),
        ("*a_b", "/a_b", True),
        ("*a_b", "/axb", False),
        ("*.p\\g", "/x.p\\g", True),
        ("*.p\\g", "/x.pg", False),
        ("/a_b/{id}", "/a_b/1", True),
        ("/a_b/{id}", "/axb/1", False),
        ("/%/{id}", "/%/1", True),
        ("/%/{id}", "/x/1", False),
    ],
)
def test_literal_characters_mean_themselves(priced, path, matches):
    stored = price(priced, 1).endpoint

    assert found(path) == (stored if matches else None)


@pytest.mark.parametrize("path", ["/v1/search", "/v1/search?q=1", "/v1/search?", "/v1/search#top", "/v1/search?a#b?c"])
def test_a_query_string_and_a_fragment_do_not_count(path):
    price("/v1/search", 1)

    assert found(path) == "/v1/search"


def test_where_nothing_matches_there_is_no_price():
    price("search", 1)

    assert found("searching") is None


def test_a_price_that_names_the_method_beats_one_that_does_not():
    price("search", 1)
    price("search", 2, method="POST")

    assert found_row("search", "POST")[2] == 2
    assert found_row("search", "GET")[2] == 1
    assert found_row("search", "")[2] == 1


def test_a_price_of_another_method_does_not_apply():
    price("search", 2, method="POST")

    assert found("search", "GET") is None


def test_a_more_specific_endpoint_beats_the_method():
    price("/v1/{a}", 1, method="GET")
    price("/v1/search", 2)

    assert found("/v1/search", "GET") == "/v1/search"


class TestVersions:
    """Prices of 1, 2 and 3 credits, each in force from a different day."""

    @pytest.fixture(autouse=True, params=["search", "/v1/{name}", "*.png", "*"])
    def _versions(self, request):
        self.endpoint = {"search": "search", "/v1/{name}": "/v1/x", "*.png": "/x.png", "*": "/y"}[request.param]
        for credits, days in ((2, 1), (3, 2), (1, 0)):
            price(request.param, credits, effective_from=LONG_AGO + days * DAY)

    @pytest.mark.parametrize(
        ("at", "credits"),
        [
            (LONG_AGO, 1),
            (LONG_AGO + DAY - dt.timedelta(microseconds=1), 1),
            (LONG_AGO + DAY, 2),
            (LONG_AGO + 2 * DAY, 3),
            (LONG_AGO + 9 * DAY, 3),
            (LONG_AGO - DAY, 1),
            (LONG_AGO - 9000 * DAY, 1),
        ],
    )
    def test_the_version_in_force_applies_and_before_all_the_oldest(self, at, credits):
        assert found_row(self.endpoint, at=at)[2] == credits


def test_a_price_in_force_beats_a_more_specific_one_that_is_yet_to_come():
    price("*", 1)
    price("search", 2, effective_from=LONG_AGO + DAY)

    assert found("search", at=LONG_AGO) == "*"
    assert found("search", at=LONG_AGO + DAY) == "search"


def test_before_all_that_match_the_most_specific_one_applies():
    price("*", 1)
    price("search", 2, effective_from=LONG_AGO + DAY)

    assert found("search", at=LONG_AGO - DAY) == "search"


def test_a_method_of_its_own_that_is_yet_to_come_does_not_hide_the_general_price():
    price("search", 1)
    price("search", 2, method="GET", effective_from=LONG_AGO + DAY)

    assert found_row("search", at=LONG_AGO)[2] == 1
    assert found_row("search", at=LONG_AGO + DAY)[2] == 2


@pytest.mark.parametrize(
    ("prices", "path", "winner"),
    [
        (["/v1/items", "*"], "/v1/items/", "/v1/items"),
        (["/v1/items", "/v1/items/"], "/v1/items/", "/v1/items/"),
        (["/v1/items", "/v1/items/"], "/v1/items", "/v1/items"),
        (["/v1/items/", "*"], "/v1/items", "*"),
        (["/v1/{kind}", "/v1/{kind}/"], "/v1/items/", "/v1/{kind}/"),
        (["/v1/{kind}", "/{version}/items/"], "/v1/items/", "/{version}/items/"),
        (["/v1/items", "/v1/{kind}/"], "/v1/items/", "/v1/items"),
        (["*.png", "*/"], "/a.png/", "*/"),
        (["*.png", "*"], "/a.png/", "*.png"),
        (["/", "*"], "/", "/"),
        (["x", "*"], "x/", "*"),
    ],
)
def test_a_final_slash_is_ignored_where_no_price_of_its_kind_names_it(prices, path, winner):
    for priced in prices:
        price(priced, 1)

    assert found(path) == winner
