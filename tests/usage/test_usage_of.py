"""Statistics of any window, compared with counting the requests one by one."""

import datetime as dt
import random
from collections import Counter
from decimal import Decimal

import pytest
from django.utils import timezone

from ledger.errors import InsufficientCredits
from tests.factories import UserFactory, customer_with, give
from tests.ledger.posting import hold, post
from tests.usage.metering import charge, price, report, request_at
from usage.selectors import lifetime_totals_of, usage_of

pytestmark = pytest.mark.django_db
DAY = dt.timedelta(days=1)
MICROSECOND = dt.timedelta(microseconds=1)
FIRST = dt.datetime(2025, 12, 30, tzinfo=dt.UTC)
PRICES = {"search": Decimal("1.5"), "/v1/items/{id}": Decimal("0.25"), "*": Decimal(0)}
REJECTED = {401, 402, 429}


def random_requests(chance):
    """500 requests over 70 days and three months' ends, many of them at or beside midnight."""
    requests = []
    for _ in range(500):
        at = FIRST + chance.randrange(70) * DAY
        at += chance.choice([dt.timedelta(0), MICROSECOND, -MICROSECOND, chance.random() * DAY, DAY / 2])
        path = chance.choice(["search", "/v1/items/7", "/v1/items/8", "else", "/other"])
        requests.append(request_at(at, path, status=chance.choice([200, 200, 301, 404, 500, 401, 402, 429])))
    return requests


def endpoint_of(request):
    return request.path if request.path == "search" else "/v1/items/{id}" if "items" in request.path else "*"


def counted(requests, start, end):
    """Count a window's requests one by one: successful, failed, credits, requests by endpoint."""
    inside = [one for one in requests if start <= one.occurred_at < end and one.status not in REJECTED]
    successful = [one for one in inside if one.status < 400]
    return (
        len(successful),
        len(inside) - len(successful),
        sum((PRICES[endpoint_of(one)] for one in successful), Decimal(0)),
        dict(Counter(map(endpoint_of, inside))),
    )


def asked(user, start, end, now):
    usage = usage_of(user_id=user.pk, start=start, end=end, now=now)
    assert usage.total == usage.successful + usage.failed == sum(usage.by_endpoint.values())
    return usage.successful, usage.failed, usage.credits, usage.by_endpoint


@pytest.fixture
def prices(db):
    for endpoint, credits in PRICES.items():
        price(endpoint, credits)


@pytest.mark.parametrize("seed", range(6))
def test_any_window_holds_what_counting_one_by_one_finds(prices, seed):
    chance = random.Random(seed)
    user, other = customer_with(100_000), customer_with(100_000)
    requests = random_requests(chance)
    report(user, requests, charged=True)
    report(other, random_requests(chance), charged=True)
    edges = [one.occurred_at + shift for one in requests for shift in (-MICROSECOND, 0 * DAY, MICROSECOND)]
    edges += [FIRST + day * DAY for day in range(-2, 75)]

    for _ in range(60):
        start, end = sorted(chance.sample(edges, 2))
        if chance.random() < 0.3:  # within a day
            end = start + chance.random() * DAY
        now = chance.choice([end, FIRST + 75 * DAY, start, FIRST])

        assert asked(user, start, end, now) == counted(requests, start, end), (start, end, now)


@pytest.mark.parametrize(
    ("start", "end", "requests"),
    [
        (FIRST, FIRST + DAY, 2),
        (FIRST, FIRST + DAY - MICROSECOND, 1),
        (FIRST + MICROSECOND, FIRST + DAY, 1),
        (FIRST - MICROSECOND, FIRST + DAY, 3),
        (FIRST - DAY, FIRST, 1),
        (FIRST, FIRST + DAY + MICROSECOND, 3),
        (FIRST - 400 * DAY, FIRST + 400 * DAY, 4),
        (FIRST + MICROSECOND, FIRST + DAY - MICROSECOND, 0),
    ],
)
def test_the_start_of_a_window_belongs_to_it_and_its_end_does_not(prices, start, end, requests):
    user = customer_with(100)
    moments = (FIRST - MICROSECOND, FIRST, FIRST + DAY - MICROSECOND, FIRST + DAY)
    report(user, [request_at(at) for at in moments])

    assert usage_of(user_id=user.pk, start=start, end=end, now=FIRST + 9 * DAY).total == requests


def test_a_request_that_has_just_been_charged_is_in_the_statistics_at_once(prices):
    user = customer_with(100)
    charge(user)
    now = timezone.now()

    usage = usage_of(user_id=user.pk, start=now - DAY, end=now, now=now)

    assert (usage.successful, usage.credits, usage.by_endpoint) == (1, Decimal("1.5"), {"search": 1})


def test_a_request_that_is_to_come_is_not_in_a_window_until_now(prices):
    user, now = customer_with(100), timezone.now()
    report(user, [request_at(now + dt.timedelta(minutes=5)), request_at(now - dt.timedelta(minutes=5))])

    assert usage_of(user_id=user.pk, start=now - 2 * DAY, end=now, now=now).total == 1
    assert usage_of(user_id=user.pk, start=now - 2 * DAY, end=now + DAY, now=now).total == 2


def test_a_refused_request_is_in_no_total(prices):
    user, now = UserFactory(), timezone.now()
    with pytest.raises(InsufficientCredits):
        charge(user)

    assert usage_of(user_id=user.pk, start=now - DAY, end=now + DAY, now=now).total == 0
    assert lifetime_totals_of(user_id=user.pk).total_requests == 0


def test_a_window_is_read_in_one_statement(prices, django_assert_num_queries):
    user = customer_with(100)
    charge(user)
    now = timezone.now()

    with django_assert_num_queries(1):
        usage_of(user_id=user.pk, start=now - 40 * DAY, end=now, now=now)


def test_a_window_in_another_zone_is_the_same_window(prices):
    user = customer_with(100)
    report(user, [request_at(FIRST)])
    nepal = dt.timezone(dt.timedelta(hours=5, minutes=45))

    usage = usage_of(user_id=user.pk, start=FIRST.astimezone(nepal), end=FIRST + MICROSECOND, now=FIRST)

    assert usage.total == 1


def test_lifetime_totals_count_all_requests_and_show_the_balance(prices):
    user = customer_with(100)
    requests = [
        request_at(FIRST + days * DAY, status=status)
        for days in (0, 40, 400)
        for status in (200, 302, 404, 500, 401, 402, 429)
    ]
    report(user, requests, charged=True)
    hold(user, 10)
    hold(user, 20, seconds=0)
    post(user, -5)

    life = lifetime_totals_of(user_id=user.pk)

    assert (life.successful_requests, life.failed_requests, life.total_requests) == (6, 6, 12)
    assert (life.credits.balance, life.credits.reserved, life.credits.available) == (86, 10, 76)
    assert life.credits.granted_total == 95


def test_a_new_customers_lifetime_totals_are_zero(django_assert_num_queries):
    user = UserFactory()

    with django_assert_num_queries(1):
        life = lifetime_totals_of(user_id=user.pk)

    assert (life.total_requests, life.credits.balance, life.credits.last_updated) == (0, 0, user.created_at)


def test_lifetime_totals_of_customers_do_not_mix(prices):
    alice, bob = customer_with(10), customer_with(10)
    charge(alice)
    give(bob, 1)

    assert lifetime_totals_of(user_id=bob.pk).total_requests == 0
    assert lifetime_totals_of(user_id=alice.pk).credits.balance == Decimal("8.5")
