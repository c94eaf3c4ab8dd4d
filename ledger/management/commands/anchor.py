"""`manage.py anchor`: print a digest of all ledgers, to be stored where those who can change the ledgers cannot."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from config.cli.command import EXIT_USAGE, OperatorCommand, Result, prints_result
from ledger.services.reconciliation.anchoring import Checked, check_anchor, digest_text, expect, take_anchor


class Command(OperatorCommand):
    help = (
        "Note where every ledger ends, signed by the first of ANCHOR_KEYS, and print one digest over all of them: "
        "store it outside. With --expect, hold the ledgers as they are now against such a digest: they may have grown. "
        "Exit 3 when a ledger's end is gone or was sealed anew, or an anchor is not what was signed. The newest thirty "
        "anchors are kept."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--expect", metavar="DIGEST", help="what an earlier run printed; nothing is written")
        parser.add_argument(
            "--renew", action="store_true", help="take an anchor even though the one before does not hold"
        )

    @prints_result
    def handle(self, *args: Any, **options: Any) -> Result:
        if options["expect"] is not None:
            if options["renew"]:
                raise CommandError("--expect writes nothing: it goes without --renew.", returncode=EXIT_USAGE)
            return _expected(options["expect"])
        if not settings.ANCHOR_KEYS:
            raise CommandError("ANCHOR_KEYS is not set: there is no key to sign an anchor with.")
        before = check_anchor()
        if not (before.is_trusted or options["renew"]):
            return _result(before, text="No anchor was taken: the one before does not hold, and --renew was not given.")
        anchor = take_anchor(kept=[] if options["renew"] else before.kept)
        digest = digest_text(anchor)
        found = Checked(anchor, before.findings)
        return _result(found, text=f"{digest}\n{anchor.customers} customers.", digest=digest)


def _expected(text: str) -> Result:
    try:
        checked = expect(text)
    except ValueError as error:
        raise CommandError(str(error), returncode=EXIT_USAGE) from None
    holds = not checked.findings
    return _result(checked, text="It holds." if holds else "It does not hold.", holds=holds)


def _result(checked: Checked, *, text: str, **more: Any) -> Result:
    anchor = checked.anchor
    data = {
        **more,
        "anchor": None if anchor is None else anchor.pk,
        "taken_at": None if anchor is None else anchor.taken_at,
        "customers": None if anchor is None else anchor.customers,
        "findings": [finding.as_dict() for finding in checked.findings],
    }
    lines = [f"{finding.check} · user {finding.user_id}: {finding.detail}" for finding in checked.findings]
    return Result(data, text="\n".join([*lines, text]), findings=len(checked.findings))
