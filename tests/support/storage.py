"""A database without a database: it answers at once, or when a test lets it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace

from twisted.internet.defer import Deferred, execute

SAID_AT = "2026-11-28T19:00:00.123Z"  # whenever it was


@dataclass
class Row:
    """A room as it is stored."""

    epoch: str
    messages: list = field(default_factory=list)
    last_seq: int = 0


class Database:
    """Does what a stage's `Database` and its `storage` do, in memory.

    While it is not `prompt`, what it is asked waits in `asked` until `answer` is
    called. While it `is_away`, it fails. Rooms in `deleted`, a set of ids, are gone.
    """

    def __init__(self, classes: SimpleNamespace):
        self.classes = classes
        self.rooms: dict[int, Row] = {}
        self.deleted: set[int] = set()
        self.prompt, self.is_away = True, False
        self.asked: list[tuple[Deferred, Callable, tuple]] = []
        self.calls: list[str] = []

    def run(self, function: Callable, *args) -> Deferred:
        """What the stage calls. Functions are known by their names."""
        self.calls.append(function.__name__)
        own = {"load": self._load, "store": self._store}[function.__name__]
        if self.prompt:
            return execute(self._do, own, args)
        self.asked.append((Deferred(), own, args))
        return self.asked[-1][0]

    def answer(self) -> None:
        """Do what was asked first."""
        asked, own, args = self.asked.pop(0)
        execute(self._do, own, args).chainDeferred(asked)

    def _do(self, own: Callable, args: tuple):
        if self.is_away:
            raise self.classes.NotNow
        return own(*args)

    def message(self, seq: int, id: str, text: str | tuple):
        """A message as it is stored; from `6_names` on a text has a ticket with it."""
        if not hasattr(self.classes, "Presence"):
            return self.classes.Message(seq, id, text)
        author = None  # of what was said before there were any
        if isinstance(text, tuple):
            text, ticket = text
            author = {"id": ticket.user, "name": ticket.name}
        return self.classes.Message(seq, id, text, author, SAID_AT)

    def _row(self, room_id: int) -> Row | None:
        if room_id in self.deleted:
            return None
        return self.rooms.setdefault(room_id, Row(f"epoch{room_id}"))

    def _load(self, room_id: int, most: int):
        row = self._row(room_id)
        return row and (row.epoch, row.last_seq, row.messages[-most:])

    def _store(self, batch: dict) -> dict:
        stored = {}
        for room_id, (seq, said) in batch.items():
            if row := self._row(room_id):
                stored[room_id] = self._store_in(row, seq, said)
        return stored

    def _store_in(self, row: Row, seq: int, said: dict) -> tuple[list, dict]:
        known = {message.id for message in row.messages}
        for id, text in said.items():
            if id not in known:
                row.last_seq += 1
                row.messages.append(self.message(row.last_seq, id, text))
        news = [message for message in row.messages if message.seq > seq]
        return news, {m.id: m for m in row.messages if m.id in said}
