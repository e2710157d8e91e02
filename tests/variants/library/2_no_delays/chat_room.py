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
        self.waiting = {}  # a function to call with what is new -> cursor
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
        for member in [*self.members]:  # Who does not read is dropped meanwhile.
            member.hear(text)
        waiting, self.waiting = self.waiting, {}
        for answer, cursor in waiting.items():
            answer(*self.after(cursor))
        return stamp

    def after(self, cursor):
        """Return the newest stamp, and all texts after `cursor`.

        If there is none, the stamp is the cursor.
        """
        at = bisect_right(self.stamps, cursor)
        texts = self.texts[at:]
        return (self.stamps[-1] if texts else cursor), texts
