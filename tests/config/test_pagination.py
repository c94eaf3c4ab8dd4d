from __future__ import annotations

import base64
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import RequestFactory
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from config.http import pagination
from config.http.page_sources import QuerySetSource
from config.http.pagination import LongListPagination, csv_bounds, csv_items
from config.models import RateWindow
from config.values.cursors import BrokenCursor, open_cursor, seal_cursor
from tests.config.urls import Letters

LIST = "/v2/list"


def test_the_first_page_has_fifty_of_all_and_says_where_to_go_on(edge):
    body = edge.get(LIST).json()

    assert (body["count"], len(body["results"]), body["results"][0]) == (250, 50, 249)
    assert body["next"] == "http://testserver/v2/list?limit=50&offset=50"
    assert body["previous"] is None
    assert body["next_cursor"]


def test_links_keep_every_filter_as_it_was_sent(edge):
    body = edge.get(LIST, {"limit": "10", "offset": "5", "type": "a b", "from": "2026-01-01T00:00+02:00"}).json()

    following, before = (parse_qs(urlsplit(body[name]).query) for name in ("next", "previous"))
    kept = {"type": ["a b"], "from": ["2026-01-01T00:00+02:00"], "limit": ["10"]}
    assert following == {**kept, "offset": ["15"]}
    assert before == kept


def test_the_last_page_and_what_lies_behind_it_end_the_list(edge):
    last = edge.get(LIST, {"limit": "100", "offset": "200"}).json()
    behind = edge.get(LIST, {"offset": "2147483647"}).json()

    assert (len(last["results"]), last["next"], last["next_cursor"]) == (50, None, None)
    assert (behind["count"], behind["results"], behind["next"], behind["next_cursor"]) == (250, [], None, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [("limit", value)
     for value in ("0", "101", "-1", "1.0", "x", "", " ", "１", "1_0", "+1", "1e1", "99999999999999999999", "\x00")]
    + [("offset", value) for value in ("-1", "2147483648", "1.5", "x", "", "٣", "9" * 5000)]
    + [("cursor", value) for value in ("", "x", "!!!!", "é", "AAAA", "A" * 5000, "\x00", "eyJhIjoxfQ")],
)  # fmt: skip
def test_a_parameter_that_cannot_be_read_is_a_400_that_names_it(edge, name, value):
    answer = edge.get(LIST, {name: value})

    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == [name]
    assert name in answer.json()["detail"]


@pytest.mark.parametrize("name", ["limit", "offset", "cursor"])
def test_a_parameter_given_twice_is_a_400_that_names_it(edge, name):
    answer = edge.get(f"{LIST}?{name}=1&{name}=1")

    assert (answer.status_code, list(answer.json()["errors"])) == (400, [name])


def test_unknown_parameters_are_ignored(edge):
    assert edge.get(f"{LIST}?unknown=1&unknown=&x").status_code == 200


def test_cursors_walk_the_whole_list_once(edge):
    seen: list[int] = []
    query = {"limit": "70"}
    while query:
        body = edge.get(LIST, query).json()
        seen += body["results"]
        query = {"limit": "70", "cursor": body["next_cursor"]} if body["next_cursor"] else {}

    assert seen == list(range(249, -1, -1))
    assert body["count"] == 250


def test_a_cursor_and_an_offset_do_not_go_together(edge):
    cursor = edge.get(LIST).json()["next_cursor"]

    answer = edge.get(LIST, {"cursor": cursor, "offset": "0"})

    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["cursor"])


def test_the_next_link_of_a_cursors_page_is_followed_to_the_same_place(edge):
    first = edge.get(LIST, {"limit": "10"}).json()
    second = edge.get(LIST, {"limit": "10", "cursor": first["next_cursor"]}).json()

    third = edge.get(second["next"]).json()

    assert second["previous"] is None
    assert third["results"][0] == 229


def test_a_cursor_is_base64url_and_good_for_its_own_list_only():
    cursor = seal_cursor([7, "x"], of="/v2/list")

    assert set(cursor) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    assert open_cursor(cursor, of="/v2/list") == [7, "x"]
    with pytest.raises(BrokenCursor):
        open_cursor(cursor, of="/v2/other")


def test_a_forged_cursor_is_broken():
    raw = base64.urlsafe_b64decode(seal_cursor([7], of="x") + "==")

    with pytest.raises(BrokenCursor):
        open_cursor(base64.urlsafe_b64encode(raw.replace(b"7", b"8")).decode().rstrip("="), of="x")


@pytest.mark.parametrize("order", [("-minute", "subject"), ("minute", "-subject"), ("-taken",), ("subject",), ()])
def test_a_queryset_is_walked_by_its_own_order_with_ties_broken(db, order):
    for number in range(20):
        RateWindow.objects.create(subject=f"s{number:02}", minute=number // 5, taken=number % 3)
    source = QuerySetSource(RateWindow.objects.order_by(*order))
    expected = [row.subject for row in source.page(limit=100, offset=0)]

    walked = list(source.page(limit=3, offset=0))
    while page := source.after(source.position_of(walked[-1]), limit=3):
        walked += page

    assert [row.subject for row in walked] == expected
    assert len(set(expected)) == 20


def test_a_position_of_another_kind_is_a_broken_cursor(db):
    source = QuerySetSource(RateWindow.objects.order_by("-minute"))

    for position in ([], [1], [1, "x", 2], ["x", "y"], [None, {}], [[1], "x"]):
        with pytest.raises(BrokenCursor):
            source.after(position, limit=1)


def test_a_csv_is_cut_only_as_far_as_asked():
    def asked(query):
        return csv_bounds(Request(RequestFactory().get("/", query)))

    assert asked({}) == (None, 0)
    assert asked({"limit": "7", "offset": "2"}) == (7, 2)


class TestUncounted:
    """A list that is too long to count: only the page itself shows whether more follows."""

    class Source(Letters):
        def count(self) -> None:
            return None

    def page(self, query: dict[str, str]) -> dict:
        paginator = LongListPagination()
        request = Request(RequestFactory().get(LIST, query))
        return paginator.get_paginated_response(paginator.paginate_queryset(self.Source(), request)).data

    def test_pages_and_cursors_lead_to_its_end(self):
        first, last = self.page({"limit": "100"}), self.page({"limit": "100", "offset": "150"})
        by_cursor = self.page({"limit": "100", "cursor": first["next_cursor"]})

        assert (first["count"], len(first["results"]), by_cursor["results"][0]) == (None, 100, 149)
        assert first["next"].endswith("?limit=100&offset=100")
        assert (len(last["results"]), last["next"], last["next_cursor"]) == (100, None, None)

    def test_behind_its_end_is_an_empty_page(self):
        assert self.page({"offset": "2147483647"})["results"] == []


def test_a_csv_walks_the_whole_list_in_chunks(monkeypatch):
    monkeypatch.setattr(pagination, "_CSV_CHUNK", 7)

    def items(query: dict[str, str]) -> list[int]:
        return list(csv_items(Request(RequestFactory().get("/", query)), Letters()))

    assert items({}) == list(range(249, -1, -1))
    assert items({"offset": "240"}) == list(range(9, -1, -1))
    assert items({"limit": "9", "offset": "1"}) == list(range(248, 239, -1))


def test_a_csvs_bounds_are_refused_before_its_first_line():
    with pytest.raises(ValidationError):
        csv_items(Request(RequestFactory().get("/", {"limit": "0"})), Letters())
