"""What was said, and where. Nothing here knows of the web."""

from collections import deque

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.logger import Logger

from lounge import database

LIMIT = 4096  # characters in a text
LONGEST_ID = 64  # characters
KEPT = 200  # messages

log = Logger()


class Gone(Exception):
    """The room was deleted."""


class NotNow(Exception):
    """There is no database just now."""


class House:
    """The rooms in which something is said."""

    def __init__(self):
        self.talks = {}
        self.pen = Pen()

    async def enter(self, room):
        """Return the Talk of a room, when it is loaded. Raises Gone or NotNow."""
        talk = self.talks.get(room)
        if talk is None:
            talk = self.talks[room] = Talk(room, self.pen)
            Deferred.fromCoroutine(self.load(talk)).addErrback(
                lambda failure: log.failure("loading a room", failure)
            )
        talk.used = True
        await talk.ready()
        return talk

    async def load(self, talk):
        try:
            found = await deferToThread(database.load, talk.room, KEPT)
        except Exception as error:
            log.warn("no room {room}: {error!r}", room=talk.room, error=error)
            why = NotNow()
        else:
            why = None if found else Gone()
        if why:
            del self.talks[talk.room]
        else:
            talk.fill(*found)
        wake(talk.arriving, why)

    def sweep(self):
        """Forget the rooms in which nobody was since the last time."""
        for talk in list(self.talks.values()):
            if not (talk.used or talk.busy()):
                del self.talks[talk.room]
            talk.used = False


class Pen:
    """Stores what is said: one batch after the other, each in one transaction."""

    def __init__(self):
        self.paper = []  # what comes while a batch is being stored
        self.writing = False

    def note(self, talk, name, text):
        """Return a Deferred of the message. Fails with Gone or NotNow."""
        done = Deferred()
        self.paper.append((talk, name, text, done))
        if not self.writing:
            self.writing = True
            Deferred.fromCoroutine(self.write()).addErrback(
                lambda failure: log.failure("writing", failure)
            )
        return done

    async def write(self):
        while self.paper:
            batch, self.paper = self.paper, []
            known = {talk.room: talk.count for talk, *_ in batch}
            said = [(talk.room, name, text) for talk, name, text, _ in batch]
            try:
                stored = await deferToThread(database.store, known, said)
            except Exception as error:
                log.warn("not stored: {error!r}", error=error)
                stored = None
            talks = {talk.room: talk for talk, *_ in batch}
            for room, talk in talks.items():
                if stored and stored[room]:
                    talk.tell(stored[room][0])
                elif stored:
                    talk.end()
            for talk, name, _, done in batch:
                if not stored:
                    done.errback(NotNow())
                elif not stored[talk.room]:
                    done.errback(Gone())
                else:
                    done.callback(stored[talk.room][1][name])
        self.writing = False


def sleep_on(sleepers):
    """Return a Deferred, on a list until it is woken or cancelled."""
    sleeper = Deferred(lambda it: it in sleepers and sleepers.remove(it))
    sleepers.append(sleeper)
    return sleeper


def wake(sleepers, error=None):
    """Wake all who sleep on a list, and leave it empty."""
    woken = sleepers[:]
    sleepers.clear()
    for sleeper in woken:
        if error:
            sleeper.errback(error)
        else:
            sleeper.callback(None)


class Talk:
    """What was said in a room, who hears it at once, and who waits for it.

    A cursor is a pair of an epoch and a number, or None for somebody who is new. All of
    it belongs to the reactor's thread. Others come by `reactor.callFromThread`.
    """

    def __init__(self, room, pen):
        self.room = room
        self.pen = pen
        self.epoch = None  # until it is loaded
        self.count = 0
        self.kept = deque()
        self.ids = {}  # of those that are kept
        self.visitors = {}
        self.sleepers = []
        self.arriving = []
        self.writing = 0
        self.gone = False

    def fill(self, epoch, count, messages):
        self.epoch, self.count = epoch, count
        self.kept.extend(messages)
        self.ids = {message["id"]: message for message in messages}

    async def ready(self):
        if self.epoch is None:
            await sleep_on(self.arriving)

    def busy(self):
        return self.visitors or self.sleepers or self.arriving or self.writing

    async def say(self, name, text):
        """Store a text, unless it is stored already. Returns the message.

        Raises Gone or NotNow. All hear of it before it returns.
        """
        if name in self.ids:
            return self.ids[name]
        self.writing += 1
        try:
            return await self.pen.note(self, name, text)
        finally:
            self.writing -= 1

    def tell(self, messages):
        """Let everybody hear what is stored by now."""
        if not messages:
            return
        for message in messages:
            self.kept.append(message)
            self.ids[message["id"]] = message
            if len(self.kept) > KEPT:
                del self.ids[self.kept.popleft()["id"]]
        self.count = messages[-1]["seq"]
        for visitor in list(self.visitors.values()):
            visitor.tell(self.batch(messages))
        wake(self.sleepers)

    def end(self):
        """The room was deleted: all have to go."""
        self.gone = True
        for visitor in list(self.visitors.values()):
            visitor.dismiss(4404)
        wake(self.sleepers, Gone())

    def batch(self, messages, reset=False):
        return {
            "data": messages,
            "epoch": self.epoch,
            "seq": messages[-1]["seq"] if messages else self.count,
            "reset": reset,
            "status": 1,
        }

    def since(self, cursor):
        """Return a batch of all that came after a cursor."""
        if cursor is None:
            return self.batch(list(self.kept))
        epoch, seq = cursor
        gone = self.kept[0]["seq"] - 1 if self.kept else self.count
        if epoch != self.epoch or not gone <= seq <= self.count:
            return self.batch(list(self.kept), reset=True)
        return self.batch([one for one in self.kept if one["seq"] > seq])

    async def news(self, cursor):
        """Wait for a batch that says something."""
        while True:
            batch = self.since(cursor)
            if batch["data"] or batch["reset"] or cursor is None:
                return batch
            await sleep_on(self.sleepers)
