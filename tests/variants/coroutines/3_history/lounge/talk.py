"""What was said, and where. Nothing here knows of the web."""

from collections import deque
from uuid import uuid4

from twisted.internet.defer import Deferred

import passes

LIMIT = 4096  # characters in a text
LONGEST_ID = 64  # characters
KEPT = 200  # messages


class House:
    """The rooms in which something is said."""

    def __init__(self):
        self.talks = {}

    def enter(self, token):
        """Return the Talk of a token's room. Raises NoPass or Expired."""
        room = passes.read(token)
        return self.talks.setdefault(room, Talk())


class Talk:
    """What was said in a room, who hears it at once, and who waits for it.

    A cursor is a pair of an epoch and a number, or None for somebody who is new. All of
    it belongs to the reactor's thread. Others come by `reactor.callFromThread`.
    """

    def __init__(self):
        self.epoch = uuid4().hex
        self.count = 0
        self.kept = deque()
        self.ids = {}  # of those that are kept
        self.visitors = {}
        self.sleepers = []

    def say(self, name, text):
        """Keep a text, unless it is kept already, and tell all. Returns the message."""
        if name in self.ids:
            return self.ids[name]
        self.count += 1
        message = {"text": text, "id": name, "seq": self.count}
        self.kept.append(message)
        self.ids[name] = message
        if len(self.kept) > KEPT:
            del self.ids[self.kept.popleft()["id"]]
        for visitor in list(self.visitors.values()):
            visitor.tell(self.batch([message]))
        sleepers, self.sleepers = self.sleepers, []
        for sleeper in sleepers:
            sleeper.callback(None)
        return message

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
        gone = self.count - len(self.kept)
        if cursor is None:
            return self.batch(list(self.kept))
        epoch, seq = cursor
        if epoch != self.epoch or not gone <= seq <= self.count:
            return self.batch(list(self.kept), reset=True)
        return self.batch([one for one in self.kept if one["seq"] > seq])

    async def news(self, cursor):
        """Wait for a batch that says something."""
        while True:
            batch = self.since(cursor)
            if batch["data"] or batch["reset"] or cursor is None:
                return batch
            sleeper = Deferred(self.sleepers.remove)
            self.sleepers.append(sleeper)
            await sleeper
