"""The customers that the lines of a log stand for."""

import csv

import pytest

from accounts.models import User
from tests.factories import ApiKeyFactory, UserFactory
from tests.usage.logs import combined, figures, jsonl, run
from usage.models import RequestLog
from usage.services.imports.customers import Customers, read_customer_map

pytestmark = pytest.mark.django_db


class TestCustomersAreFound:
    def test_customer_is_found_by_id(self, alice):
        run([jsonl(alice), jsonl(str(alice.pk))])

        assert RequestLog.objects.filter(user=alice).count() == 2

    def test_customer_is_found_by_email_in_any_case(self, alice):
        run([jsonl("ALICE@example.com", field="email")], field="email")

        assert RequestLog.objects.get().user == alice

    @pytest.mark.parametrize("start", ["", "tb_live_"])
    def test_customer_is_found_by_the_prefix_of_a_key_even_a_revoked_one(self, alice, start):
        api_key = ApiKeyFactory(user=alice).api_key
        type(api_key).objects.update(revoked_at=api_key.created_at)

        run([jsonl(start + api_key.prefix, field="api_key_prefix")], field="api_key_prefix")

        logged = RequestLog.objects.get()
        assert (logged.user, logged.api_key) == (alice, api_key)

    def test_customer_is_found_by_the_operators_map(self, alice):
        bob = UserFactory(email="bob@example.com")
        lines = [combined(host="::1"), combined(host="::2"), combined(host="::3")]

        report = run(lines, field="host", named={"::1": "Alice@example.com", "::2": str(bob.pk), "::3": "gone@x.y"})

        assert figures(report) == (3, 2, 0, 1)
        assert "gone@x.y" in report.first_rejections[0][1]
        assert {logged.user for logged in RequestLog.objects.all()} == {alice, bob}

    def test_customer_is_created_for_a_new_name(self, db):
        lines = [combined(host="::1"), combined(host="203.0.113.9"), combined(host="::1", second=1)]

        report = run(lines, field="host", create=True)

        assert report.accepted == 3
        made = User.objects.order_by("email")
        assert [user.email for user in made] == ["203.0.113.9@gateway.invalid", "::1@gateway.invalid"]
        assert not any(user.has_usable_password() for user in made)

    def test_customer_is_found_by_the_name_they_were_created_for(self, db):
        run([combined()], field="host", create=True)

        report = run([combined(), combined(second=1)], field="host")

        assert (report.accepted, report.duplicates, User.objects.count()) == (1, 1, 1)

    @pytest.mark.parametrize("user", ["Jane Doe", "x" * 250])
    def test_customer_is_not_created_for_an_invalid_address(self, db, user):
        report = run([combined(user=user)], field="user", create=True)

        assert report.rejected == 1
        assert not User.objects.exists()

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("user_id", "987654321"),
            ("user_id", "99999999999999999999"),
            ("user_id", "alice@example.com"),
            ("user_id", "x"),
            ("email", "nobody@example.com"),
            ("email", "1"),
            ("api_key_prefix", "AAAAAAAAAAAA"),
            ("api_key_prefix", "%"),
            ("host", "203.0.113.9"),
            ("user", "acme"),
        ],
    )
    def test_unknown_customers_lines_are_rejected(self, alice, field, value):
        line = combined(**{field: value}) if field in {"host", "user"} else jsonl(value, field=field)

        report = run([line] * 2, field=field)

        assert report.rejected == 2
        assert len({reason for _, reason in report.first_rejections}) == 1

    def test_customers_are_looked_up_once_each(self, alice, django_assert_max_num_queries):
        run([jsonl(alice)])

        with django_assert_max_num_queries(8):
            run([jsonl(alice)] * 50 + [jsonl(987_654_321)] * 50)


def test_a_customer_map_is_two_columns(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text('\ufeff::1,alice@example.com\n\n"Doe, Jane" , 7\n', encoding="utf-8")

    assert read_customer_map(path) == {"::1": "alice@example.com", "Doe, Jane": "7"}


@pytest.mark.parametrize("row", [["::1"], ["::1", ""], ["", "x"], ["a", "b", "c"]])
def test_a_customer_map_of_another_form_is_refused_by_line(tmp_path, row):
    path = tmp_path / "map.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["ok", "alice@example.com"], row])

    with pytest.raises(ValueError, match="Line 2 of"):
        read_customer_map(path)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_customer_map_may_be_parted_as_spreadsheets_do_it(tmp_path, separator):
    path = tmp_path / "map.csv"
    path.write_text(f"::1{separator}alice@example.com\r\n203.0.113.9{separator}7\r\n")

    assert read_customer_map(path) == {"::1": "alice@example.com", "203.0.113.9": "7"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"::1,7\n::1,7\n::1,8\n", "Line 3 of .* names another customer for '::1'"), (b"\xe9,7\n", "is not UTF-8")],
)
def test_a_customer_map_that_means_nothing_certain_is_refused(tmp_path, content, reason):
    path = tmp_path / "map.csv"
    path.write_bytes(content)

    with pytest.raises(ValueError, match=reason):
        read_customer_map(path)


def test_a_customer_map_of_two_customers_for_one_host_is_refused():
    named = {"::ffff:203.0.113.9": "7", "203.0.113.9": "8"}

    with pytest.raises(ValueError, match="which it spells in two ways"):
        Customers(customer_field="host", source="gateway", create=False, named=named)
    Customers(customer_field="user", source="gateway", create=False, named=named)
