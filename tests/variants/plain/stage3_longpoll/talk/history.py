"""What was said."""

import time
from collections import deque, namedtuple

Line = namedtuple("Line", "stamp text")


class History:
    def __init__(self):
        self.lines = deque()

    def add(self, text):
        """Keep `text` under the time of day, in seconds. Returns the line."""
        line = Line(time.time(), text)
        self.lines.append(line)
        return line

    def after(self, stamp):
        """Return the first line that is later than `stamp`, or None."""
        later = (line for line in self.lines if line.stamp > stamp)
        return min(later, default=None)
