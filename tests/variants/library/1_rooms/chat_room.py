"""Who is there, and what was said."""

import time
from bisect import bisect_right
from math import inf, nextafter


class Rooms(dict):
    """Number -> Room. A room is there as soon as somebody has a ticket for it."""

    def __missing__(self, number):
        return self.setdefault(number, Room())


class Room:
    def __init__(self):
        self.members = set()  # sockets
        self.waiting = {}  # a function to call with the next message -> cursor
        self.stamps, self.texts = [], []  # side by side, by rising stamp

    def say(self, text):
        """Keep `text`, and tell all who are there. Returns its stamp, in seconds.

        Only the reactor's thread comes here, so nothing comes between the lines that
        make a stamp and those that keep what it belongs to.
        """
        newest = self.stamps[-1] if self.stamps else 0.0
        stamp = max(time.time(), nextafter(newest, inf))
        self.stamps.append(stamp)
        self.texts.append(text)
        for member in self.members:
            member.hear(text)
        for answer in [*self.waiting]:
            # Telling one may have made another leave.
            message = answer in self.waiting and self.next_after(self.waiting[answer])
            if message:
                del self.waiting[answer]
                answer(*message)
        return stamp

    def next_after(self, cursor):
        """Return stamp and text of the first message after `cursor`, None if none."""
        at = bisect_right(self.stamps, cursor)
        if at == len(self.stamps):
            return None
        return self.stamps[at], self.texts[at]
