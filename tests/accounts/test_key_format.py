import re
import zlib

import pytest

from accounts import key_format

KEY = "tb_live_0123456789Ab_0123456789ABCDEFGHIJKLMNOPQRSTUV"


def with_check_sum(body):
    return body + key_format.check_sum_of(body)


def test_a_new_key_has_the_form_of_the_contract():
    key = key_format.make_key()

    assert re.fullmatch(r"tb_live_[0-9A-Za-z]{12}_[0-9A-Za-z]{38}", key)
    assert key_format.is_well_formed(key)


def test_a_thousand_new_keys_are_all_different():
    keys = {key_format.make_key() for _ in range(1000)}

    assert len(keys) == 1000
    assert len({key_format.prefix_of(key) for key in keys}) == 1000


def test_the_check_sum_is_the_crc_32_of_all_before_it_in_base62():
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

    check_sum = key_format.check_sum_of(KEY)

    value = 0
    for digit in check_sum:
        value = value * 62 + digits.index(digit)
    assert value == zlib.crc32(KEY.encode())


def test_a_small_check_sum_is_padded_with_zeros():
    body = next(f"tb_live_{n}" for n in range(100_000) if zlib.crc32(f"tb_live_{n}".encode()) < 62**4)

    assert re.fullmatch(r"00[0-9A-Za-z]{4}", key_format.check_sum_of(body))


def test_the_prefix_is_the_twelve_public_characters():
    assert key_format.prefix_of(with_check_sum(KEY)) == "0123456789Ab"


def test_each_single_typing_error_is_noticed_offline():
    key = with_check_sum(KEY)

    for place in range(len("tb_live_"), len(key)):
        other = "x" if key[place] != "x" else "y"
        assert not key_format.is_well_formed(key[:place] + other + key[place + 1 :])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tb_live_",
        KEY,
        with_check_sum(KEY) + "\n",
        " " + with_check_sum(KEY),
        with_check_sum(KEY).upper(),
        with_check_sum(KEY.replace("tb_live_", "tb_test_")),
        with_check_sum(KEY).replace("0", "٠"),
        "é" * 59,
        "x" * 10_000,
    ],
)
def test_text_that_is_no_key_is_refused_offline(text):
    assert not key_format.is_well_formed(text)


def test_two_keys_never_share_their_hash():
    assert len(key_format.hash_of(with_check_sum(KEY))) == 32
    assert key_format.hash_of("a") != key_format.hash_of("b")
