"""What was said. Nothing here knows of the web."""

import time
from itertools import islice

from twisted.internet.defer import Deferred

LIMIT = 4096  # characters in a text


class Talk:
    """What was said, who hears it at once, and who waits for it.

    It belongs to the reactor's thread. Others come by `reactor.callFromThread`.
    """

    def __init__(self):
        self.began = time.time()
        self.said = []
        self.visitors = {}
        self.sleepers = []

    def say(self, text):
        """Keep a text and tell everybody. Returns its stamp."""
        self.said.append(text)
        stamp = self.stamp(len(self.said))
        for visitor in list(self.visitors.values()):
            visitor.tell(text)
        sleepers, self.sleepers = self.sleepers, []
        for sleeper in sleepers:
            sleeper.callback(None)
        return stamp

    def stamp(self, count):
        """A stamp counts messages, from the time at which the server began."""
        return self.began + count / 100_000

    def place(self, cursor):
        """How many messages are not after the cursor."""
        count = max(0, round((cursor - self.began) * 100_000))
        # The nearest one, by a hair: it may itself be after it.
        return count - 1 if count and self.stamp(count) > cursor else count

    async def after(self, cursor):
        """Wait for the first message after the cursor: a stamp and a text."""
        while True:
            place = self.place(cursor)
            for text in islice(self.said, place, place + 1):
                return self.stamp(place + 1), text
            sleeper = Deferred(self.sleepers.remove)
            self.sleepers.append(sleeper)
            await sleeper
