"""Exports of the back office's lists: permissions, contents, limits, and the record in the log."""

import csv
import io
import threading
from decimal import Decimal

import openpyxl
import pytest
from django.apps import apps
from django.contrib.admin.models import CHANGE, LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from config.backoffice import exports
from ledger.models import Entry
from ledger.services.holds import open_hold
from tests.backoffice import EXPORTED, export_of, list_of, signed_in, staff_with, superuser
from tests.factories import StaffFactory, SubscriptionFactory, UserFactory, customer_with, give
from tests.ledger.adjusting import ask, limited
from tests.usage.metering import charge, price

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice():
    """A customer with a row in every exported list."""
    price("search", "0.000001")
    alice = customer_with("1000.5", email="alice@example.com", full_name="=cmd|' /C calc'!A0")
    SubscriptionFactory(user=alice)
    open_hold(user_id=alice.pk, credits=Decimal("2.25"), expires_in_seconds=900, idempotency_key="h", reference="@work")
    charge(alice, reference="+1")
    ask(alice, 1, by=limited(StaffFactory(), single=0, daily=0))  # waits
    return alice


def as_csv(client, model, query=""):
    answer = client.post(f"{export_of(model)}{query}", {"format": "csv"})
    assert answer.status_code == 200, answer
    text = b"".join(answer.streaming_content).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def may_export(model):
    app, name = model.split("_")
    return staff_with(f"{app}.view_{name}", f"{app}.export_{name}")


@pytest.mark.parametrize("model", EXPORTED)
def test_each_list_is_exported_with_the_permissions_to_view_and_export_it(alice, model):
    client = signed_in(may_export(model))
    LogEntry.objects.log_actions(alice.pk, [alice], CHANGE, "Seen.")
    last = apps.get_model(model.replace("_", ".", 1)).objects.order_by("pk").last()

    page = client.get(export_of(model))
    rows = as_csv(client, model)

    assert f'href="{export_of(model)}"' in client.get(list_of(model)).content.decode()
    assert page.status_code == 200
    assert page.context["columns"] == list(rows[0])
    assert str(last.pk) in {row["id"] for row in rows}


@pytest.mark.parametrize("model", EXPORTED)
@pytest.mark.parametrize("lacking", ["view", "export"])
def test_neither_the_right_to_see_nor_that_to_export_is_enough(alice, model, lacking):
    app, name = model.split("_")
    other = {"view": "export", "export": "view"}[lacking]
    client = signed_in(staff_with(f"{app}.{other}_{name}"))

    assert client.get(export_of(model)).status_code == 403
    assert client.post(export_of(model), {"format": "csv"}).status_code == 403
    assert export_of(model) not in client.get(list_of(model)).content.decode()


def test_no_other_list_is_exported():
    client = signed_in(superuser())

    for model in ("accounts_apikey", "auth_group", "ledger_balance"):
        assert client.get(f"{list_of(model)}export/").status_code in (302, 404), model


def test_an_export_is_the_list_as_it_is_searched_and_filtered(alice):
    bob = customer_with(7, email="bob@example.com")
    client = signed_in(superuser())

    of_bob = as_csv(client, "ledger_entry", f"?user={bob.pk}")
    debits = as_csv(client, "ledger_entry", "?type__exact=debit")
    of_alice = as_csv(client, "ledger_entry", "?q=alice@example.com")

    assert [row["customer"] for row in of_bob] == ["bob@example.com"]
    assert [row["amount"] for row in debits] == ["-0.000001"]
    assert [row["seq"] for row in of_alice] == ["2", "1"]


def test_money_is_exact_and_formulas_are_text_in_a_workbook(alice):
    client = signed_in(superuser())

    answer = client.post(export_of("accounts_user"), {"format": "xlsx"})
    sheet = openpyxl.load_workbook(io.BytesIO(b"".join(answer.streaming_content))).active
    header, *rows = sheet.iter_rows()
    names = [cell.value for cell in header]
    (row,) = [dict(zip(names, cells, strict=True)) for cells in rows if cells[1].value == "alice@example.com"]

    assert answer.headers["Content-Disposition"].endswith(f'-{timezone.now():%Y-%m-%d}.xlsx"')
    assert (row["full_name"].data_type, row["full_name"].value) == ("s", "'=cmd|' /C calc'!A0")
    assert (row["balance"].data_type, str(row["balance"].value)) == ("n", "1000.499999")
    assert (row["available"].data_type, str(row["available"].value)) == ("n", "998.249999")


def test_references_that_look_like_formulas_are_escaped_and_negative_amounts_are_not(alice):
    client = signed_in(superuser())

    (hold,) = as_csv(client, "ledger_hold")
    entry = as_csv(client, "ledger_entry")[0]

    assert hold["reference"] == "'@work"
    assert (entry["reference"], entry["amount"], entry["balance_after"]) == ("'+1", "-0.000001", "1000.499999")


def test_customers_are_exported_without_balances_by_staff_who_may_not_see_them(alice):
    rows = as_csv(signed_in(may_export("accounts_user")), "accounts_user")

    assert "balance" not in rows[0]
    assert "password" not in rows[0]


def test_more_rows_than_a_file_takes_are_refused_with_a_sentence(alice, monkeypatch):
    monkeypatch.setattr(exports, "MOST_ROWS", {"csv": 2, "xlsx": 1})
    give(alice, 1)
    client = signed_in(superuser())

    for answer in (client.get(export_of("ledger_entry")), client.post(export_of("ledger_entry"), {"format": "csv"})):
        assert "The list has more than 2 rows" in answer.content.decode()
        assert "Export</button>" not in answer.content.decode()
    assert len(as_csv(client, "ledger_entry", "?type__exact=debit")) == 1


def test_a_workbook_takes_fewer_rows_and_says_so(alice, monkeypatch):
    monkeypatch.setattr(exports, "MOST_ROWS", {"csv": 2, "xlsx": 1})
    client = signed_in(superuser())

    answer = client.post(export_of("ledger_entry"), {"format": "xlsx"})

    assert "Such a file takes at most 1 rows" in answer.content.decode()
    assert len(as_csv(client, "ledger_entry")) == 2


def test_an_export_is_on_record_without_what_was_searched_for(alice):
    staff = superuser()

    as_csv(signed_in(staff), "ledger_entry", "?q=alice@example.com&type__exact=credit")

    noted = LogEntry.objects.get()
    assert (noted.user_id, noted.object_id, noted.object_repr) == (staff.pk, None, "entries")
    assert noted.change_message == "Exported 1 rows as CSV, narrowed by a search, type__exact=credit."
    assert "Exported 1 rows" in signed_in(staff).get(list_of("config_staffrecord")).content.decode()


@pytest.mark.parametrize("sent", [{}, {"format": "ods"}, {"format": "0"}, {"format": "csv\0"}, {"format": ""}])
def test_another_format_is_refused(alice, sent):
    answer = signed_in(superuser()).post(export_of("ledger_entry"), sent)

    assert answer.headers["Content-Type"].startswith("text/html")
    assert LogEntry.objects.count() == 0


@pytest.mark.parametrize("query", ["user=%00", "created_at__year=x", "nothing=1"])
def test_an_address_typed_by_hand_leads_back_to_the_list(alice, query):
    answer = signed_in(superuser()).post(f"{export_of('ledger_entry')}?{query}", {"format": "csv"})

    assert (answer.status_code, answer.url) == (302, f"{list_of('ledger_entry')}?e=1")


@pytest.mark.parametrize("model", EXPORTED)
def test_crafted_exports_change_nothing(alice, model):
    client = signed_in(superuser())
    before = list(Entry.objects.order_by("pk").values())
    crafted = {"format": "csv", "action": "delete_selected", "_selected_action": ["1"], "post": "yes", "resource": "9"}

    answers = [
        client.post(export_of(model), crafted | {"export_items": ["1"]}),
        client.post(export_of(model), {"_save": "Save", "amount": "1"}),
        *(getattr(client, method)(export_of(model)) for method in ("put", "patch", "delete")),
    ]

    assert {answer.status_code for answer in answers} == {200}
    assert list(Entry.objects.order_by("pk").values()) == before
    assert UserFactory._meta.model.objects.filter(pk=alice.pk).exists()


@pytest.mark.parametrize("model", EXPORTED)
@pytest.mark.parametrize("many", [1, 8])
def test_an_export_takes_a_fixed_number_of_statements(alice, model, many):
    for number in range(many):
        other = SubscriptionFactory(user=customer_with(number + 1)).user
        open_hold(user_id=other.pk, credits=Decimal("0.5"), expires_in_seconds=900, idempotency_key="h")
        charge(other)
        ask(other, 1, by=limited(StaffFactory(), single=0, daily=0))
        price(f"other-{number}", 1)
        LogEntry.objects.log_actions(other.pk, [alice, other], CHANGE, "Seen.")
    client = signed_in(superuser())
    client.get("/admin/password_change/")  # now and then a page notes that the sign-in is in use

    with CaptureQueriesContext(connection) as statements:
        rows = as_csv(client, model)

    assert len(rows) > many
    assert len(statements) <= 8, [statement["sql"] for statement in statements]


def test_an_export_beside_another_is_to_be_tried_again_and_says_so(alice, monkeypatch):
    client = signed_in(superuser())
    turns = threading.BoundedSemaphore(1)
    monkeypatch.setattr(exports, "turns", turns)

    with turns:
        beside = client.post(export_of("ledger_entry"), {"format": "csv"})
    rows = as_csv(client, "ledger_entry")

    assert (beside.status_code, int(beside.headers["Retry-After"]) > 0) == (429, True)
    assert "Another export is being written" in beside.content.decode()
    assert LogEntry.objects.count() == 1
    assert rows


def test_an_export_that_fails_releases_its_turn(alice, monkeypatch):
    client = signed_in(superuser())
    client.raise_request_exception = False
    monkeypatch.setattr(exports, "turns", threading.BoundedSemaphore(1))
    with monkeypatch.context() as broken:
        broken.setattr(exports, "record_export", lambda *_, **__: 1 / 0)
        failed = client.post(export_of("ledger_entry"), {"format": "csv"})

    assert failed.status_code == 500
    assert as_csv(client, "ledger_entry")
