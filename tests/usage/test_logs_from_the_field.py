"""Logs as real systems write them, through `import_requests`: each is counted right, or refused with the reason."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import sys
from types import SimpleNamespace

import pytest

from accounts.models import User
from tests.factories import customer_with
from tests.ledger.running import run
from tests.usage.metering import price
from usage.models import ImportedCustomer, RequestLog

pytestmark = pytest.mark.django_db


def line(host="203.0.113.7", path="/v1/items", second=0):
    at = f"20/Nov/2026:10:00:{second:02d} +0000"
    return f'{host} - - [{at}] "GET {path} HTTP/1.1" 200 1234 "-" "curl/8.5.0"\n'


@pytest.fixture
def log(tmp_path):
    """Return a function that writes a file and returns its path."""

    def write(content, name="access.log"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def import_log(path, *options, format="combined", field="host", source="gateway"):
    return run(
        *("import_requests", path, "--format", format, "--customer-field", field, "--source", source, "--json"),
        *(options or ("--create-customers",)),
    )


def test_a_log_that_is_being_written_counts_each_line_once(log):
    whole = line() + line(path="/v1/orders", second=1)
    price("*", 1)

    first = import_log(log(whole[:-25]), "--create-customers", "--charge")
    second = import_log(log(whole), "--create-customers", "--charge")

    assert (first.code, first.json["read"], first.json["accepted"], first.json["incomplete"]) == (0, 1, 1, 1)
    assert first.err.startswith("line 2: it has no end")
    assert (second.code, second.json["read"], second.json["accepted"], second.json["duplicates"]) == (0, 2, 1, 1)
    assert "incomplete" not in second.json
    assert sorted(RequestLog.objects.values_list("path", flat=True)) == ["/v1/items", "/v1/orders"]


def test_a_first_line_that_is_being_written_is_no_error(log):
    ran = import_log(log(line()[:30]))

    assert (ran.code, ran.json["read"], ran.json["incomplete"]) == (0, 0, 1)


def test_a_complete_log_is_taken_to_its_last_character(log):
    ran = import_log(log(line() + line(second=1).rstrip("\n")), "--create-customers", "--complete")

    assert (ran.code, ran.json["accepted"], ran.err) == (0, 2, "")


def test_a_site_before_the_host_makes_no_customer(log):
    ran = import_log(log("".join(f"api.example.com:443 {line(host)}" for host in ("203.0.113.7", "198.51.100.9"))))

    assert (ran.code, ran.json["accepted"], ran.json["rejected"]) == (1, 0, 2)
    assert "line 1: something stands before the host, as in vhost_combined" in ran.err
    assert "'api.example.com:443'" in ran.err
    assert not User.objects.exists()


@pytest.mark.parametrize("day", [" 5", "20"])
def test_a_syslog_prefix_makes_no_customer(log, day):
    ran = import_log(log(f"Nov {day} 10:00:00 gw-1 nginx[2869]: {line()}"))

    assert (ran.code, ran.json["rejected"]) == (1, 1)
    assert "syslog prefix" in ran.err
    assert not User.objects.exists()


MARK = b"\xef\xbb\xbf"
JSON_LINE = b'{"host":"203.0.113.7","time":"2026-11-20T10:00:0%dZ","path":"/v1/items","status":200}\n'


@pytest.mark.parametrize(
    ("format", "content"),
    [
        ("combined", MARK + (line() + line(second=1)).encode()),
        ("combined", line().encode() + MARK + line(second=1).encode()),
        ("jsonl", MARK + JSON_LINE % 0 + JSON_LINE % 1),
        ("csv", MARK + b"host,time,path,status\n203.0.113.7,2026-11-20,/x,200\n203.0.113.7,2026-11-21,/x,200\n"),
    ],
)
def test_a_byte_order_mark_is_no_part_of_a_line(log, format, content):
    ran = import_log(log(content), format=format)

    assert (ran.code, ran.json["accepted"]) == (0, 2)
    assert [user.email for user in User.objects.all()] == ["203.0.113.7@gateway.invalid"]
    again = import_log(log(content.replace(MARK, b"")), format=format)
    assert again.json["duplicates"] == 2


@pytest.mark.parametrize(
    ("spellings", "one"),
    [
        (["::ffff:203.0.113.7", "203.0.113.7", "::FFFF:cb00:7107", "203.0.113.7:51234"], "203.0.113.7"),
        (["2001:db8::7", "2001:DB8:0:0:0:0:0:7", "[2001:db8::7]:443", "2001:db8::0007%eth0"], "2001:db8::7"),
        (["Client.Example", "client.example.", "client.example"], "client.example"),
    ],
)
@pytest.mark.parametrize("is_mapped", [False, True])
def test_spellings_of_one_host_are_one_customer(log, spellings, one, is_mapped):
    options = ["--create-customers"]
    if is_mapped:
        customer_with(1, email="alice@example.com")
        options = ["--customers", log(f"{spellings[-1]},alice@example.com\n", name="map.csv")]

    ran = import_log(log("".join(line(host, second=n) for n, host in enumerate(spellings))), *options)

    assert (ran.code, ran.json["accepted"]) == (0, len(spellings)), ran.err
    assert [user.email for user in User.objects.all()] == [
        "alice@example.com" if is_mapped else f"{one}@gateway.invalid"
    ]


@pytest.mark.parametrize("host", ["203.0.113.7,10.0.0.1", "203.0.113.7,", "a\u202eb", "x" * 250])
def test_an_invalid_host_makes_no_customer(log, host):
    ran = import_log(log(line(host)))

    assert (ran.json["accepted"], ran.json["rejected"]) == (0, 1)
    assert "no customer can be named" in ran.err
    assert not User.objects.exists()


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_packed_log_is_read_and_is_the_same_log(log, pack):
    text = (line() + line(path="/v1/orders", second=1)).encode()
    live = import_log(log(text[: len(line())]))

    packed = import_log(log(pack(text.rstrip(b"\n")), name="access.log.1.gz"))

    assert (live.json["accepted"], packed.code) == (1, 0)
    assert (packed.json["read"], packed.json["accepted"], packed.json["duplicates"]) == (2, 1, 1)


def test_parts_packed_one_after_the_other_are_one_log(log):
    ran = import_log(log(gzip.compress(line().encode()) + gzip.compress(line(second=1).encode())))

    assert ran.json["accepted"] == 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (gzip.compress(line().encode() * 50)[:-9], "ends in the middle"),
        (gzip.compress(line().encode())[:3], "ends in the middle"),
        (gzip.compress(line().encode())[:-8] + b"\0" * 8, "is damaged"),
        (b"\x1f\x8b junk that is no gzip", "is damaged"),
        (b"\xfd7zXZ\x00" + b"junk" * 20, "is damaged"),
        (b"BZh9" + b"junk" * 20, "is damaged"),
        (b"\x28\xb5\x2f\xfd" + b"x" * 50, "compressed by zstd"),
        (b"\x04\x22\x4d\x18" + b"x" * 50, "compressed by lz4"),
        (b"\x1f\x9d" + b"x" * 50, "compressed by compress"),
        (b"PK\x03\x04" + b"x" * 50, "zip archive or a spreadsheet"),
        (line().encode("utf-16"), "is UTF-16"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error_that_says_why(log, content, reason):
    ran = import_log(log(content))

    assert (ran.code, ran.out) == (1, "")
    assert reason in ran.err
    assert "access.log cannot be read." in ran.err
    assert ran.err.count("\n") <= 1


@pytest.mark.parametrize(
    ("format", "content"),
    [
        ("combined", b"junk\n" * 3),
        ("combined", b"\x00\x01\x02" * 1_000),
        ("combined", JSON_LINE % 0),
        ("jsonl", line().encode()),
        ("jsonl", b"[" + (JSON_LINE % 0).rstrip() + b"]\n"),
        ("csv", b"host,time,path,status\njunk\n"),
        ("combined", b"\n\n"),
    ],
)
def test_a_file_of_which_nothing_can_be_read_is_an_error(log, format, content):
    ran = import_log(log(content + b"\n"), format=format)

    assert (ran.code, ran.json["accepted"]) == (1, 0)
    assert ran.json["rejected"] == ran.json["read"] > 0
    assert ran.err.splitlines()[-1].endswith(f"access.log could be read as {format}.")


def test_one_line_that_can_be_read_is_enough(log):
    ran = import_log(log("junk\n" + line()))

    assert (ran.code, ran.json["accepted"], ran.json["rejected"]) == (0, 1, 1)


def test_a_log_whose_customers_are_unknown_can_be_read(log):
    ran = import_log(log(line()), "--charge")

    assert (ran.code, ran.json["rejected"]) == (0, 1)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_hyphen_is_standard_input(monkeypatch, pack):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(pack((line() + line(second=1)).encode()))))

    ran = import_log("-")

    assert (ran.code, ran.json["accepted"]) == (0, 2), ran.err


@pytest.mark.parametrize(
    "content",
    [
        "time;host;path;status\n2026-11-20T10:00:00Z;203.0.113.7;/v1/items;200\n",
        "time\thost\tpath\tstatus\n2026-11-20T10:00:00Z\t203.0.113.7\t/v1/items\t200\n",
        "\ufeffTime,Host,Path,Status\r\n2026-11-20T10:00:00Z,203.0.113.7,/v1/items,200\r\n",
        "\ufeffTIME;HOST;PATH;STATUS\r\n2026-11-20T10:00:00Z;203.0.113.7;/v1/items;200\r\n",
    ],
)
def test_csv_as_spreadsheets_save_it_is_read(log, content):
    ran = import_log(log(content), format="csv")

    assert (ran.code, ran.json["accepted"]) == (0, 1), ran.err
    assert RequestLog.objects.get().path == "/v1/items"


def test_a_header_without_the_names_says_which_were_read(log):
    ran = import_log(log("Zeit;Host;Pfad;Status\n"), format="csv")

    assert (ran.code, ran.out) == (2, "")
    assert "lacks: time, endpoint. Parted by semicolons it names: Zeit, Host, Pfad, Status." in ran.err


def test_json_lines_with_values_as_gateways_write_them_are_read(log):
    records = [
        {"time": "2026-11-20T10:00:00.735539596Z", "latency_ms": 2},
        {"time": "2026-11-20T10:00:01Z", "latency_ms": 2.155389},
        {"time": "2026-11-20T10:00:02Z", "latency_ms": -1, "status": 401},
        {"time": "2026-11-20T10:00:03+0000", "status": "200"},
    ]
    common = {"path": "/v1/items", "host": "203.0.113.7", "method": "get", "status": 200}
    text = "".join(json.dumps(common | record) + "\n" for record in records)

    ran = import_log(log(text), format="jsonl")

    assert (ran.code, ran.json["accepted"]) == (0, 4), ran.err
    logged = RequestLog.objects.order_by("occurred_at")
    assert [each.latency_ms for each in logged] == [2, 2, None, None]
    assert [each.status for each in logged] == [200, 200, 401, 200]
    assert logged[0].occurred_at.microsecond == 735_539


def test_an_import_without_charging_is_reported_by_a_later_one_that_charges(log):
    customer_with(10, email="203.0.113.7@gateway.invalid")
    price("*", "1.5")
    path = log(line() + line(second=1))
    import_log(path)

    ran = import_log(path, "--charge")

    assert (ran.code, ran.json["duplicates"], ran.json["credits_charged"]) == (0, 2, 0)
    assert (ran.json["uncharged"], ran.json["uncharged_credits"]) == (2, 3)
    assert "2 requests were recorded earlier by an import without --charge and stay free" in ran.err
    assert "would have cost 3 credits" in ran.err


def test_a_customer_whose_email_changed_is_found_by_the_next_import(log):
    import_log(log(line()))
    User.objects.update(email="jane@company.example")

    ran = import_log(log(line() + line(second=1)))

    assert (ran.json["accepted"], ran.json["duplicates"]) == (1, 1)
    assert [user.email for user in User.objects.all()] == ["jane@company.example"]
    assert RequestLog.objects.filter(user__email="jane@company.example").count() == 2


def test_another_log_has_customers_of_its_own(log):
    for source in ("gateway", "edge"):
        import_log(log(line()), source=source)

    assert sorted(ImportedCustomer.objects.values_list("source", "value", "user__email")) == [
        ("edge", "203.0.113.7", "203.0.113.7@edge.invalid"),
        ("gateway", "203.0.113.7", "203.0.113.7@gateway.invalid"),
    ]


def test_a_user_name_is_one_customer_in_whatever_case(log):
    text = line().replace("- -", "- Acme") + line(second=1).replace("- -", "- ACME")

    ran = import_log(log(text), field="user")

    assert ran.json["accepted"] == 2
    assert [user.email for user in User.objects.all()] == ["acme@gateway.invalid"]


def test_a_customer_whom_an_operator_entered_for_a_host_is_taken_for_good(log):
    entered = customer_with(1, email="203.0.113.7@gateway.invalid")
    import_log(log(line()), "--charge")
    User.objects.update(email="jane@company.example")

    import_log(log(line(second=1)))

    assert {logged.user for logged in RequestLog.objects.all()} == {entered}
