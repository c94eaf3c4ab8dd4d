import datetime as dt
from decimal import Decimal

import pytest
from django.utils import timezone

from tests.ledger.running import run
from usage.models import Price

pytestmark = pytest.mark.django_db


def test_a_price_is_set_from_now_on():
    before = timezone.now()

    ran = run("set_price", "search", "2.50", "--json")

    made = Price.objects.get()
    assert (ran.code, ran.err) == (0, "")
    assert list(ran.json) == [
        "id", "endpoint", "method", "credits", "minimum", "charge_failures", "effective_from",
    ]  # fmt: skip
    assert ran.json["id"] == made.pk
    assert (ran.json["endpoint"], ran.json["method"], ran.json["credits"]) == ("search", None, 2.5)
    assert (ran.json["minimum"], ran.json["charge_failures"]) == (0, False)
    assert before <= made.effective_from <= timezone.now()


def test_every_part_of_a_price_can_be_asked():
    ran = run(
        *("set_price", "/v1/items/{id}", "0", "--minimum", "0.50", "--method", "get", "--charge-failures"),
        *("--effective-from", "2026-03-01T12:00:00+02:00", "--json"),
    )

    made = Price.objects.get()
    assert (made.method, made.credits, made.minimum, made.charge_failures) == ("GET", 0, Decimal("0.5"), True)
    assert ran.json["minimum"] == 0.5
    assert made.effective_from == dt.datetime(2026, 3, 1, 10, tzinfo=dt.UTC)
    assert ran.json["effective_from"] == "2026-03-01T10:00:00Z"


def test_a_second_run_for_the_same_time_changes_nothing():
    first = run("set_price", "search", "2", "--effective-from", "2026-03-01", "--json")

    again = run("set_price", "search", "2.0", "--effective-from", "2026-03-01", "--json")

    assert (again.code, again.out) == (0, first.out)
    assert Price.objects.count() == 1


def test_another_price_for_the_same_time_is_an_error():
    run("set_price", "search", "2", "--effective-from", "2026-03-01")

    ran = run("set_price", "search", "3", "--effective-from", "2026-03-01", "--json")

    assert (ran.code, ran.out) == (1, "")
    assert "already" in ran.err


@pytest.mark.parametrize("endpoint", ["", " x", "/v1/*", "/v1/{}", "a?b"])
def test_an_invalid_endpoint_is_an_error_in_one_sentence(endpoint):
    ran = run("set_price", endpoint, "1", "--json")

    assert (ran.code, ran.out) == (1, "")
    assert "\n" not in ran.err
    assert not Price.objects.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["search"],
        ["search", "x"],
        ["search", "NaN"],
        ["search", "1.1234567"],
        ["search", "1", "--effective-from", "tomorrow"],
        ["search", "1", "--effective-from", "1999-12-31"],
        ["--", "search", "-1"],
        ["search", "1", "--minimum", "x"],
        ["search", "1", "--minimum", "0.0000001"],
        ["search", "1", "--minimum=-1"],
    ],
)
def test_wrong_usage_is_exit_2(arguments):
    ran = run("set_price", *arguments)

    assert (ran.code, ran.out) == (2, "")
    assert not Price.objects.exists()
