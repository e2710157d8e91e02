"""Who is there, and what was said."""

from itertools import islice

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from store import Deleted, load

KEPT = 200  # messages of a room
LONGEST_ID = 64  # characters


class Rooms:
    """The rooms in which somebody is, or was a moment ago."""

    def __init__(self, store):
        self.store = store
        self.open = {}  # number -> Room
        self.quiet = set()  # of the last time that somebody looked

    def enter(self, number):
        """Return a Deferred of the Room. It fails with Deleted or Unavailable."""
        self.quiet.discard(number)
        room = self.open.get(number)
        if not room or room.gone:
            room = self.open[number] = Room(number, self.store)
            done = self.store.run(load, number, KEPT)
            done.addCallback(room.load)
            done.addBoth(self.opened, room)
        if not room.epoch:
            room.opening.append(Deferred())
            return room.opening[-1]
        return succeed(room)

    def opened(self, result, room):
        """A room was loaded, or could not be."""
        if isinstance(result, Failure):
            self.open.pop(room.number)
        opening, room.opening = room.opening, []
        for entering in opening:
            if isinstance(result, Failure):
                entering.errback(result.value)
            else:
                entering.callback(room)

    def tidy(self):
        """Forget the rooms that are quiet for the second time."""
        quiet = {number for number, room in self.open.items() if room.is_quiet()}
        for number in quiet & self.quiet:
            del self.open[number]
        self.quiet = quiet


class Room:
    def __init__(self, number, store):
        self.number, self.store = number, store
        self.members = set()  # sockets
        self.waiting = {}  # a function to call with what is new -> cursor
        self.opening = []
        self.saying = 0
        self.gone = False
        self.epoch = None
        self.newest = 0
        self.messages = {}  # id -> message, the oldest first

    def is_quiet(self):
        return not (self.members or self.waiting or self.opening or self.saying)

    def load(self, found):
        if not found:
            raise Deleted
        self.epoch, self.newest, messages = found
        self.messages = {one["id"]: one for one in messages}

    def say(self, id, text):
        """Return a Deferred of the message that is stored under `id`.

        It fails with Deleted or Unavailable.
        """
        if id in self.messages:
            return succeed(self.messages[id])
        self.saying += 1
        return self.store.add(self, id, text).addBoth(self.said)

    def said(self, result):
        self.saying -= 1
        return result

    def take(self, stored):
        """Tell all who are there what is stored now."""
        if stored is None:
            self.gone = True
            for member in [*self.members]:
                member.show_out()
            waiting, self.waiting = self.waiting, {}
            for answer in waiting:
                answer(None)
            return
        news = [one for one in stored.values() if one["seq"] > self.newest]
        if not news:
            return
        for message in news:
            self.messages[message["id"]] = message
            if len(self.messages) > KEPT:
                del self.messages[next(iter(self.messages))]
        self.newest = news[-1]["seq"]
        for member in [*self.members]:
            member.hear(self.batch(news))
        waiting, self.waiting = self.waiting, {}
        for answer, cursor in waiting.items():
            answer(self.after(*cursor))

    def batch(self, messages, reset=False):
        seq = messages[-1]["seq"] if messages else self.newest
        return {
            "reset": reset,
            "data": messages,
            "seq": seq,
            "epoch": self.epoch,
            "status": 1,
        }

    def everything(self, reset=False):
        return self.batch([*self.messages.values()], reset)

    def after(self, epoch, seq):
        """What a client missed that has heard everything up to `seq`."""
        missed = self.newest - seq
        if epoch != self.epoch or not 0 <= missed <= len(self.messages):
            return self.everything(reset=True)
        return self.batch([*islice(reversed(self.messages.values()), missed)][::-1])
