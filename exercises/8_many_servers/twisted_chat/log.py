"""Where messages are kept, and where they get their order: an interface, told twice.

Both logs can do the same, and a room does not know which of them it has:

- `load(room_id, most)`: the epoch of a room, its last number, and its newest messages.
- `append(room_id, text, id, ticket)`: store a message, once, and return it.
- `wait(room_id, cursor)`: what comes after a cursor, as soon as there is something.
- `head(room_id)`: the epoch of a room and its last number.

Each returns a Deferred, which may fail with NotNow or NoSuchRoom. `known(room_id)` is
what this server knows of the head of a room that it has loaded, and `forget(room_id)`
is for one in which nobody is. `rest()` waits until all that is under way is stored.

This log is Django's database, and the one server that writes there. The other one is in
streams.py.
"""

from dataclasses import dataclass

from twisted.internet.defer import Deferred, succeed

from . import storage
from .database import NoSuchRoom, Writer
from .messages import MessageStore


@dataclass(frozen=True)
class News:
    """What comes after a cursor. `whole` says that nothing between is missing."""

    epoch: str
    messages: list
    whole: bool = True


class DatabaseLog:
    """One server, one database: the log of exercise 4."""

    def __init__(self, reactor, database):
        self.database = database
        self.writer = Writer(reactor, self.store)
        self.rest = self.writer.rest
        self.waiting = {}  # by room, a Deferred for who waits there
        self.heads = {}  # by room, the cursor of the newest message

    def load(self, room_id, most=MessageStore.most):
        found = self.database.run(storage.load, room_id, most)
        return found.addCallback(self.loaded, room_id)

    def loaded(self, found, room_id):
        if found is None:
            raise NoSuchRoom
        epoch, seq, messages = found
        self.heads[room_id] = epoch, seq
        return epoch, seq, messages

    def head(self, room_id):
        if room_id in self.heads:
            return succeed(self.heads[room_id])
        return self.load(room_id, 0).addCallback(lambda found: found[:2])

    def known(self, room_id):
        return self.heads[room_id]

    def append(self, room_id, text, id, ticket):
        return self.writer.write(room_id, text, id, ticket)

    def store(self, batch):
        """Store what was said in some rooms: {room_id: {id: (text, ticket)}}."""
        from_where = {
            room_id: (self.heads.get(room_id, (None, 0))[1], said)
            for room_id, said in batch.items()
        }
        stored = self.database.run(storage.store, from_where)
        return stored.addCallback(self.stored, batch)

    def stored(self, found, batch):
        answers = {}
        for room_id in batch:
            if room_id not in found:
                answers[room_id] = NoSuchRoom()
                continue
            news, by_id = found[room_id]
            answers[room_id] = by_id
            epoch, _ = self.heads.get(room_id, (None, 0))
            if news and epoch is not None:
                self.heads[room_id] = epoch, news[-1].seq
                self.tell(room_id, News(epoch, news))
        return answers

    def tell(self, room_id, news):
        if room_id in self.waiting:
            self.waiting.pop(room_id).callback(news)

    def wait(self, room_id, cursor):
        if self.heads.get(room_id) not in (None, cursor):
            found = self.database.run(storage.load, room_id, MessageStore.most)
            return found.addCallback(self.loaded, room_id).addCallback(
                self.after, cursor, room_id
            )
        news = Deferred(lambda _: self.waiting.pop(room_id, None))
        self.waiting[room_id] = news
        return news

    def after(self, found, cursor, room_id):
        epoch, _, messages = found
        missed = MessageStore(*found).after(cursor)
        if missed == []:
            return self.wait(room_id, cursor)
        if missed is None:
            return News(epoch, messages, whole=False)
        return News(epoch, missed)

    def forget(self, room_id):
        self.heads.pop(room_id, None)
