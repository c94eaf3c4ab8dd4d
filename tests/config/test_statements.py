"""Querysets as statements: values of a call go into places, values of the queryset stay literals."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from django.db.models import F, Q

from accounts.models import User
from config.db.statements import Place, Statement
from ledger.models import Entry, Hold

NOW = dt.datetime(2026, 11, 28, tzinfo=dt.UTC)


def test_places_are_filled_in_the_order_in_which_they_stand():
    entries = Entry.objects.filter(user_id=Place("user"), seq__lte=Place("last"), seq__gte=Place("first"))
    statement = Statement.of(entries.values_list("id")).cut()

    filled = statement.filled({"first": 1, "last": 9, "user": 7, "limit": 50, "offset": 0})

    assert sorted(statement.places[:3]) == ["first", "last", "user"]
    assert statement.text.count("%s") == len(statement.places) == 5
    assert dict(zip(statement.places, filled, strict=True)) == {
        "user": 7,
        "last": 9,
        "first": 1,
        "limit": 50,
        "offset": 0,
    }


def test_a_value_of_the_queryset_is_written_into_the_text():
    statement = Statement.of(Hold.objects.filter(status="open", user_id=Place("user")).values_list("id"))

    assert "'open'" in statement.text
    assert statement.places == ("user",)


def test_quotes_percents_and_backslashes_of_a_value_stay_text(db):
    odd = "100% of 'this' %s %(that)s \\'"
    users = User.objects.filter(Q(full_name=odd) | Q(pk=Place("user")))
    statement = Statement.of(users.values_list("full_name"))
    named = User.objects.create_user(email="odd@example.com", password=None, full_name=odd)

    assert statement.read({"user": 0}) == [(odd,)]
    assert statement.read({"user": named.pk}) == [(odd,)]


def test_a_value_that_cannot_be_written_is_refused():
    holds = Hold.objects.filter(expires_at__lte=NOW)

    with pytest.raises(TypeError, match="cannot be written into a statement"):
        Statement.of(holds.values_list("id"))


def test_named_places_may_stand_several_times():
    statement = Statement.named("SELECT %(a)s::int, %(b)s::text, %(a)s::int, '100%%'")

    assert statement.text == "SELECT %s::int, %s::text, %s::int, '100%%'"
    assert statement.filled({"a": 1, "b": "x"}) == [1, "x", 1]


def test_whole_numbers_have_one_type_so_a_statement_is_prepared_once(db):
    statement = Statement.named("SELECT pg_typeof(%(n)s)::text")

    assert {statement.read({"n": n}) == [("bigint",)] for n in (1, 70_000, 2**40)} == {True}


def test_rows_are_counted_and_cut(db):
    for n in range(5):
        User.objects.create_user(email=f"{n}@example.com", password=None, full_name="five")
    users = User.objects.filter(full_name=Place("name")).order_by("id").annotate(twice=F("id") * Decimal(2))
    statement = Statement.of(users.values_list("email"))

    assert [statement.counted(most=most).read({"name": "five"}) for most in (3, 9)] == [[(4,)], [(5,)]]
    assert statement.cut().read({"name": "five", "limit": 2, "offset": 1}) == [("1@example.com",), ("2@example.com",)]
