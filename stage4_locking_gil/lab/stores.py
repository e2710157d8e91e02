"""The designs of the message store, in the order of the story.

All have the same two methods.  `post(text)` takes a message in.  `next_after(cursor)`
returns the next message after the cursor as (number, text), or None when there is none
yet; a polling client keeps the number as its new cursor and asks again.

Posting has two steps: A takes a number, B makes the message visible under that number.
Every design here is an answer to one question: what may happen between A and B?
"""

import contextlib
import itertools
import math
import sys
import threading
import time

from twisted.internet import reactor, threads


class UnsortedStore:
    """The bug as the 2013 text tells it: a dict, looked through in its own order."""

    def __init__(self):
        self.messages = {}

    def post(self, text):
        self.messages[float(time.time())] = text

    def next_after(self, cursor):
        for number in self.messages:
            if number > cursor:
                return number, self.messages[number]
        return None

    def entries(self):
        """All (number, text) pairs, in the order in which they are kept."""
        return list(self.messages.items())


class SortedStore(UnsortedStore):
    """2013, from the first commit on: the loop is sorted, and there is no lock."""

    def next_after(self, cursor):
        for number in sorted(self.messages):
            if number > cursor:
                return number, self.messages[number]
        return None


class WriteProtectedDict(dict):
    """A dict that takes a lock around each store, and around nothing else."""

    def __init__(self, write_lock):
        super().__init__()
        self.write_lock = write_lock

    def __setitem__(self, key, value):
        with self.write_lock:
            super().__setitem__(key, value)


class SetitemLockStore(SortedStore):
    """2013, 11 September: the lock moves into the dict, so A is outside of it."""

    def __init__(self):
        self.messages = WriteProtectedDict(threading.Lock())


class CounterOutsideStore(SetitemLockStore):
    """A perfect counter instead of the clock, still read outside the lock."""

    def __init__(self):
        super().__init__()
        self.numbers = itertools.count(1)

    def post(self, text):
        self.messages[next(self.numbers)] = text


class LockStore(SortedStore):
    """2013, 4 and 7 September: the first fix, one lock held around A and B."""

    def __init__(self):
        super().__init__()
        self.write_lock = threading.Lock()

    def post(self, text):
        with self.write_lock:
            self.messages[float(time.time())] = text


class UnsortedLockStore(UnsortedStore):
    """The same lock, unsorted: the orders agree, as long as the clock only rises."""

    def __init__(self):
        super().__init__()
        self.write_lock = threading.Lock()

    def post(self, text):
        with self.write_lock:
            self.messages[float(time.time())] = text


class GilLockStore(SortedStore):
    """What 2013 wished for: the same lock, but only where there is no GIL."""

    def __init__(self):
        super().__init__()
        # Before 3.13 there is no such function, and always a GIL.
        gil = getattr(sys, "_is_gil_enabled", lambda: True)()
        self.write_lock = contextlib.nullcontext() if gil else threading.Lock()

    def post(self, text):
        with self.write_lock:
            self.messages[float(time.time())] = text


class CounterLockStore(SortedStore):
    """The number comes from a counter, in the critical section that stores."""

    def __init__(self):
        super().__init__()
        self.numbers = itertools.count(1)
        self.write_lock = threading.Lock()

    def post(self, text):
        with self.write_lock:
            self.messages[next(self.numbers)] = text


class AppendStore:
    """An append-only list: the place is the number, so one call is both A and B."""

    def __init__(self):
        self.messages = []

    def post(self, text):
        self.messages.append(text)

    def next_after(self, cursor):
        if cursor < len(self.messages):
            return cursor + 1, self.messages[cursor]
        return None

    def entries(self):
        """All (number, text) pairs, in the order in which they are kept."""
        return list(enumerate(self.messages, 1))


class ReactorStore(SortedStore):
    """No lock: other threads hand their work to the one thread that owns the dict.

    blockingCallFromThread is callFromThread, and then a wait for the result.
    """

    def post(self, text):
        threads.blockingCallFromThread(reactor, super().post, text)

    def next_after(self, cursor):
        return threads.blockingCallFromThread(reactor, super().next_after, cursor)


class RisingStore(SortedStore):
    """Stage 4: the lock around A and B, and a stamp that always rises."""

    def __init__(self):
        super().__init__()
        self.write_lock = threading.Lock()

    def post(self, text):
        with self.write_lock:
            newest = next(reversed(self.messages), 0.0)
            stamp = max(time.time(), math.nextafter(newest, math.inf))
            self.messages[stamp] = text
