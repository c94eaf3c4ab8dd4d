from __future__ import annotations

import io
import json
import sys
from argparse import ArgumentTypeError
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import IntegrityError, OperationalError

from accounts.errors import UserNotFound
from config.cli.arguments import (
    credits_argument,
    end_argument,
    instant_argument,
    nonnegative_credits_argument,
    signed_credits_argument,
)
from config.cli.command import OperatorCommand, Result, prints_result
from config.cli.run_lock import AnotherRunHoldsTheLock


class Command(OperatorCommand):
    requires_system_checks = ()

    def add_arguments(self, parser):
        parser.add_argument("amount", type=signed_credits_argument)
        parser.add_argument("--fail")

    @prints_result
    def handle(self, *args, **options):
        self.say("working")
        with self.progress("Working", 10) as advance:
            advance(1)
        if options["fail"]:
            raise FAILURES[options["fail"]]
        return Result({"amount": options["amount"], "ok": True}, findings=2 if options["amount"] == 3 else 0)


FAILURES = {
    "domain": UserNotFound("x@example.com"),
    "command": CommandError("Not today."),
    "lock": AnotherRunHoldsTheLock("things"),
    "away": OperationalError("connection refused\nhint: …"),
    "constraint": IntegrityError("violates"),
    "bug": KeyError("x"),
    "interrupt": KeyboardInterrupt(),
}


def from_shell(monkeypatch, capsys, *argv):
    monkeypatch.setattr(sys, "argv", ["manage.py", "command", *argv])
    monkeypatch.setattr("django.db.connections.close_all", lambda: None)
    try:
        Command().run_from_argv(["manage.py", "command", *argv])
    except SystemExit as exit_:
        code = exit_.code
    else:
        code = 0
    out, err = capsys.readouterr()
    return code, out, err


def test_data_goes_to_stdout_and_messages_to_stderr(monkeypatch, capsys):
    code, out, err = from_shell(monkeypatch, capsys, "-12.50", "--json")

    assert code == 0
    assert out == '{"amount":-12.5,"ok":true}\n'
    assert json.loads(out, parse_float=Decimal) == {"amount": Decimal("-12.5"), "ok": True}
    assert err == "working\n"


def test_without_json_a_person_reads_lines(monkeypatch, capsys):
    assert from_shell(monkeypatch, capsys, "1")[1] == "amount: 1\nok: true\n"


@pytest.mark.parametrize(
    ("failure", "code", "sentence"),
    [
        ("domain", 1, "No user has the email or id 'x@example.com'."),
        ("command", 1, "Not today."),
        ("away", 1, "The database cannot be used: connection refused"),
        ("constraint", 1, "The database refused: violates"),
        ("bug", 1, "Unexpected KeyError: 'x' (--traceback shows where)"),
        ("interrupt", 1, "Interrupted."),
        ("lock", 4, "Another run of things holds the lock."),
    ],
)
def test_a_failure_is_one_sentence_and_an_exit_code(monkeypatch, capsys, failure, code, sentence):
    assert from_shell(monkeypatch, capsys, "1", "--fail", failure, "--json") == (code, "", f"working\n{sentence}\n")


def test_findings_are_printed_before_exit_3(monkeypatch, capsys):
    code, out, err = from_shell(monkeypatch, capsys, "3", "--json")

    assert (code, json.loads(out)["amount"]) == (3, 3)
    assert err.endswith("2 findings.\n")


@pytest.mark.parametrize("argv", [["x"], ["0"], [], ["1e2"], ["1", "--nope"], ["1", "2"]])
def test_wrong_usage_is_exit_2(monkeypatch, capsys, argv):
    code, out, err = from_shell(monkeypatch, capsys, *argv)

    assert (code, out) == (2, "")
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("argv", "code"), [(["0"], 2), (["1", "--fail=domain"], 1), (["1", "--fail=lock"], 4), (["3"], 3)]
)
def test_call_command_gets_the_same_codes_as_errors(argv, code):
    with pytest.raises(CommandError) as failed:
        call_command(Command(), *argv, stdout=io.StringIO(), stderr=io.StringIO())

    assert failed.value.returncode == code


def test_arguments_are_read_by_the_apis_rules():
    assert credits_argument("12.50") == Decimal("12.5")
    assert nonnegative_credits_argument("0") == 0
    assert signed_credits_argument("-1") == -1
    assert (end_argument("2026-01-01") - instant_argument("2026-01-01")).days == 1
    for read, text in [(credits_argument, "-1"), (credits_argument, "0"), (instant_argument, "now")]:
        with pytest.raises(ArgumentTypeError, match=r"\.$"):
            read(text)
