"""Load generator: N sockets, one of them speaks, all of them hear.

By itself: python -m benchmarks.fanout '{"port": 1025, "clients": 100}'
"""

from __future__ import annotations

import itertools
import selectors
import socket
import time
from collections.abc import Sequence

import psutil

from .wire import (
    PATIENCE,
    join,
    main,
    pass_over_who_is_here,
    problems,
    says,
    stopwatch,
    timeless,
    told,
)

# How often the listeners look, in seconds. The speaker is at it all the time, but a
# generator that woke up for every delivery would be slower than some of the servers.
LOOK = 0.01


def measure(
    port: int,
    clients: int,
    in_flight: int = 10,
    seconds: float = 2.0,
    pid: int | None = None,
    token: str = "",
    history: bool = False,
    author: dict | None = None,
    others: Sequence[int] = (),
) -> dict:
    """Let `clients` sockets join, and one of them speak for `seconds`.

    Where there are `others`, ports of servers of the same chat, they join in turn. What
    the first one says, goes to the first server.

    It keeps `in_flight` messages under way: it says the next one when it has heard one
    of its own. Returns deliveries per second ("rate"), the share of a core that this
    generator used ("generator"), and the memory of process `pid` in MB when all had
    joined and nothing was said yet ("memory").
    """
    ports = itertools.islice(itertools.cycle([port, *others]), clients)
    joined = [join(each, token, history) for each in ports]
    sockets, epoch = [connection for connection, _ in joined], joined[0][1]
    if author:
        for connection in sockets:
            pass_over_who_is_here(connection)
    memory = psutil.Process(pid).memory_info().rss / 1e6 if pid else None
    heard, expected, took = converse(sockets, in_flight, seconds, epoch, author)
    for connection in sockets:
        connection.close()
    # The bytes are looked at only now, when the clock has stopped.
    ends = [*itertools.accumulate(map(len, expected), initial=0)]
    places = [slice(*pair) for pair in itertools.pairwise([*ends, None])]
    frames = [[timeless(bytes(data[place])) for place in places] for data in heard]
    frames = [[frame for frame in came if frame] for came in frames]
    return {
        "memory": memory,
        "rate": clients * len(expected) / took["seconds"],
        "generator": took["generator"],
        "problems": problems(frames, expected),
    }


def converse(
    sockets: list[socket.socket],
    in_flight: int,
    seconds: float,
    epoch: str | None,
    author: dict | None = None,
) -> tuple[list[bytearray], list[bytes], dict[str, float]]:
    """Speak for `seconds`, and listen until all have heard all.

    Returns the bytes that each socket received, the frames that it should have
    received, and what the stopwatch says.
    """
    speaker, heard = sockets[0], [bytearray() for _ in sockets]
    expected: list[bytes] = []
    missing, back, upto = 0, 0, 0  # bytes; messages that the speaker heard; bytes
    with selectors.DefaultSelector() as hears, selectors.DefaultSelector() as all_hear:
        hears.register(speaker, selectors.EVENT_READ, heard[0])
        for listener, data in zip(sockets, heard, strict=True):
            all_hear.register(listener, selectors.EVENT_READ, data)
        stop, now = stopwatch(), time.perf_counter()
        end, next_look, last_heard = now + seconds, now, now
        while True:
            if now < end:
                while back < len(expected) and len(heard[0]) >= upto + len(
                    expected[back]
                ):
                    upto += len(expected[back])
                    back += 1
                numbers = range(len(expected), back + in_flight)
                if numbers:
                    speaker.sendall(b"".join(says(number, epoch) for number in numbers))
                new = [told(number, epoch, author) for number in numbers]
                expected += new
                missing += sum(map(len, new)) * len(sockets)
            if missing <= 0 or now > last_heard + PATIENCE:
                return heard, expected, stop()
            ready = hears.select(LOOK)
            now = time.perf_counter()
            if now > next_look:
                ready = all_hear.select(0)
                next_look = now + LOOK
            for key, _ in ready:
                data = key.fileobj.recv(1 << 18)
                if not data:
                    raise ConnectionError("The server hung up.")
                key.data.extend(data)
                missing -= len(data)
                last_heard = now


if __name__ == "__main__":
    main(measure)
