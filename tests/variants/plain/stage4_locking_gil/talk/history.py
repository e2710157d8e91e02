"""What was said, in the order in which it was said."""

import time
from bisect import bisect
from collections import namedtuple
from math import inf, nextafter
from threading import Lock

Line = namedtuple("Line", "stamp text")


class History:
    def __init__(self):
        self.lines = [Line(0.0, "")]  # a first one, so that there is a last one
        self.lock = Lock()

    def add(self, text):
        """Keep `text` under a stamp that is later than all before. Returns the line.

        The stamp is the time of day, in seconds, wherever that has gone on.
        """
        with self.lock:
            last = self.lines[-1].stamp
            line = Line(max(time.time(), nextafter(last, inf)), text)
            self.lines.append(line)
        return line

    def after(self, stamp):
        """Return the first line that is later than `stamp`, or None."""
        at = bisect(self.lines, stamp, key=lambda line: line.stamp)
        return self.lines[at] if at < len(self.lines) else None
