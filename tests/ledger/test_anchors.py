"""Anchors: a full run notes where every ledger ends, and later runs find that end or report it missing."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection

from accounts.models import User
from config.doctor import installation
from ledger.models import Anchor, AnchorPlace, Entry
from ledger.services.reconciliation import anchoring
from ledger.services.reconciliation.anchoring import check_anchor, digest_text, expect, take_anchor
from tests.conftest import owner_connection
from tests.factories import UserFactory
from tests.ledger.posting import post
from tests.ledger.running import run
from tests.ledger.tampering import tamper
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db(transaction=True)
OLD, NEW = "an old key that signed once, of 32 bytes", "the new key that signs now, of 32 bytes."

_CUT_OFF = """
    WITH gone AS (DELETE FROM ledger_entry WHERE user_id = {user} AND seq = {seq} RETURNING seq)
    UPDATE ledger_balance b SET (balance, seq, seal, granted_total) = (p.balance_after, p.seq, p.seal, p.balance_after)
    FROM ledger_entry p WHERE b.user_id = {user} AND p.user_id = {user} AND p.seq = {seq} - 1
"""
_SEAL_ANEW = """
    WITH sealed AS (
        UPDATE ledger_entry e SET description = 'Another', seal = ledger_seal(
            p.seal, e.user_id, e.seq, e.type, e.reason, e.amount, e.balance_after, 'Another', e.reference, e.metadata,
            e.operation, e.idempotency_key, e.fingerprint, e.reverses_id, e.actor_id, e.created_at)
        FROM ledger_entry p WHERE e.user_id = {user} AND e.seq = {seq} AND p.user_id = {user} AND p.seq = {seq} - 1
        RETURNING e.seal
    )
    UPDATE ledger_balance b SET seal = sealed.seal FROM sealed WHERE b.user_id = {user}
"""
_TAKE_AWAY = """
    WITH entries AS (DELETE FROM ledger_entry WHERE user_id = {user})
    DELETE FROM ledger_balance WHERE user_id = {user}
"""


@pytest.fixture
def customers() -> list[User]:
    """Create three customers with three entries each."""
    made = [UserFactory(email=f"{n}@anchored.example") for n in range(3)]
    for user in made:
        for n in range(3):
            post(user, 10 + n)
    return made


def tamper_at(statement: str, user: User, seq: int = 3) -> None:
    tamper(statement.format(user=user.pk, seq=seq))


def found() -> set[tuple[str, int | None]]:
    return {(finding.check, finding.user_id) for finding in check_anchor().findings}


def test_an_anchor_names_where_every_ledger_ends(customers):
    anchor = take_anchor()

    places = AnchorPlace.objects.filter(anchor=anchor).values_list("user_id", "seq", "seal")
    ends = Entry.objects.filter(seq=3).values_list("user_id", "seq", "seal")
    assert anchor.customers == 3
    assert sorted((user, seq, bytes(seal)) for user, seq, seal in places) == sorted(
        (user, seq, bytes(seal)) for user, seq, seal in ends
    )
    assert found() == set()


def test_ledgers_that_have_grown_hold(customers):
    digest = digest_text(take_anchor())

    for user in customers:
        post(user, 5)

    assert found() == set()
    assert expect(digest).findings == []


@pytest.mark.parametrize("tampering", [_CUT_OFF, _SEAL_ANEW], ids=["cut off", "sealed anew"])
def test_a_missing_end_that_passes_all_other_checks_is_found(customers, tampering):
    digest = digest_text(take_anchor())
    assert reconcile(Scope())[1] == []

    tamper_at(tampering, customers[1])

    assert reconcile(Scope())[1] == []  # a whole ledger, as far as its rows can say
    assert found() == {("anchored_entry_is_in_the_ledger", customers[1].pk)}
    checks = [finding.check for finding in expect(digest).findings]
    assert checks == ["digest_holds", "anchored_entry_is_in_the_ledger"]


def test_a_missing_end_is_found_after_new_entries(customers):
    take_anchor()
    tamper_at(_CUT_OFF, customers[0])
    post(customers[0], 99)

    assert found() == {("anchored_entry_is_in_the_ledger", customers[0].pk)}


def test_a_removed_customer_is_found(customers):
    digest = digest_text(take_anchor())

    tamper_at(_TAKE_AWAY, customers[2])

    (finding,) = check_anchor().findings
    assert (finding.user_id, finding.facts["last_seq"]) == (customers[2].pk, None)
    assert expect(digest).findings


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_anchorplace SET seq = seq - 1",
        "UPDATE ledger_anchorplace SET seal = sha256('x') WHERE user_id = {user}",
        "DELETE FROM ledger_anchorplace WHERE user_id = {user}",
        "UPDATE ledger_anchor SET customers = customers - 1",
        "UPDATE ledger_anchor SET digest = sha256('x')",
        "UPDATE ledger_anchor SET taken_at = taken_at - interval '1 day'",
        "UPDATE ledger_anchor SET signature = sha256('x')",
        "UPDATE ledger_anchor SET id = id + 1; UPDATE ledger_anchorplace SET anchor_id = anchor_id + 1",
    ],
)
def test_an_anchor_that_was_altered_is_found(customers, statement):
    take_anchor()

    for each in statement.split(";"):
        tamper_at(each, customers[0])

    assert ("anchor_is_as_signed", None) in found()
    assert not check_anchor().is_trusted


def test_a_ledger_and_its_place_altered_alike_are_found_by_the_signature_and_by_the_digest(customers):
    digest = digest_text(take_anchor())
    tamper_at(_CUT_OFF, customers[0])
    tamper_at(
        "UPDATE ledger_anchorplace p SET (seq, seal) = (b.seq, b.seal) FROM ledger_balance b"
        " WHERE p.user_id = {user} AND b.user_id = {user}",
        customers[0],
    )

    assert found() == {("anchor_is_as_signed", None)}
    assert [finding.check for finding in expect(digest).findings] == ["digest_holds"]


def test_an_anchor_that_is_gone_does_not_hold(customers):
    digest = digest_text(take_anchor())
    tamper("DELETE FROM ledger_anchorplace")
    tamper("DELETE FROM ledger_anchor")

    (finding,) = expect(digest).findings

    assert finding.check == "digest_holds"
    assert "is not there" in finding.detail


def test_a_wrong_key_does_not_count_and_a_rotated_one_does(customers, settings):
    settings.ANCHOR_KEYS = [OLD]
    take_anchor()

    settings.ANCHOR_KEYS = [NEW, OLD]
    assert found() == set()
    settings.ANCHOR_KEYS = [NEW]
    assert found() == {("anchor_key_is_known", None)}
    assert NEW not in check_anchor().findings[0].detail

    settings.ANCHOR_KEYS = [NEW, OLD]
    take_anchor()
    settings.ANCHOR_KEYS = [NEW]
    assert found() == set()


def test_a_key_under_the_name_of_another_does_not_sign(customers, settings):
    settings.ANCHOR_KEYS = [OLD]
    take_anchor()
    settings.ANCHOR_KEYS = [NEW]

    tamper(f"UPDATE ledger_anchor SET key_id = '{anchoring.key_id(NEW)}'")

    assert found() == {("anchor_is_as_signed", None)}


def test_no_anchor_is_taken_without_a_key(customers, settings):
    settings.ANCHOR_KEYS = []

    with pytest.raises(ImproperlyConfigured):
        take_anchor()

    ran = run("reconcile")
    assert ran.code == 0
    assert "ANCHOR_KEYS is not set" in ran.err
    assert Anchor.objects.count() == 0


def test_each_full_run_takes_an_anchor_and_a_partial_one_takes_none(customers):
    run("reconcile", "--user", customers[0].email)
    run("reconcile", "--since", "2026-01-01T00:00:00Z")
    assert Anchor.objects.count() == 0

    ran = run("reconcile", "--json")

    assert ran.code == 0
    assert ran.json["checked"]["anchored_customers"] == 3
    assert Anchor.objects.count() == 1


def test_a_missing_end_is_a_finding_of_every_run_while_others_are_anchored(customers):
    run("reconcile")
    tamper_at(_CUT_OFF, customers[0])
    post(customers[1], 1)

    first, second = run("reconcile", "--json"), run("reconcile", "--json")

    assert (first.code, second.code) == (3, 3)
    for ran in (first, second):
        assert [(each["check"], each["user_id"], each["seq"]) for each in ran.json["findings"]] == [
            ("anchored_entry_is_in_the_ledger", customers[0].pk, 3)
        ]
    newest = AnchorPlace.objects.filter(anchor=Anchor.objects.latest("id"))
    assert dict(newest.values_list("user_id", "seq")) == {user.pk: 3 + (n == 1) for n, user in enumerate(customers)}


def test_an_anchor_that_does_not_hold_is_not_followed_by_another_until_that_is_asked_for(customers):
    run("reconcile")
    tamper("UPDATE ledger_anchor SET signature = sha256('x')")

    ran = run("reconcile", "--json")
    assert ran.code == 3
    assert "--renew" in ran.err
    assert Anchor.objects.count() == 1

    assert run("anchor", "--renew").code == 3  # reported once more
    assert run("anchor").code == 0
    assert run("reconcile").code == 0


def test_only_the_newest_thirty_are_kept(customers):
    for _ in range(33):
        take_anchor()

    kept = list(Anchor.objects.order_by("id").values_list("id", flat=True))
    assert len(kept) == 30
    assert set(AnchorPlace.objects.values_list("anchor_id", flat=True)) == set(kept)
    assert found() == set()


@pytest.mark.parametrize("table", ["ledger_anchor", "ledger_anchorplace"])
@pytest.mark.parametrize("change", ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {}"])
def test_neither_the_application_nor_the_owners_mistakes_change_an_anchor(customers, table, change):
    take_anchor()
    column = "customers" if table == "ledger_anchor" else "seq"
    statement = change.format(table, column, column)

    with pytest.raises(DatabaseError, match="permission denied"), connection.cursor() as cursor:
        cursor.execute(statement)
    with owner_connection(autocommit=True) as owner, pytest.raises(Exception, match="is refused"):
        owner.execute(statement)

    assert found() == set()


def test_the_command_prints_a_digest_that_holds_until_a_ledger_loses_its_end(customers):
    printed = json.loads(run("anchor", "--json").out)
    post(customers[0], 7)
    held = run("anchor", "--expect", printed["digest"], "--json")
    tamper_at(_SEAL_ANEW, customers[1])
    broken = run("anchor", "--expect", printed["digest"], "--json")

    assert (printed["customers"], printed["findings"]) == (3, [])
    assert (held.code, held.json["holds"], held.json["anchor"]) == (0, True, printed["anchor"])
    assert (broken.code, broken.json["holds"]) == (3, False)
    assert {each["user_id"] for each in broken.json["findings"]} == {None, customers[1].pk}


def test_expecting_needs_no_key_and_writes_nothing(customers, settings):
    digest = digest_text(take_anchor())
    settings.ANCHOR_KEYS = []

    assert run("anchor", "--expect", digest).code == 0
    assert run("anchor").code == 1
    assert Anchor.objects.count() == 1


@pytest.mark.parametrize("text", ["", "12", "x:" + "0" * 64, "1:" + "0" * 63, "9" * 30 + ":" + "0" * 64])
def test_other_text_than_a_digest_is_wrong_usage(db, text):
    assert run("anchor", "--expect", text).code == 2


def test_a_digest_of_other_ledgers_does_not_hold(customers):
    anchor = take_anchor()

    assert [each.check for each in expect(f"{anchor.pk}:{'0' * 64}").findings] == ["digest_holds"]


def test_the_doctor_finds_that_production_has_no_key(settings):
    settings.ANCHOR_KEYS = []
    assert list(installation.anchors()) == []

    settings.IN_PRODUCTION = True
    assert [finding.check for finding in installation.anchors()] == ["anchors"]
    settings.ANCHOR_KEYS = [NEW]
    assert list(installation.anchors()) == []


def test_before_the_first_entry_there_is_nothing_to_miss(db):
    assert check_anchor().findings == []
    assert take_anchor().customers == 0
    assert run("reconcile").code == 0


def test_places_are_read_a_few_at_a_time(customers, monkeypatch):
    monkeypatch.setattr(anchoring, "AT_ONCE", 2)
    digest = digest_text(take_anchor())
    assert (found(), expect(digest).findings) == (set(), [])

    tamper_at(_CUT_OFF, customers[2])

    assert found() == {("anchored_entry_is_in_the_ledger", customers[2].pk)}


def test_memory_does_not_grow_with_the_customers(customers):
    anchor = take_anchor()
    with owner_connection(autocommit=True) as owner:
        owner.execute(
            "INSERT INTO ledger_anchorplace (anchor_id, user_id, seq, seal)"
            " SELECT %s, 1000000 + n, 1, sha256('x') FROM generate_series(1, 30000) n",
            [anchor.pk],
        )
    tracemalloc.start()

    checked = check_anchor()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(checked.findings) <= anchoring.FINDINGS_A_CHECK + 1
    assert not checked.is_trusted
    assert most < 12_000_000
