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

from . import watch

log = Logger()


class NotNow(Exception):
    """The database or the engine is away, or has too much to do. Try again later."""


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

    def __init__(self, reactor, store):
        self.reactor = reactor
        # Takes {room_id: {id: (text, ticket)}}. Returns a Deferred of what became of
        # each room: {id: message}, or an exception.
        self.store = store
        self.waiting = []
        self.busy = False
        self.resting = None  # a Deferred, for who waits until nothing is under way

    def rest(self):
        """Return a Deferred that fires when all is stored."""
        if not self.busy:
            return succeed(None)
        self.resting = self.resting or Deferred()
        return self.resting

    def write(self, room_id, text, id, ticket):
        """Return a Deferred of the message, once it is stored."""
        if len(self.waiting) >= self.most_waiting:
            return fail(NotNow())
        stored = Deferred()
        self.waiting.append((room_id, text, id, ticket, stored))
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
        for room_id, text, id, ticket, _ in written:
            batch.setdefault(room_id, {}).setdefault(id, (text, ticket))
        begun = monotonic()
        result = self.store(batch)
        result.addBoth(self.measure, begun)
        result.addCallbacks(self.committed, self.failed, [written], None, [written])
        result.addErrback(lambda failure: log.failure("A commit was not told", failure))
        result.addBoth(self.commit_soon)

    def measure(self, result, begun):
        watch.commits.observe(monotonic() - begun)
        return result

    def committed(self, answers, written):
        for room_id, _, id, _, stored in written:
            answer = answers[room_id]
            if isinstance(answer, Exception):
                stored.errback(answer)
            else:
                stored.callback(answer[id])

    def failed(self, failure, written):
        # What waits behind it is refused with it, or else somebody's second message
        # might be stored before the first.
        written += self.waiting
        self.waiting = []
        for *_, stored in written:
            stored.errback(failure)
