"""The files of exports: amounts exact, numbers as numbers, and no text that a spreadsheet would run."""

import csv
import datetime as dt
import io
import re
import zipfile
from decimal import Decimal

import openpyxl
import pytest
import tablib
from import_export.formats.base_formats import CSV

from config.backoffice.export_files import write_csv, write_xlsx

FORMULAS = ['=HYPERLINK("http://x")', "==1+1", "+1+1", "-1+1", "@SUM(A1)", "\tx", "\rx", "\nx", " =1+1", "\uff1d1"]


def csv_of(rows):
    file = io.BytesIO()
    write_csv(file, ["a"], rows)
    return list(csv.reader(io.StringIO(file.getvalue().decode(), newline="")))[1:]


def sheet_of(rows, **options):
    file = io.BytesIO()
    write_xlsx(file, ["a"], rows)
    return openpyxl.load_workbook(file, **options).active


def xml_of(rows):
    """Return the sheet as it is stored."""
    file = io.BytesIO()
    write_xlsx(file, ["a"], rows)
    return zipfile.ZipFile(file).read("xl/worksheets/sheet1.xml").decode()


@pytest.mark.parametrize("text", FORMULAS)
def test_text_that_would_start_a_formula_gets_an_apostrophe_in_both_formats(text):
    (in_csv,) = csv_of([[text]])
    in_sheet = sheet_of([[text]])["A2"]

    assert in_csv == [f"'{text}"]
    assert in_sheet.value == f"'{text}".replace("\r", "\n")  # as XML has it
    assert in_sheet.data_type == "s"


@pytest.mark.parametrize("text", ["-5", "+5", "5", "007", "1e5", "'=1", "a=b", "Müller", " =1"])
def test_no_text_becomes_a_number_or_a_formula(text):
    cell = sheet_of([[text]])["A2"]

    assert cell.data_type == "s"
    assert cell.value in (text, f"'{text}")


@pytest.mark.parametrize(
    "amount",
    ["-12.5", "0", "0.000001", "-0.000001", "999999999.999999", "-999999999.999999", "123456789.000001", "5E+2"],
)
def test_amounts_are_numbers_with_every_digit(amount):
    value = Decimal(amount)

    (in_csv,) = csv_of([[value]])
    stored = re.search(r'<c r="A2" t="n"><v>(.*?)</v>', xml_of([[value]]))[1]

    assert (Decimal(in_csv[0]), Decimal(stored)) == (value, value)
    assert "E" not in in_csv[0] + stored
    assert sheet_of([[value]])["A2"].data_type == "n"


def test_a_number_that_a_spreadsheet_would_round_is_text():
    cells = sheet_of([[2**63 - 1, 123456789012345]])

    assert (cells["A2"].data_type, cells["A2"].value) == ("s", str(2**63 - 1))
    assert (cells["B2"].data_type, cells["B2"].value) == ("n", 123456789012345)


def test_other_values_are_written_alike_in_both_formats():
    moment = dt.datetime(2026, 11, 21, 23, 59, 59, 123456, tzinfo=dt.UTC)
    row = [True, None, moment, "", {"a": "=1"}]

    in_sheet = [cell.value for cell in next(sheet_of([row]).iter_rows(min_row=2))]

    assert csv_of([row]) == [["true", "", "2026-11-21T23:59:59.123456Z", "", '{"a":"=1"}']]
    assert in_sheet == ["true", None, "2026-11-21T23:59:59.123456Z", None, '{"a":"=1"}']


def test_values_that_a_sheet_cannot_hold_do_not_break_it():
    cells = sheet_of([["a\x00b\x1fc", "x" * 40_000]])

    assert cells["A2"].value == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c"
    assert len(cells["B2"].value) == 32_767


def test_the_number_of_rows_is_returned():
    assert write_csv(io.BytesIO(), ["a"], ([n] for n in range(3))) == 3
    assert write_xlsx(io.BytesIO(), ["a"], ([n] for n in range(3))) == 3


def test_the_librarys_own_setting_would_not_do(settings):
    """IMPORT_EXPORT_ESCAPE_FORMULAE_ON_EXPORT is insufficient: if this fails, the library has changed."""
    settings.IMPORT_EXPORT_ESCAPE_FORMULAE_ON_EXPORT = True
    data = tablib.Dataset(["==1", "+1", "@x", Decimal("0.5"), None], headers=list("abcde"))

    exported = CSV().export_data(data)

    assert exported.splitlines()[1] == "=1,+1,@x,0.5,None"
