"""Rounds over customers: one whose turn fails keeps nobody else waiting."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from django.db import Error, connection, transaction

from config.cli.sentences import is_accident, sentence_of
from config.db.prepared import is_connection_lost

MOST_LOST = 3
"""Connections lost in a row by which a round takes the database to be away, and ends."""
_NAMED = 20

logger = logging.getLogger("tollbook.rounds")


class Round:
    """A round over customers, or over things of theirs: each has a turn of its own, whose failure ends with it.

    A failure is told at once by `say`, counted, and the round goes on: whatever the database or our own code raised.
    Only a database that is away ends the round, since nobody else would fare better. Who has failed is in `failed`,
    so that later turns of the same customer can be left out.
    """

    def __init__(
        self, of: str = "customer", *, say: Callable[[str], None] = logger.error, in_transaction: bool = False
    ) -> None:
        self.of = of
        self._in_transaction = in_transaction  # of the caller, who will take all of it back: a rehearsal
        self.failed: dict[object, Exception] = {}
        self._say = say
        self._lost = 0

    @contextmanager
    def turn(self, name: object) -> Iterator[None]:
        """Run the block as the turn of one customer; what it raises ends the block, and no more.

        Whatever the block wrote in a transaction of its own is rolled back; `in_transaction` of the caller's, the turn
        is a savepoint.

        :raises django.db.Error: if the database is away: the connection is lost, for the third time in a row
        """
        try:
            with transaction.atomic() if self._in_transaction else nullcontext():
                yield
        except Exception as error:  # noqa: BLE001  the top of a loop: each turn stands for itself
            self._note(name, error)
        else:
            self._lost = 0

    @property
    def failure(self) -> str | None:
        """One sentence for the end of the round that names who failed; None: nobody."""
        if not self.failed:
            return None
        names = ", ".join(str(name) for name in list(self.failed)[:_NAMED])
        more = f" and {len(self.failed) - _NAMED} more" if len(self.failed) > _NAMED else ""
        return f"{len(self.failed)} {self.of}{'s' * (len(self.failed) > 1)} could not be served: {names}{more}."

    def _note(self, name: object, error: Exception) -> None:
        is_lost = isinstance(error, Error) and is_connection_lost(error)
        self._lost = self._lost + 1 if is_lost else 0
        if is_lost and (self._in_transaction or self._lost == MOST_LOST):
            raise error
        if is_lost:
            connection.close()  # the next turn connects anew
        self.failed[name] = error
        sentence = f"{self.of.capitalize()} {name}: {sentence_of(error)}"
        if is_accident(error):
            logger.error(sentence, exc_info=error)
        self._say(sentence)
