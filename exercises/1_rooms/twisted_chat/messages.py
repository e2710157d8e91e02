"""What was said, in the one order that every client hears."""

import math
import time
from bisect import bisect_right
from dataclasses import dataclass
from operator import attrgetter

MAX_LENGTH = 4096  # characters in one message


@dataclass(frozen=True)
class Message:
    published_at: float
    text: str


class MessageStore:
    """All messages. Only the reactor's thread may use it, so it needs no lock."""

    def __init__(self):
        self.messages = []  # by rising stamp

    def __len__(self):
        return len(self.messages)

    def add(self, text):
        """Stamp a message and make it visible, as one step. Returns it."""
        newest = self.messages[-1].published_at if self.messages else 0.0
        # Later than the newest, even if the clock stood still or was set back.
        stamp = max(time.time(), math.nextafter(newest, math.inf))
        message = Message(stamp, text)
        self.messages.append(message)
        return message

    def next_after(self, lastupdate):
        """Return the next message after `lastupdate`, None if there is none yet."""
        by_stamp = attrgetter("published_at")
        index = bisect_right(self.messages, lastupdate, key=by_stamp)
        return self.messages[index] if index < len(self) else None
