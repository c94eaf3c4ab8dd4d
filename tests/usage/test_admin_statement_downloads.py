"""Downloading a customer's statement in the back office, and by `manage.py statement`."""

import datetime as dt
import io
import threading

import pytest
from django.urls import reverse
from django.utils import timezone
from pypdf import PdfReader

from config.backoffice import exports
from config.models import RecordKind, StaffRecord
from tests.backoffice import page_of, signed_in, staff_with, superuser
from tests.factories import StaffFactory, customer_with
from tests.ledger.running import run
from tests.usage.metering import charge

pytestmark = pytest.mark.django_db
MAY = ("accounts.view_user", "ledger.download_statement")


@pytest.fixture
def alice():
    alice = customer_with(10, full_name="Alice")
    charge(alice, credits=3)
    return alice


@pytest.fixture
def month():
    return f"{timezone.now().astimezone(dt.UTC):%Y-%m}"


def path_of(customer):
    return reverse("admin:accounts_user_statement", args=[customer.pk])


def test_a_statement_is_downloaded_from_the_customers_page_and_recorded(alice, month):
    clerk = staff_with(*MAY)
    client = signed_in(clerk)
    assert path_of(alice) in client.get(page_of("accounts_user", alice.pk)).content.decode()
    assert client.get(path_of(alice)).status_code == 200

    answer = client.post(path_of(alice), {"month": month, "format": "pdf", "paper": "letter"})

    assert answer.headers["Content-Type"] == "application/pdf"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="statement-{alice.pk}-{month}.pdf"'
    assert "no-store" in answer.headers["Cache-Control"]
    assert "Closing balance 7" in PdfReader(io.BytesIO(answer.content)).pages[0].extract_text()
    record = StaffRecord.objects.get(kind=RecordKind.EXPORT)
    assert (record.user, record.customer_id) == (clerk, alice.pk)
    assert record.message == f"Downloaded statement-{alice.pk}-{month}.pdf."


def test_a_statement_is_had_as_csv(alice, month):
    answer = signed_in(superuser()).post(path_of(alice), {"month": month, "format": "csv", "paper": "a4"})

    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert ",closing," in answer.content.decode()


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"month": "2001-01"}, "The account was created on"),
        ({"month": "2098-01"}, "has not begun yet"),
        ({"month": "2026-13"}, "Write a month as YYYY-MM"),
        ({"month": ""}, "Choose a month."),
        ({"month": "\x00"}, "Write a month as YYYY-MM"),
        ({"format": "docx"}, "Select a valid choice"),
        ({"paper": "a3"}, "Select a valid choice"),
    ],
)
def test_what_cannot_be_had_is_refused_with_words_and_not_recorded(alice, month, asked, sentence):
    sent = {"month": month, "format": "pdf", "paper": "a4"} | asked

    answer = signed_in(superuser()).post(path_of(alice), sent)

    assert answer.status_code == 200
    assert sentence in answer.content.decode()
    assert not StaffRecord.objects.filter(kind=RecordKind.EXPORT).exists()


def test_a_statement_needs_its_permission_and_an_account_of_somebody_else(alice, month):
    sent = {"month": month, "format": "csv", "paper": "a4"}
    colleague, clerk = StaffFactory(), staff_with(*MAY)

    assert signed_in(staff_with("accounts.view_user")).post(path_of(alice), sent).status_code == 403
    assert signed_in(staff_with("ledger.download_statement")).post(path_of(alice), sent).status_code == 403
    assert signed_in(clerk).post(path_of(clerk), sent).status_code == 403
    assert signed_in(clerk).post(path_of(colleague), sent).status_code == 403
    assert signed_in(alice).post(path_of(alice), sent).url.startswith("/admin/login/")


def test_a_file_beside_another_is_to_be_tried_again(alice, month, monkeypatch):
    turns = threading.BoundedSemaphore(1)
    monkeypatch.setattr("usage.admin.statements.turns", turns)
    client, sent = signed_in(superuser()), {"month": month, "format": "csv", "paper": "a4"}

    with turns:
        beside = client.post(path_of(alice), sent)

    assert (beside.status_code, beside.headers["Retry-After"]) == (429, "5")
    assert client.post(path_of(alice), sent).status_code == 200
    assert exports.turns is not turns


def test_the_command_writes_the_file_and_prints_its_figures(alice, month, tmp_path):
    file = tmp_path / "alice.pdf"

    ran = run("statement", alice.email, "--month", month, "--output", file, "--json")
    again = run("statement", str(alice.pk), "--month", month, "--format", "csv", "--output", tmp_path / "alice.csv")

    assert (ran.code, ran.json["opening"], ran.json["used"], ran.json["closing"]) == (0, 0, -3, 7)
    assert ran.json["is_running"] is True
    assert file.read_bytes().startswith(b"%PDF-")
    assert again.code == 0
    assert (tmp_path / "alice.csv").read_text().startswith("day,kind,text")


def test_the_command_names_the_file_after_account_and_month(alice, month, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    run("statement", alice.email, "--month", month, "--paper", "letter")

    assert [file.name for file in tmp_path.iterdir()] == [f"statement-{alice.pk}-{month}.pdf"]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("nobody@example.com", "--month", "2026-11"), 1, "nobody@example.com"),
        (("{email}", "--month", "2001-01"), 1, "The account was created on"),
        (("{email}", "--month", "11/2026"), 2, "Write a month as YYYY-MM"),
        (("{email}",), 2, "--month"),
        (("{email}", "--month", "2026-11", "--format", "docx"), 2, "docx"),
    ],
)
def test_the_command_refuses_with_a_sentence(alice, arguments, code, sentence):
    ran = run("statement", *(each.format(email=alice.email) for each in arguments))

    assert ran.code == code
    assert sentence in ran.err


def test_a_file_that_cannot_be_written_is_named(alice, month, tmp_path):
    ran = run("statement", alice.email, "--month", month, "--output", tmp_path / "missing" / "x.pdf")

    assert ran.code == 1
    assert "missing/x.pdf cannot be written" in ran.err
