"""Lists without a row say why, and what to do."""

from __future__ import annotations

import re

import pytest

from tests.backoffice import list_of, signed_in, staff_with, superuser
from tests.factories import PlanFactory

pytestmark = pytest.mark.django_db


def seen(answer) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", answer.content.decode()))


def test_empty_list_offers_to_add_the_first_row_to_those_who_may():
    added = signed_in(superuser()).get(list_of("accounts_plan"))
    only_seen = signed_in(staff_with("accounts.view_plan")).get(list_of("accounts_plan"))

    assert "There are no plans yet. Add the first." in seen(added)
    assert 'href="/admin/accounts/plan/add/">Add the first</a>' in added.content.decode()
    assert "There are no plans yet." in seen(only_seen)
    assert "Add the first" not in seen(only_seen)


def test_list_in_which_nothing_matches_leads_back_to_all_rows():
    PlanFactory()

    page = signed_in(superuser()).get(list_of("accounts_plan"), {"is_active__exact": "0"})

    assert "Nothing matches. Show all plans" in seen(page)


def test_list_with_rows_has_no_such_sentence_and_is_named_for_them():
    PlanFactory()

    page = seen(signed_in(superuser()).get(list_of("accounts_plan")))

    assert "There are no plans" not in page
    assert "Nothing matches" not in page
    assert "Select plan" not in page.partition("Plans")[2]
