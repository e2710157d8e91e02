"""Load generator: N sockets, one of them speaks, all of them hear.

By itself: python -m benchmarks.fanout '{"port": 1025, "clients": 100}'
"""

from __future__ import annotations

import selectors
import socket
import time

import psutil

from .wire import (
    LENGTH,
    PATIENCE,
    client_frame,
    join,
    main,
    problems,
    server_frame,
    stopwatch,
    text,
)

FRAME = len(server_frame(bytes(LENGTH)))
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
) -> dict:
    """Let `clients` sockets join, and one of them speak for `seconds`.

    It keeps `in_flight` messages under way: it says the next one when it has heard one
    of its own. Returns deliveries per second ("rate"), the share of a core that this
    generator used ("generator"), and the memory of process `pid` in MB when all had
    joined and nothing was said yet ("memory").
    """
    sockets = [join(port, token) for _ in range(clients)]
    memory = psutil.Process(pid).memory_info().rss / 1e6 if pid else None
    heard, said, took = converse(sockets, in_flight, seconds)
    for connection in sockets:
        connection.close()
    # The bytes are looked at only now, when the clock has stopped.
    frames = [
        [bytes(data[start : start + FRAME]) for start in range(0, len(data), FRAME)]
        for data in heard
    ]
    expected = [server_frame(text(number)) for number in range(said)]
    return {
        "memory": memory,
        "rate": clients * said / took["seconds"],
        "generator": took["generator"],
        "problems": problems(frames, expected),
    }


def converse(
    sockets: list[socket.socket], in_flight: int, seconds: float
) -> tuple[list[bytearray], int, dict[str, float]]:
    """Speak for `seconds`, and listen until all have heard all.

    Returns the bytes that each socket received, the number of messages said, and what
    the stopwatch says.
    """
    speaker, heard = sockets[0], [bytearray() for _ in sockets]
    said, missing = 0, 0  # messages; bytes
    with selectors.DefaultSelector() as hears, selectors.DefaultSelector() as all_hear:
        hears.register(speaker, selectors.EVENT_READ, heard[0])
        for listener, data in zip(sockets, heard, strict=True):
            all_hear.register(listener, selectors.EVENT_READ, data)
        stop, now = stopwatch(), time.perf_counter()
        end, next_look, last_heard = now + seconds, now, now
        while True:
            if now < end:
                upto = len(heard[0]) // FRAME + in_flight
                new = [client_frame(text(number)) for number in range(said, upto)]
                if new:
                    speaker.sendall(b"".join(new))
                said += len(new)
                missing += len(new) * FRAME * len(sockets)
            if missing <= 0 or now > last_heard + PATIENCE:
                return heard, said, stop()
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
