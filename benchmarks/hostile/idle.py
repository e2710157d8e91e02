"""Thousands of sockets that say nothing, and answer when they are asked.

By itself: python -m benchmarks.hostile.idle '{"where": {...}, "count": 10000}'

It writes a line when all are in their rooms, stays until a line comes on its standard
input, and prints how many are still there.
"""

from __future__ import annotations

import json
import os
import select
import selectors
import socket
import sys
import time

from .line import PING, PONG, frame, frames, handshake, hello, read_frame, read_until
from .line import connect as connect_to
from .site import Where

AT_ONCE = 10  # that come in together
IN_A_ROOM = 20  # sockets
FIRST_ROOM = 100
OF_A_USER, OF_AN_ADDRESS = 15, 150  # fewer than there may be
FIRST_USER = 1_000_000  # They have no accounts, and need none to listen.


def come_in(where: Where, numbers: range) -> list[socket.socket]:
    """Open sockets, one step after the other for all of them. Raises OSError."""
    found = []
    for number in numbers:
        connection = connect_to(where.of(10_000 + number // OF_AN_ADDRESS))
        connection.sendall(handshake(where))
        found.append(connection)
    for number, connection in zip(numbers, found, strict=True):
        head = read_until(connection, lambda came: came.endswith(b"\r\n\r\n"))
        if b" 101 " not in head:
            raise ConnectionError(f"Socket {number} was not let in: {head!r}")
        room = FIRST_ROOM + number // IN_A_ROOM
        user = FIRST_USER + number // OF_A_USER
        connection.sendall(hello(where, room, user))
    for connection in found:
        read_frame(connection)
        connection.setblocking(False)
    return found


def stay(where: dict, count: int) -> dict:
    """Let `count` sockets come, answer pings, and stay until a line is read.

    Returns how many were "there" at the end, how many "pings" they answered, and how
    long it took them to come, in "seconds".
    """
    site, pings, gone = Where(**where), 0, 0
    begun = time.monotonic()
    with selectors.DefaultSelector() as ready:

        def look(seconds: float) -> None:
            nonlocal pings, gone
            for key, _ in ready.select(seconds):
                try:
                    data = key.fileobj.recv(65536)
                except BlockingIOError:
                    continue
                except OSError:
                    data = b""
                if not data:
                    gone += 1
                    ready.unregister(key.fileobj)
                    key.fileobj.close()
                    continue
                key.data.extend(data)
                used = 0
                for opcode, payload, _ in frames(bytes(key.data)):
                    used += 2 + len(payload) + (2 if len(payload) > 125 else 0)
                    if opcode == PING:
                        pings += 1
                        key.fileobj.send(frame(PONG, payload))
                del key.data[:used]

        for start in range(0, count, AT_ONCE):
            for each in come_in(site, range(start, min(start + AT_ONCE, count))):
                ready.register(each, selectors.EVENT_READ, bytearray())
            look(0)  # Those who are in already are asked.
        took = time.monotonic() - begun
        print(json.dumps({"seconds": took}), flush=True)
        while not select.select([sys.stdin], [], [], 0)[0]:
            look(0.05)
        look(0)
        there = len(ready.get_map())
        for key in [*ready.get_map().values()]:
            key.fileobj.close()
    return {"there": there, "gone": gone, "pings": pings, "seconds": took}


if __name__ == "__main__":
    if hasattr(os, "nice"):
        os.nice(5)
    print(json.dumps(stay(**json.loads(sys.argv[1]))))
