"""Moves what is in the streams into Django's database."""

from twisted.application.service import Service
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    inlineCallbacks,
    succeed,
)
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from . import scripts, storage, watch
from .database import NotNow
from .messages import MessageStore
from .streams import TO_MOVE, cursor_of, key, messages_of

log = Logger()

LEASE = "chat:archiver"  # Who holds it is the archiver, of all servers the only one.


class Archiver(Service):
    """Of all servers, one does this at a time. If it dies, another one takes over.

    How far it has come is not noted in the engine, but in the database, in the same
    transaction as the messages. So each is there exactly once, whoever moves it, and
    however often somebody dies between two steps.
    """

    every = 0.5  # seconds
    lease_seconds = 5
    at_once = 500  # messages of one room

    def __init__(self, reactor, engine, database):
        self.engine = engine
        self.database = database
        self.looking = LoopingCall(self.look)
        self.looking.clock = reactor
        self.under_way = succeed(None)
        self.last_run = None

    def startService(self):
        super().startService()
        self.looking.start(self.every)

    def stopService(self):
        super().stopService()
        self.looking.stop()
        done = Deferred()
        self.under_way.addBoth(lambda _: done.callback(None))
        # There may be no other server that would do it.
        done.addCallback(lambda _: self.look())
        return done.addCallback(self.give_up)

    def give_up(self, _):
        given = self.engine.script(scripts.RELEASE, [LEASE], self.engine.server)
        return given.addErrback(lambda failure: failure.trap(NotNow) and None)

    def look(self):
        self.under_way = self.move_all()
        self.under_way.addErrback(self.explain)
        return self.under_way

    def explain(self, failure):
        self.last_run = None  # What was under way is to be done again.
        if failure.check(CancelledError):
            return failure  # The server stops, and time is up.
        if not failure.check(NotNow):
            log.failure("Messages were not moved to the database", failure)
        return None

    @inlineCallbacks
    def move_all(self):
        has_it = yield self.lease()
        if not has_it:
            watch.to_move.set(0)  # Somebody else counts them.
            return
        rooms = {int(room) for room in (yield self.engine.call("SMEMBERS", TO_MOVE))}
        if has_it == 1 or self.last_run != self.engine.run:
            # Whoever did this before may have died in between.
            rooms.update((yield self.database.run(storage.all_rooms)))
            self.last_run = self.engine.run
        for done, room_id in enumerate(rooms):
            watch.to_move.set(len(rooms) - done)
            # First: what is said from now on, is noted anew.
            yield self.engine.call("SREM", TO_MOVE, room_id)
            yield self.move(room_id)
            if not (yield self.lease()):
                return
        watch.to_move.set(0)

    def lease(self):
        return self.engine.script(
            scripts.LEASE, [LEASE], self.engine.server, 1000 * self.lease_seconds
        )

    @inlineCallbacks
    def move(self, room_id):
        """Move what was said in a room, and take from the stream what is old."""
        stream, after = key(room_id, "log"), "-"
        while True:
            entries = yield self.engine.call(
                "XRANGE", stream, after, "+", "COUNT", self.at_once
            )
            if not entries:
                return
            found = messages_of(entries)
            moved = yield self.database.run(storage.archive, room_id, found)
            if moved is None:
                yield self.clear(room_id)
                return
            watch.moved.inc(moved)
            last = entries[-1][0]
            after = f"({last}"
            epoch, seq = cursor_of(last)
            # All of these are in the database. The newest stay, for who comes back.
            if seq > MessageStore.most:
                oldest = f"{epoch}-{seq - MessageStore.most}"
                yield self.engine.call("XTRIM", stream, "MINID", oldest)

    def clear(self, room_id):
        """The room was deleted: whoever speaks there is told so from now on."""
        names = ("room", "log", "here", "until", "who")
        return self.engine.call("DEL", *(key(room_id, name) for name in names))
