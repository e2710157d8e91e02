"""Requests and frames that are wrong by a lot, and the same ones for the same seed.

By itself: python -m benchmarks.hostile.fuzz
    '{"where": {...}, "kind": "requests", "count": 1000, "seed": 1}'
"""

from __future__ import annotations

import json
import os
import random
import selectors
import sys
import time
from collections import Counter
from contextlib import suppress

from .line import TEXT, closed_with, connect, frame, handshake, hello, status_of
from .site import Where

ADDRESSES = 400  # from which they come, so that few are refused for their number
USERS = 90  # who have good tokens
FIRST_USER = 100
ROOMS = 800, 898
AT_ONCE = 40  # connections
STAY = 0.4  # seconds that a connection waits for an answer

METHODS = [b"GET", b"POST", b"OPTIONS", b"HEAD", b"PUT", b"DELETE", b"TRACE", b"PRI"]
PATHS = [b"/", b"/ws", b"/?epoch=x&seq=1", b"/?wait=0", b"/ws/x", b"*", b"//", b"/%00"]
TYPES = [
    b"application/x-www-form-urlencoded",
    b"multipart/form-data; boundary=x",
    b"multipart/form-data",
    b"text/plain; charset=utf-7",
    b"a\x85b",
    b"",
]
VALUES = [
    b"",
    b"x" * 9000,
    b"\xff\xfe",
    b"\0",
    b"a\rb",
    b"-1",
    b"9" * 400,
    b"%n%s",
    b",",
]
NAMES = [b"X-Any", b"Cookie", b"Expect", b"Range", b"Upgrade", b"Connection", b"TE"]
BODIES = [
    b"new_message=hello&id=%d",
    b"new_message=%%ff&id=%d",
    b"new_message=&id=%d",
    b"id=%d",
    b"a=1&" * 400 + b"%d",
    b'--x\r\nContent-Disposition: form-data; name="id"\r\n\r\n%d\r\n--x--\r\n',
    b'{"text": %d}',
]
TEXTS = [
    '{"id": "%d", "text": "hello"}',
    '{"id": "%d", "text": ""}',
    '{"id": "%d", "text": "\\ud800"}',
    '{"id": %d, "text": []}',
    '{"here": %d}',
    '{"token": "%d"}',
    '{"id": "%d"',
    "[%d]",
    "%d",
    "",
    '{"id": "%d", "text": "' + "x" * 5000 + '"}',
    "[" * 3000,
]


def spoilt(chance: random.Random, data: bytes) -> bytes:
    """The same bytes with some of them otherwise, away, twice or more."""
    data = bytearray(data)
    for _ in range(chance.choice([0, 0, 1, 1, 2, 8])):
        if not data:
            break
        at = chance.randrange(len(data))
        what = chance.randrange(4)
        if what == 0:
            data[at] = chance.randrange(256)
        elif what == 1:
            del data[at : at + chance.randint(1, 20)]
        elif what == 2:
            data[at:at] = chance.randbytes(chance.randint(1, 20))
        else:
            data[at:at] = data[at : at + chance.randint(1, 60)]
    return bytes(data)


def token(chance: random.Random, where: Where) -> bytes:
    """A token: mostly a good one."""
    room, user = chance.randint(*ROOMS), FIRST_USER + chance.randrange(USERS)
    good = where.token(room, user).encode()
    return (
        good
        if chance.random() < 0.8
        else spoilt(chance, good[: chance.choice([9, 99])])
    )


def request(chance: random.Random, where: Where) -> bytes:
    """One request, or some one behind the other."""
    found = b""
    for _ in range(chance.choice([1, 1, 1, 2, 5])):
        body = chance.choice(BODIES) % chance.randrange(10**9)
        method = chance.choice(METHODS[:3] * 3 + METHODS)
        line = (
            method
            + b" "
            + chance.choice(PATHS)
            + b" HTTP/1."
            + chance.choice([b"1", b"0"])
        )
        lines = [line, b"Host: " + where.host.encode()]
        if chance.random() < 0.7:
            lines.append(b"Origin: " + where.origin.encode())
        if chance.random() < 0.8:
            lines.append(b"Authorization: Bearer " + token(chance, where))
        if chance.random() < 0.7:
            lines.append(b"Content-Type: " + chance.choice(TYPES))
        how = chance.random()
        if how < 0.6:
            lines.append(b"Content-Length: %d" % len(body))
        elif how < 0.7:
            lines.append(b"Content-Length: " + chance.choice(VALUES))
        elif how < 0.85:
            lines.append(b"Transfer-Encoding: chunked")
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        if chance.random() < 0.2:
            lines.append(b"Upgrade: websocket\r\nConnection: Upgrade")
            lines.append(
                b"Sec-WebSocket-Version: " + chance.choice([b"13", b"8", b"x"])
            )
            lines.append(
                b"Sec-WebSocket-Key: " + chance.choice([b"x", b"A" * 22 + b"=="])
            )
        while chance.random() < 0.3:
            lines.append(chance.choice(NAMES) + b": " + chance.choice(VALUES))
        found += b"\r\n".join([*lines, b"", b""]) + body
    return spoilt(chance, found)


def sequence(chance: random.Random, where: Where) -> bytes:
    """Mostly a token, and some frames behind it."""
    found = b""
    for _ in range(chance.randint(1, 8)):
        opcode = chance.choice([1, 1, 1, 1, 2, 0, 8, 9, 10, 3, 11, 15])
        payload = chance.choice(TEXTS)
        payload = payload.replace("%d", f"{chance.randrange(10**9)}").encode()
        if opcode == 8:
            payload = chance.choice([b"", b"\3\xe8", b"\0", b"\3\xed", b"\x0f\xa0\xff"])
        elif opcode > 8:
            payload = payload[: chance.choice([0, 10, 125, 126])]
        found += frame(
            opcode,
            spoilt(chance, payload) if chance.random() < 0.3 else payload,
            fin=chance.random() < 0.8,
            reserved=0 if chance.random() < 0.9 else chance.randrange(8),
            claims=None if chance.random() < 0.95 else chance.randrange(1 << 62),
            masked=chance.random() < 0.95,
        )
    said = b""
    if chance.random() < 0.9:
        shown = {"token": token(chance, where).decode("latin-1")}
        if chance.random() < 0.3:
            shown |= {
                "epoch": chance.choice(["x", 1, None]),
                "seq": chance.choice([0, -1, 1 << 70]),
            }
        said = frame(TEXT, json.dumps(shown).encode())
        if chance.random() < 0.1:
            said = hello(where, ROOMS[0], FIRST_USER)
    if chance.random() < 0.3:
        found = spoilt(chance, found)
    return said + found


def fuzz(where: dict, kind: str, count: int, seed: int) -> dict:
    """Send so many requests, or sequences of frames, each on a connection of its own.

    Returns how they were answered.
    """
    make = {"requests": request, "frames": sequence}[kind]
    site, chance = Where(**where), random.Random(f"{seed} {kind}")
    said: Counter[str] = Counter()
    under_way: dict = {}
    number = 0
    with selectors.DefaultSelector() as ready:
        while number < count or under_way:
            while number < count and len(under_way) < AT_ONCE:
                number += 1
                first, then = make(chance, site), b""
                if kind == "frames":  # They may come only behind the answer.
                    first, then = handshake(site), first
                try:
                    connection = connect(site.of(3000 + number % ADDRESSES))
                    connection.sendall(first)
                except OSError as error:
                    said[type(error).__name__] += 1
                    continue
                connection.setblocking(False)
                ready.register(connection, selectors.EVENT_READ)
                under_way[connection] = [time.monotonic() + STAY, bytearray(), then]
            for key, _ in ready.select(0.01):
                of_one = under_way[key.fileobj]
                data = b""
                with suppress(OSError):
                    data = key.fileobj.recv(65536)
                    of_one[1] += data
                    if of_one[2] and b"\r\n\r\n" in of_one[1]:
                        key.fileobj.send(of_one[2])
                        of_one[0], of_one[2] = time.monotonic() + STAY, b""
                if not data:
                    of_one[0] = 0.0  # It is over.
            now = time.monotonic()
            for connection, (ends, came, _) in [*under_way.items()]:
                if now > ends:
                    del under_way[connection]
                    ready.unregister(connection)
                    with suppress(OSError):
                        connection.close()
                    said[answered(bytes(came))] += 1
    return {"said": dict(said), "count": count}


def answered(came: bytes) -> str:
    """The status of an answer, or how a WebSocket was closed."""
    status = status_of(came)
    if status == 101:
        code = closed_with(came.partition(b"\r\n\r\n")[2])
        return f"closed {code}" if code else "open"
    return f"{status}" if status else "nothing"


if __name__ == "__main__":
    if hasattr(os, "nice"):
        os.nice(5)
    print(json.dumps(fuzz(**json.loads(sys.argv[1]))))
