"""Real threads, set free: a short run that reports what was lost this time.

It proves a loss when it sees one, and nothing when it sees none.
"""

import sys
import threading
import time
from dataclasses import dataclass

from .explore import DESIGNS, Design, Reader, interpreter, start_reactor
from .stores import ReactorStore

WRITERS = 4
POSTS = 25  # of each writer, in one round


@dataclass
class Tally:
    """What happened to one design: the messages posted, and those the reader lacks."""

    rounds: int = 0
    posts: int = 0
    overwritten: int = 0
    skipped: int = 0
    errors: int = 0


def designs() -> list[Design]:
    """The designs as they are on this interpreter: each class once."""
    gil = interpreter()["gil"]
    return [d for d in DESIGNS.values() if d.gil is None or d.gil is gil]


def run(store: type, seconds: float = 0.2) -> Tally:
    """Play rounds on fresh stores until `seconds` have gone by, at least one.

    In a round four writers post while one reader polls.  An exception in a thread is
    counted in `errors`, and the thread goes on.
    """
    if issubclass(store, ReactorStore):
        start_reactor()
    tally = Tally()
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # the GIL, if any, changes hands as often as it can
    try:
        end = time.monotonic() + seconds
        while not tally.rounds or time.monotonic() < end:
            _round(store(), tally)
    finally:
        sys.setswitchinterval(before)
    return tally


def _round(store, tally):
    reader = Reader(store)
    errors = []
    start, done = threading.Barrier(WRITERS + 1), threading.Event()

    def guarded(call, *args):
        try:
            call(*args)
        except Exception as error:
            errors.append(error)

    def write(texts):
        start.wait()
        for text in texts:
            guarded(store.post, text)

    def read():
        start.wait()
        while not done.is_set():
            guarded(reader.poll)

    batches = [[f"m{w}.{n}" for n in range(POSTS)] for w in range(WRITERS)]
    writers = [threading.Thread(target=write, args=(texts,)) for texts in batches]
    polling = threading.Thread(target=read)
    for thread in [polling, *writers]:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    polling.join()
    reader.drain()
    lost = list(reader.lost([text for texts in batches for text in texts]).values())
    tally.rounds += 1
    tally.posts += WRITERS * POSTS
    tally.overwritten += lost.count("overwritten")
    tally.skipped += lost.count("skipped")
    tally.errors += len(errors)
