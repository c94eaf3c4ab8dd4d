"""`@metered`: which requests reach a view, and what they cost."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from django.core.exceptions import ImproperlyConfigured

from accounts.key_format import make_key
from accounts.models import User
from config.api import STATUS_BY_ERROR, status_of
from ledger.models import Entry, Hold
from tests.factories import ApiKeyFactory, ServiceKeyFactory, customer_with
from tests.ledger.posting import run_out
from tests.usage import metered_views
from tests.usage.metered_services import Caller, captures, logged
from tests.usage.metered_views import KINDS, worked
from tests.usage.metering import charge, price
from usage.metering import metered
from usage.metering.refusals import STATUS_BY_REFUSAL

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("every_promise_is_kept")]


@pytest.mark.parametrize("kind", KINDS)
class TestEveryKind:
    def test_a_request_is_held_worked_on_and_paid(self, caller, kind):
        answer = caller.post(kind)

        assert (answer.status_code, answer.json()) == (200, {"held": "10.000000"})
        assert caller.sums() == (90, 0)
        assert logged(caller.user) == [("search", 200, 5, 10)]
        assert Entry.objects.latest("id").reference == answer.headers["X-Request-Id"]

    def test_final_usage_is_the_cost(self, caller, kind):
        caller.post(f"{kind}?units=3")
        caller.post(f"{kind}?credits=0.5")
        caller.post(f"{kind}?units=0")

        assert caller.sums() == (Decimal("93.5"), 0)
        assert [(units, credits) for _, _, units, credits in logged(caller.user)] == [
            (3, 6),
            (5, Decimal("0.5")),
            (0, 0),
        ]

    def test_without_enough_credits_no_work_is_done(self, caller, kind):
        poor = Caller(customer_with(9))

        answer = poor.post(kind)

        assert answer.status_code == 402
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Cache-Control"] == "no-store"
        body = answer.json()
        assert body.pop("top_up_url")
        assert body == {
            "detail": "Insufficient credits. You have 9 credit(s) remaining, but this request requires 10 credit(s).",
            "code": "insufficient_credits",
            "credits_required": 10,
            "credits_available": 9,
            "credits_reserved": 0,
            "reason": "spent",
            "next_hold_expires_at": None,
        }
        assert (worked, poor.sums()) == ([], (9, 0))

    def test_without_a_key_no_work_is_done(self, caller, kind):
        answer = caller.post(kind, **{"X-API-KEY": None})

        assert (answer.status_code, worked) == (401, [])
        assert answer.headers["WWW-Authenticate"]
        assert answer.json() == {
            "detail": "API key is required. Please provide X-API-KEY header.",
            "code": "api_key_missing",
        }

    def test_with_an_invalid_key_no_work_is_done(self, caller, kind):
        deactivated = Caller(customer_with(9))
        User.objects.filter(pk=deactivated.user.pk).update(is_active=False)

        for key in (make_key(), deactivated.raw, ServiceKeyFactory().raw, "tb_live_x", "\xff"):
            answer = caller.post(kind, **{"X-API-KEY": key})

            assert (answer.status_code, worked) == (401, [])
            assert answer.json() == {
                "detail": "Invalid API key. Please check your X-API-KEY header.",
                "code": "api_key_invalid",
            }

    def test_a_bug_releases_the_credits_and_stands_in_the_log(self, caller, kind):
        answer = caller.post(f"{kind}?raise=bug&credits=1")

        assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
        assert caller.sums() == (100, 0)
        assert logged(caller.user) == [("search", 500, 5, 0)]

    def test_an_error_response_releases_the_credits(self, caller, kind):
        caller.post(f"{kind}?status=503&units=2")
        caller.post(f"{kind}?status=404")
        caller.post(f"{kind}?status=429")

        assert caller.sums() == (100, 0)
        assert [status for _, status, _, _ in logged(caller.user)] == [503, 404, 429]

    def test_failures_cost_where_the_price_says_so(self, caller, kind):
        price("search", 2, charge_failures=True, effective_from=dt.datetime(2021, 1, 1, tzinfo=dt.UTC))

        caller.post(f"{kind}?raise=bug")
        caller.post(f"{kind}?status=503&units=2")
        caller.post(f"{kind}?status=429&credits=1")

        assert captures(caller.user) == [10, 4]

    def test_an_endpoint_without_a_price_is_unavailable_and_the_operator_is_warned(
        self, caller, kind, monkeypatch, caplog
    ):
        monkeypatch.setattr("usage.metering.terms.Terms.endpoint_of", lambda *_: "unheard of")

        answer = caller.post(kind)

        assert (answer.status_code, answer.json()["code"], worked) == (503, "unavailable", [])
        assert answer.headers["Retry-After"] == "5"
        assert "manage.py set_price unheard of CREDITS" in caplog.text

    def test_more_than_was_held_is_not_taken(self, caller, kind, caplog):
        caller.post(f"{kind}?units=7")

        assert captures(caller.user) == [10]
        assert "only 10.000000 were held" in caplog.text


@pytest.mark.parametrize(("error", "status"), [("missing", 404), ("invalid", 400)])
def test_a_views_refusal_is_logged_with_its_status(caller, error, status):
    assert caller.post(f"rest?raise={error}").status_code == status

    assert logged(caller.user) == [("search", status, 5, 0)]


class TestTerms:
    def test_units_may_depend_on_the_request(self, caller):
        assert caller.post("by-body", {"words": ["a"] * 3}).json() == {"held": "6.000000", "words": 3}
        assert caller.post("by-body", {"words": []}, repeat_key="k").json() == {"held": "0.000000", "words": 0}

        assert captures(caller.user) == [6]

    def test_a_price_may_be_given_instead(self, caller):
        caller.post("by-credits")
        caller.post("by-credits?credits=1")
        caller.post("by-credits?status=500")

        assert captures(caller.user) == [Decimal("2.5"), 1]
        assert [endpoint for endpoint, *_ in logged(caller.user)] == ["*"] * 3

    def test_without_an_endpoint_the_path_is_priced(self, caller):
        price("/v2/by-path/{name}", 3)

        assert caller.post("by-path/a").status_code == caller.post("by-path/b%00c%FF").status_code == 200
        assert [(endpoint, credits) for endpoint, _, _, credits in logged(caller.user)] == [
            ("/v2/by-path/{name}", 3)
        ] * 2

    def test_the_customer_may_be_found_otherwise(self, caller):
        bob = customer_with(5)

        assert caller.post(f"by-user?user={bob.pk}").status_code == 200
        assert caller.post("by-user").json()["code"] == "api_key_missing"
        assert caller.post("by-user?user=987654321").json()["code"] == "customer_not_found"
        User.objects.filter(pk=bob.pk).update(is_active=False)
        assert caller.post(f"by-user?user={bob.pk}").json()["code"] == "customer_inactive"

        assert (captures(bob), captures(caller.user)) == ([2], [])

    def test_any_live_keys_customer_pays_and_the_log_shows_the_key(self, caller):
        second = ApiKeyFactory(user=caller.user)

        caller.post("plain", **{"X-API-KEY": second.raw})

        assert caller.user.holds.get().api_key_id == second.api_key.pk

    @pytest.mark.parametrize(
        "terms",
        [
            {"endpoint": ""},
            {"endpoint": "*.png"},
            {"units": 0},
            {"units": 1.5},
            {"credits": "1e3"},
            {"credits": -1},
            {"expires_in_seconds": 0},
            {"expires_in_seconds": 86_401},
            {"repeat_seconds": -1},
            {"most_repeats": -1},
            {"most_repeats": 101},
            {"fail_open": True},
        ],
        ids=str,
    )
    def test_terms_that_could_never_charge_are_refused_where_they_are_written(self, terms):
        with pytest.raises(ImproperlyConfigured):
            metered(**terms)


@pytest.mark.django_db(transaction=True)
class TestLongWork:
    def test_work_that_outlives_its_hold_is_charged_all_the_same(self, caller):
        caller.post("slow?extend")
        caller.post("slow")

        assert captures(caller.user) == [2, 2]
        assert [hold.status for hold in Hold.objects.order_by("id")] == ["captured", "expired"]
        assert caller.sums() == (96, 0)

    def test_work_that_outlives_its_hold_and_can_no_longer_be_paid_is_on_record(self, caller, caplog, monkeypatch):
        poor = Caller(customer_with(2))

        def spend_meanwhile(hold):
            run_out(hold)
            charge(poor.user)

        monkeypatch.setattr(metered_views, "run_out", spend_meanwhile)

        assert poor.post("slow").status_code == 200
        assert "stays unpaid" in caplog.text
        assert poor.sums() == (0, 0)


@pytest.mark.django_db(transaction=True)
class TestStreams:
    def test_streams_are_paid_when_they_have_been_closed(self, caller):
        answer = caller.post("stream")
        before = captures(caller.user)

        assert b"".join(answer.streaming_content) == b"..."
        answer.close()

        assert (before, captures(caller.user)) == ([], [6])

    def test_streams_not_read_to_the_end_cost_what_was_used_until_then(self, caller):
        answer = caller.post("stream")

        next(iter(answer.streaming_content))
        answer.close()

        assert captures(caller.user) == [2]

    def test_streams_that_break_off_cost_nothing(self, caller):
        answer = caller.post("stream?break=2")

        with pytest.raises(ZeroDivisionError):
            b"".join(answer.streaming_content)
        answer.close()

        assert logged(caller.user) == [("search", 500, 2, 0)]

    def test_streams_that_are_never_closed_release_their_credits_in_time(self, caller):
        caller.post("stream")

        hold = Hold.objects.get()
        assert (hold.expires_at - hold.created_at).total_seconds() == 900


def test_refusals_have_the_form_of_the_apis_refusals():
    assert {kind: STATUS_BY_ERROR.get(kind) for kind in STATUS_BY_REFUSAL} == STATUS_BY_REFUSAL
    assert all(status_of(kind.__new__(kind)) == told for kind, told in STATUS_BY_REFUSAL.items())
