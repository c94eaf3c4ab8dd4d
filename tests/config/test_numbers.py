from __future__ import annotations

from decimal import Decimal

import pytest

from config.values.credits import NotACreditAmount, parse_credits, percentage, plain

D = Decimal


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        (3, "3"),
        ("3", "3"),
        (D("3.0"), "3"),
        ("3.0", "3"),
        ("12.5", "12.5"),
        (D("1e2"), "100"),
        (D("1.5E+3"), "1500"),
        (D("10e-7"), "0.000001"),
        (D("1.0000000"), "1"),
        ("0.000001", "0.000001"),
        ("007", "7"),
        ("999999999.999999", "999999999.999999"),
        (999_999_999, "999999999"),
    ],
)
def test_an_exact_decimal_is_accepted_by_its_value(value, amount):
    assert str(parse_credits(value)) == amount


@pytest.mark.parametrize(
    "value",
    [
        None, True, False, [], {}, 1.5, b"1", D("NaN"), D("sNaN"), D("Infinity"), D("-Infinity"),
        0, "0", "0.000000", "-0", D("0E-6"), -1, "-1", D("-0.5"),
        "NaN", "Infinity", "1e2", "1E2", "1e-2", "", " ", "1 ", " 1", "1\n", "+1", "1.", ".5", "1,5", "1_000",
        "１", "1٫5", "٣", "0x10", "--1", "1.0000000", "1.1234567", D("1.1234567"), D("1e-7"), D("1E-999999"),
        "1000000000", 10**9, pytest.param(10**5000, id="endless"), D("1e999999999"), D("999999999.9999991"), "9" * 100,
    ],
)  # fmt: skip
def test_anything_else_is_refused_in_a_sentence(value):
    with pytest.raises(NotACreditAmount, match=r"\.$"):
        parse_credits(value)


def test_a_sign_and_a_zero_are_taken_only_where_they_make_sense():
    assert parse_credits("-2.5", allow_negative=True) == D("-2.5")
    assert str(parse_credits("-0.00", allow_zero=True)) == "0"
    with pytest.raises(NotACreditAmount, match="must not be 0"):
        parse_credits("0", allow_negative=True)


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        ("1E+2", "100"),
        ("12.500000", "12.5"),
        ("0.000001", "0.000001"),
        ("1E-6", "0.000001"),
        ("-0.00", "0"),
        ("100", "100"),
        ("123456789012345678901234567890.1234500", "123456789012345678901234567890.12345"),
    ],
)
def test_an_amount_is_printed_without_exponent_or_needless_zeros(value, printed):
    assert str(plain(D(value))) == printed


@pytest.mark.parametrize(
    ("part", "whole", "printed"),
    [
        (250, 1000, "25.0"),
        (1, 3, "33.33"),
        (2, 3, "66.67"),
        (1, 16, "6.25"),
        (D("0.00125"), 25, "0.01"),
        (1, 20_000, "0.01"),
        (0, 0, "0.0"),
        (0, 7, "0.0"),
        (7, 7, "100.0"),
        (99_999_999, 100_000_000, "99.99"),
    ],
)
def test_a_percentage_is_rounded_half_up_and_100_only_when_exact(part, whole, printed):
    assert str(percentage(part, whole)) == printed
