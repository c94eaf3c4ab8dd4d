"""Rounds over customers: a failed turn does not stop the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from django.db import Error, connection, transaction

from config.cli.sentences import is_unexpected, sentence_of
from config.db.prepared import is_connection_lost

MOST_LOST = 3
"""Connections lost in a row by which a round takes the database to be away, and ends."""
_NAMED = 20

logger = logging.getLogger("tollbook.rounds")


class Round:
    """A round over customers or their rows: each has its own turn, whose failure ends only that turn.

    A failure of the database or of our code is reported at once by `say` and counted, and the round continues. Only a
    database that is away ends the round, since every turn would fail. `failed` holds the customers that failed, so that
    later turns of the same customer can be left out.
    """

    def __init__(
        self, of: str = "customer", *, say: Callable[[str], None] = logger.error, in_transaction: bool = False
    ) -> None:
        self.of = of
        self._in_transaction = in_transaction  # the caller's transaction, which is rolled back: a dry run
        self.failed: dict[object, Exception] = {}
        self._say = say
        self._lost = 0

    @contextmanager
    def turn(self, name: object) -> Iterator[None]:
        """Run the block as the turn of one customer; an exception ends the block and not the round.

        What the block wrote in its own transaction is rolled back; with `in_transaction` the turn is a savepoint in the
        caller's transaction.

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
        """Return a sentence for the end of the round that names the customers that failed; None if none did."""
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
            connection.close()  # the next turn reconnects
        self.failed[name] = error
        sentence = f"{self.of.capitalize()} {name}: {sentence_of(error)}"
        if is_unexpected(error):
            logger.error(sentence, exc_info=error)
        self._say(sentence)
