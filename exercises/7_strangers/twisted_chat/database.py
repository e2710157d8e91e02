"""The one thread that may wait for the database, and what is written by it."""

from contextlib import suppress
from pathlib import Path
from time import monotonic

from django.db import Error, connection, connections
from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool

from . import storage, watch

log = Logger()


class NotNow(Exception):
    """The database is away, or has too much to do. Try again later."""


class NoSuchRoom(Exception):
    """There was a room once, and it was deleted."""


class Database(Service):
    """Calls functions that block, one after the other, in a thread of their own.

    So their results come in the order of the calls: whoever loads a room gets what was
    stored before, and is told what is stored afterwards.
    """

    def __init__(self, reactor):
        self.reactor = reactor
        self.threads = ThreadPool(1, 1, "database")

    def startService(self):
        super().startService()
        self.threads.start()

    def stopService(self):
        # That comes after all calls that are under way, and is the last.
        closed = self.run(connections.close_all)
        super().stopService()
        return closed.addBoth(lambda _: self.threads.stop())

    def run(self, function, *args):
        """Return a Deferred of what `function` returns, or of NotNow."""
        if not self.running:
            return fail(NotNow())
        return deferToThreadPool(self.reactor, self.threads, _run, function, args)


def _run(function, args):
    try:
        _notice_another_file()
        return function(*args)
    except Exception as error:
        if isinstance(error, Error):
            log.warn("The database is away: {why}", why=str(error).strip())
        else:
            log.failure("Something is wrong with what we asked the database")
        # It may be broken. The next call opens another one.
        with suppress(Error):
            connection.close()
        raise NotNow() from error


def _notice_another_file():
    # Who deletes the file of SQLite does not delete what we have open. We would write
    # into a file that has no name any more, and be content.
    try:
        file = Path(connection.settings_dict["NAME"]).stat().st_ino
    except OSError:
        file = None
    if getattr(connection, "file", file) != file:
        connection.close()
    connection.file = file


class Writer:
    """Stores messages. What comes while others are being stored, goes together."""

    most_waiting = 1000  # messages

    def __init__(self, reactor, database):
        self.reactor = reactor
        self.database = database
        self.waiting = []
        self.busy = False
        self.resting = None  # a Deferred, for who waits until nothing is under way

    def rest(self):
        """Return a Deferred that fires when all is stored."""
        if not self.busy:
            return succeed(None)
        self.resting = self.resting or Deferred()
        return self.resting

    def write(self, room, text, id, ticket):
        """Return a Deferred of the message, once it is stored and its room has it."""
        if len(self.waiting) >= self.most_waiting:
            return fail(NotNow())
        stored = Deferred()
        room.speaking += 1
        self.waiting.append((room, text, id, ticket, stored))
        if not self.busy:
            self.commit_soon()
        return stored

    def commit_soon(self, _=None):
        self.busy = bool(self.waiting)
        if self.busy:
            # At once, but after what else has just been read, and when the last ones
            # are told: what comes together is stored together.
            self.reactor.callLater(0, self.commit)
        elif self.resting:
            resting, self.resting = self.resting, None
            resting.callback(None)

    def commit(self):
        written, self.waiting = self.waiting, []
        batch = {}
        for room, text, id, ticket, _ in written:
            _, said = batch.setdefault(room.id, (room.messages.seq, {}))
            said.setdefault(id, (text, ticket))
        begun = monotonic()
        result = self.database.run(storage.store, batch)
        result.addBoth(self.measure, begun)
        result.addCallbacks(self.committed, self.failed, [written], None, [written])
        result.addErrback(lambda failure: log.failure("A commit was not told", failure))
        result.addBoth(self.commit_soon)

    def measure(self, result, begun):
        watch.commits.observe(monotonic() - begun)
        return result

    def committed(self, batch, written):
        rooms = {room.id: room for room, *_ in written}
        for room_id, (news, _) in batch.items():
            rooms[room_id].take(news)
            watch.messages.inc(len(news))
        for room, _, id, _, stored in written:
            room.speaking -= 1
            if room.id in batch:
                stored.callback(batch[room.id][1][id])
            else:
                stored.errback(NoSuchRoom())

    def failed(self, failure, written):
        # What waits behind it is refused with it, or else somebody's second message
        # might be stored before the first.
        written += self.waiting
        self.waiting = []
        for room, *_, stored in written:
            room.speaking -= 1
            stored.errback(failure)
