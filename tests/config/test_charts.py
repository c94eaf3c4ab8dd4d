"""Charts: the numbers of a table, exactly; what has no colour of its own is added up."""

from __future__ import annotations

import datetime as dt
import hashlib
from decimal import Decimal
from pathlib import Path

import pytest
from django.template.loader import render_to_string

from config.charts import LARGEST, OTHERS, Chart, Series, by_day

FIRST, LAST = dt.date(2026, 11, 1), dt.date(2026, 11, 3)
VENDORED = Path(__file__).parents[2] / "config/static/vendor"


def of(groups: dict[str, dict[dt.date, Decimal]]) -> Chart:
    return by_day(title="Usage", unit="credits", first=FIRST, last=LAST, groups=groups)


def test_a_day_without_a_number_is_nought():
    chart = of({"translate": {FIRST: Decimal("1.5"), LAST: Decimal(2)}})

    assert chart.series == (Series("translate", (Decimal("1.5"), Decimal(0), Decimal(2))),)
    assert chart.days == (FIRST, dt.date(2026, 11, 2), LAST)


def test_the_largest_groups_keep_their_names_and_the_rest_adds_up_to_what_was_there():
    groups = {f"endpoint-{number}": {FIRST: Decimal(number), LAST: Decimal(1)} for number in range(1, 10)}

    chart = of(groups)

    assert [each.name for each in chart.series] == ["endpoint-9", "endpoint-8", "endpoint-7", "endpoint-6", OTHERS]
    assert len(chart.series) == LARGEST
    assert chart.series[-1].values == (Decimal(1 + 2 + 3 + 4 + 5), Decimal(0), Decimal(5))
    assert sum(each.total for each in chart.series) == sum(sum(days.values()) for days in groups.values())


def test_five_groups_need_no_rest():
    assert OTHERS not in [each.name for each in of({str(number): {FIRST: Decimal(1)} for number in range(5)}).series]


def test_the_table_has_the_exact_number_for_the_script_and_two_places_for_people():
    page = render_to_string("charts/chart.html", {"chart": of({"a": {LAST: Decimal("1234.567891")}})})

    assert 'data-value="1234.567891">1,234.57</td>' in page
    assert page.index('"row">2026-11-03') < page.index('"row">2026-11-01')  # the newest day first


def test_names_of_endpoints_are_escaped():
    assert "<b>" not in render_to_string("charts/chart.html", {"chart": of({"<b>": {LAST: Decimal(1)}})})


def test_a_chart_of_nothing_says_so_and_draws_nothing():
    page = render_to_string("charts/chart.html", {"chart": of({})})

    assert "Nothing in these days." in page
    assert "chart-plot" not in page


def test_the_summary_names_the_sum_and_the_days():
    chart = of({"a": {FIRST: Decimal(1000)}, "b": {LAST: Decimal("0.5")}})

    assert chart.summary == "Usage: 1,000.5 credits from 2026-11-01 to 2026-11-03."


def test_a_series_of_another_length_is_refused():
    with pytest.raises(ValueError, match="one value a day"):
        Chart(title="", unit="", days=(FIRST,), series=(Series("a", ()),))


def test_the_vendored_files_are_those_of_the_package():
    digest = hashlib.sha256((VENDORED / "uplot-1.6.32/uPlot.iife.min.js").read_bytes()).hexdigest()

    assert digest == "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f"
    assert "MIT" in (VENDORED / "uplot-1.6.32/LICENSE").read_text()
