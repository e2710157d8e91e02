"""The work with the database. All of it may wait, and none in the reactor's thread."""

from collections import defaultdict

from django.db import connection, transaction
from twisted.application.service import Service
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool

import ready  # noqa: F401
from chat.models import ChatRoom, Message

log = Logger()


class Unavailable(Exception):
    """The database does not do it now."""


class Deleted(Exception):
    """There is no such room any more."""


class Store(Service):
    """Does one thing after the other, in a thread of its own."""

    def __init__(self):
        self.pool = ThreadPool(1, 1, "database")
        self.said = []  # and not yet on its way
        self.busy = False

    def startService(self):
        super().startService()
        self.pool.start()

    def stopService(self):
        super().stopService()
        return deferToThreadPool(reactor, reactor.getThreadPool(), self.pool.stop)

    def run(self, work, *args):
        """Return a Deferred of what `work` returns. It may fail with Unavailable."""
        done = deferToThreadPool(reactor, self.pool, self.careful, work, *args)
        return done.addErrback(self.explain)

    def careful(self, work, *args):
        try:
            return work(*args)
        except Exception:
            connection.close()  # There will be a new one.
            raise

    def explain(self, failure):
        failure.trap(Exception)
        log.warn("The database: {error}", error=failure.getErrorMessage())
        raise Unavailable

    def add(self, room, key, text):
        """Return a Deferred of the message, when it is stored and the room was told."""
        done = Deferred()
        self.said.append((room, key, text, done))
        if not self.busy:
            self.write()
        return done

    def write(self):
        """Store all that was said, at once; then what was said meanwhile."""
        said, self.said = self.said, []
        self.busy = bool(said)
        if said:
            rooms = defaultdict(list)
            for room, key, text, _ in said:
                rooms[room].append((key, text))
            work = [(room.number, room.newest, new) for room, new in rooms.items()]
            done = self.run(store, work)
            done.addCallbacks(self.stored, self.failed, [said], None, [said])
            done.addErrback(lambda failure: log.failure("After storing", failure))
            done.addBoth(lambda _: self.write())

    def stored(self, found, said):
        for room in dict.fromkeys(room for room, *_ in said):
            room.take(found[room.number])
        for room, key, _, done in said:
            if found[room.number] is None:
                done.errback(Deleted())
            else:
                done.callback(found[room.number][key])

    def failed(self, failure, said):
        for *_, done in said:
            done.errback(failure.value)


def load(number, count):
    """Return epoch, newest number and the last `count` messages, or None."""
    with transaction.atomic():
        room = ChatRoom.objects.filter(pk=number).first()
        if not room:
            return None
        last = Message.objects.filter(room=room).order_by("-seq")[:count]
        return room.epoch, room.newest, [one.as_dict() for one in last][::-1]


@transaction.atomic
def store(work):
    """Store messages: a list of (room's number, newest that is known, [(id, text)]).

    Returns {number: {id: message}}, for each room with all that is newer than known, in
    its order, and what was said again. It is None for a room that was deleted.
    """
    found = {}
    for number, known, new in sorted(work):
        room = ChatRoom.objects.select_for_update().filter(pk=number).first()
        if not room:
            found[number] = None
            continue
        keys = [key for key, _ in new]
        have = set(room.message_set.filter(key__in=keys).values_list("key", flat=True))
        for key, text in new:
            if key not in have:
                have.add(key)
                room.newest += 1
                room.message_set.create(seq=room.newest, key=key, text=text)
        room.save(update_fields=["newest"])
        told = room.message_set.filter(seq__gt=known) | room.message_set.filter(
            key__in=keys
        )
        found[number] = {one.key: one.as_dict() for one in told}
    return found
