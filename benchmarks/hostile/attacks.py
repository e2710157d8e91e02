"""What strangers do to a chat server, each as a function with a size.

By itself: python -m benchmarks.hostile.attacks
    '{"where": {...}, "name": "form", "sizes": {"megabytes": 1}, "seconds": 10}'

Each returns after how many seconds its last connection was off, or refused ("off"), how
many were not until its patience was over ("left"), and what the server said to them.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from .line import (
    BINARY,
    CHUNK,
    PING,
    PONG,
    TEXT,
    Line,
    connect,
    drive,
    frame,
    handshake,
    head,
    hello,
    open_socket,
    over,
    read_frame,
    saying,
    shows,
    status_of,
)
from .site import FULL_ROOM, Where

FORM = "Content-Type: application/x-www-form-urlencoded"
FOREIGN = "Origin: http://attacker.example"
SMALL = 4096  # bytes that the system keeps for who does not read
LONGEST = "\U0001f600" * 4096  # the message that is longest in JSON
OTHER_ROOM = 900  # where no honest client is
ATTACKER = 200  # the first user of those who attack
GOING = 8.0  # seconds that a server may take to see one off
EACH = 20  # sockets of one user, which is what a user may have


def repeated(piece: bytes, count: int) -> Iterator[bytes]:
    """`count` bytes of `piece` again and again, in chunks."""
    chunk = piece * (CHUNK // len(piece))
    for _ in range(count // len(chunk)):
        yield chunk
    yield piece * (count % len(chunk) // len(piece))


def chunked(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """A body in chunks, as HTTP/1.1 writes them."""
    for piece in pieces:
        yield b"%x\r\n%s\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


def post(where: Where, seconds: float, body: Iterator[bytes], *lines: str) -> dict:
    """Send one POST with this body. It is over when there is an answer."""
    feed = itertools.chain([head(where, "POST /", *lines)], body)
    return over(
        drive(where, [Line(connect(where), feed, until_answered=True)], seconds)
    )


def form(where: Where, seconds: float, megabytes: float = 20) -> dict:
    """A page of another site sends a form with fields without number."""
    count = int(megabytes * 1e6)
    body = repeated(b"a=1&", count)
    return post(where, seconds, body, FOREIGN, FORM, f"Content-Length: {count}")


def form_of_ours(where: Where, seconds: float, megabytes: float = 20) -> dict:
    """The same with a good token."""
    count = int(megabytes * 1e6)
    lines = [*shows(where, OTHER_ROOM, ATTACKER), FORM, f"Content-Length: {count}"]
    return post(where, seconds, repeated(b"a=1&", count), *lines)


def multipart(where: Where, seconds: float, megabytes: float = 10) -> dict:
    """A form in parts, each of them short."""
    part = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    count = int(megabytes * 1e6) // len(part) * len(part)
    kind = "Content-Type: multipart/form-data; boundary=x"
    body = itertools.chain(repeated(part, count), [b"--x--\r\n"])
    return post(where, seconds, body, FOREIGN, kind, f"Content-Length: {count + 7}")


def one_value(where: Where, seconds: float, megabytes: float = 300) -> dict:
    """One message of 300 MB."""
    count = int(megabytes * 1e6)
    body = itertools.chain([b"new_message="], repeated(b"a", count))
    return post(where, seconds, body, FORM, f"Content-Length: {count + 12}")


def in_chunks(where: Where, seconds: float, megabytes: float = 20) -> dict:
    """A body that does not say how long it will be; with a good token."""
    body = chunked(repeated(b"a=1&", int(megabytes * 1e6)))
    lines = [*shows(where, OTHER_ROOM, ATTACKER), FORM, "Transfer-Encoding: chunked"]
    return post(where, seconds, body, *lines)


def long_head(where: Where, seconds: float, megabytes: float = 5) -> dict:
    """A request whose head does not end."""
    lines = repeated(b"X: " + b"y" * 95 + b"\r\n", int(megabytes * 1e6))
    begin = head(where, "GET /")[:-2]
    feed = itertools.chain([begin], lines)
    return over(
        drive(where, [Line(connect(where), feed, until_answered=True)], seconds)
    )


def one_socket(where: Where, seconds: float, feed: Iterator[bytes], **line) -> dict:
    """Send all this on a WebSocket that is in another room than the honest ones."""
    joined = open_socket(where, OTHER_ROOM, ATTACKER)
    return over(drive(where, [Line(joined, feed, **line)], seconds))


def pieces_of(size: int, megabytes: float) -> Iterator[bytes]:
    """A message in fragments of `size` bytes, without the last one."""
    yield frame(TEXT, b"x" * size, fin=False)
    piece = frame(0, b"x" * size, fin=False)
    yield from repeated(piece, int(megabytes * 1e6 / size) * len(piece))


def pieces_of_100(where: Where, seconds: float, megabytes: float = 8) -> dict:
    """A message that never ends, in fragments of 100 bytes."""
    return one_socket(where, seconds, pieces_of(100, megabytes))


def pieces_of_1000(where: Where, seconds: float, megabytes: float = 20) -> dict:
    """A message that never ends, in fragments of 1,000 bytes."""
    return one_socket(where, seconds, pieces_of(1000, megabytes))


def claims(where: Where, seconds: float, megabytes: float = 40) -> dict:
    """One frame that claims to have 2^40 bytes."""
    body = repeated(b"x" * 1000, int(megabytes * 1e6))
    feed = itertools.chain([frame(TEXT, claims=1 << 40)], body)
    return one_socket(where, seconds, feed)


def unfinished(where: Where, seconds: float, count: int = 20) -> dict:
    """Messages that are begun, and go on by a byte a second."""
    lines = [
        Line(
            open_socket(where, OTHER_ROOM, ATTACKER),
            itertools.chain([frame(TEXT, claims=4000)], itertools.repeat(b"x", 3999)),
            pause=1.0,
        )
        for _ in range(count)
    ]
    return over(drive(where, lines, seconds))


def empty_fragments(where: Where, seconds: float, megabytes: float = 5) -> dict:
    """A message of fragments with nothing in them."""
    rest = repeated(frame(0, fin=False), int(megabytes * 1e6))
    return one_socket(where, seconds, itertools.chain([frame(TEXT, fin=False)], rest))


def pings(where: Where, seconds: float, megabytes: float = 20) -> dict:
    """Pings, whose answers are read."""
    return one_socket(
        where, seconds, repeated(frame(PING, b"x" * 125), int(megabytes * 1e6))
    )


def pings_unread(where: Where, seconds: float, megabytes: float = 60) -> dict:
    """Pings, whose answers nobody reads."""
    feed = repeated(frame(PING, b"x" * 125), int(megabytes * 1e6))
    connection = open_socket(where, OTHER_ROOM, ATTACKER, receive=SMALL)
    return over(drive(where, [Line(connection, feed, reads=False)], seconds))


def pongs(where: Where, seconds: float, megabytes: float = 20) -> dict:
    """Pongs that answer nothing."""
    return one_socket(where, seconds, repeated(frame(PONG), int(megabytes * 1e6)))


def who_is_here(where: Where, seconds: float, megabytes: float = 5) -> dict:
    """To ask again and again who is here: short frames, each with an answer."""
    question = frame(TEXT, b'{"here": 1}')
    return one_socket(where, seconds, repeated(question, int(megabytes * 1e6)))


def renewals(where: Where, seconds: float, megabytes: float = 5) -> dict:
    """To show a good token again and again, which has to be looked at."""
    token = hello(where, OTHER_ROOM, ATTACKER)
    return one_socket(where, seconds, repeated(token, int(megabytes * 1e6)))


def pipelined(where: Where, seconds: float, gets: int = 60) -> dict:
    """Questions, one behind the other, whose long answers nobody reads."""
    question = head(where, "GET /", *shows(where, FULL_ROOM, ATTACKER))
    connection = connect(where, receive=SMALL)
    line = Line(connection, iter([question * gets]), reads=False)
    return over(drive(where, [line], seconds))


def asks_for_all(where: Where, seconds: float, connections: int = 4) -> dict:
    """To ask again and again for all there is, and read it."""
    question = head(where, "GET /", *shows(where, FULL_ROOM, ATTACKER))
    lines = [
        Line(connect(where), itertools.repeat(question * 10))
        for _ in range(connections)
    ]
    return over(drive(where, lines, seconds))


def never_reads(where: Where, seconds: float, sockets: int = 40) -> dict:
    """To join a room with a long history, and read nothing."""
    lines = []
    for number in range(sockets):
        user = ATTACKER + number // EACH
        joining = open_socket(where, FULL_ROOM, user, receive=SMALL, reads=False)
        lines.append(Line(joining, reads=False))
    return over(drive(where, lines, seconds))


def known_id(where: Where, seconds: float, times: int = 2000) -> dict:
    """To say again and again what is stored already, and read no answer."""
    connection = open_socket(where, OTHER_ROOM, ATTACKER, receive=SMALL)
    id = f"known {random.random()}"
    connection.sendall(saying(LONGEST, id))
    while id.encode() not in read_frame(connection):
        pass
    # A short message with that id is answered with the long one.
    feed = iter([saying("x", id) * times])
    return over(drive(where, [Line(connection, feed, reads=False)], seconds))


def flood(where: Where, seconds: float, room: int) -> dict:
    """One who says messages as fast as it goes, and comes back when closed."""

    def messages() -> Iterator[bytes]:
        name = random.random()
        for number in itertools.count():
            yield b"".join(
                saying(f"flood {n}", f"{name} {n}")
                for n in range(50 * number, 50 * number + 50)
            )

    ends = time.monotonic() + seconds
    found: list[dict] = []
    while (left := ends - time.monotonic()) > 0:
        try:
            joined = open_socket(where, room, ATTACKER)
        except OSError as error:  # It is not let in.
            found.append({"off": 0.0, "left": 0, "said": {short(error): 1}, "sent": 0})
            time.sleep(0.05)  # It is an attack, and would go on at once: a pace for it.
            continue
        # Who was let in is given the time that it takes to be off.
        found.append(over(drive(where, [Line(joined, messages())], max(left, GOING))))
    return together(found)


def short(error: OSError) -> str:
    """How an attempt to come in ended."""
    words = f"{error}"
    return next((f"HTTP {c}" for c in ("429", "503") if c in words), words[:60])


def flood_same_room(where: Where, seconds: float, room: int = 1) -> dict:
    """A flood of messages into the room of an honest pair."""
    return flood(where, seconds, room)


def flood_other_room(where: Where, seconds: float, room: int = OTHER_ROOM) -> dict:
    """A flood of messages into another room."""
    return flood(where, seconds, room)


def flood_by_post(where: Where, seconds: float, room: int = 1) -> dict:
    """The same flood, by requests one behind the other."""

    def requests() -> Iterator[bytes]:
        name = random.random()
        for number in itertools.count():
            body = f"new_message=flood+{number}&id={name}-{number}"
            lines = [FORM, f"Content-Length: {len(body)}"]
            shown = shows(where, room, ATTACKER)
            yield head(where, "POST /", *shown, *lines) + body.encode()

    answers: dict[str, int] = {}
    begun, first = time.monotonic(), None
    while (left := begun + seconds - time.monotonic()) > 0:
        line = Line(connect(where), requests())
        drive(where, [line], min(left, 2.0))
        for status in (200, 429, 503):
            count = bytes(line.came).count(b"HTTP/1.1 %d " % status)
            answers[f"{status}"] = answers.get(f"{status}", 0) + count
        if first is None and answers["429"]:
            first = time.monotonic() - begun
    return {"off": first, "left": int(first is None), "said": answers, "sent": 0}


def dripping(where: Where, seconds: float, count: int, begin: bytes, rest: bytes):
    """Requests that are begun, and go on by a byte every two seconds."""
    lines = []
    for number in range(count):
        source = where.of(1000 + number // 150)  # What one address may have is less.
        feed = itertools.chain([begin], (bytes([byte]) for byte in rest * 100))
        lines.append(Line(connect(source), feed, pause=2.0))
    return over(drive(where, lines, seconds))


def slow_heads(where: Where, seconds: float, count: int = 300) -> dict:
    """Heads of requests, a byte every two seconds."""
    return dripping(where, seconds, count, b"GET / HTTP/1.1\r\n", b"X-Slow: yes\r\n")


def slow_bodies(where: Where, seconds: float, count: int = 300) -> dict:
    """Bodies of requests, with a good token, a byte every two seconds."""
    shown = [*shows(where, OTHER_ROOM, ATTACKER), FORM, "Content-Length: 10000"]
    return dripping(where, seconds, count, head(where, "POST /", *shown), b"a=1&")


def slow_handshakes(where: Where, seconds: float, count: int = 300) -> dict:
    """Handshakes that are all but done."""
    return dripping(where, seconds, count, handshake(where)[:-2], b"X-Slow: yes\r\n")


def no_token(where: Where, seconds: float, count: int = 100) -> dict:
    """WebSockets that are open, and never show a token."""
    lines = [Line(connect(where), iter([handshake(where)])) for _ in range(count)]
    return over(drive(where, lines, seconds))


def silent(where: Where, seconds: float, count: int = 100) -> dict:
    """Connections on which nothing is said."""
    return over(drive(where, [Line(connect(where)) for _ in range(count)], seconds))


def idle(where: Where, seconds: float, count: int = 100) -> dict:
    """Connections that had an answer, and are kept open."""
    question = head(where, "OPTIONS /", f"Origin: {where.origin}")
    lines = [Line(connect(where), iter([question])) for _ in range(count)]
    return over(drive(where, lines, seconds))


def vanished_sockets(where: Where, seconds: float, count: int = 20) -> dict:
    """Sockets in a room whose clients are gone without a word."""
    lines = [
        Line(open_socket(where, OTHER_ROOM, ATTACKER), reads=False)
        for _ in range(count)
    ]
    return over(drive(where, lines, seconds))


def vanished_polls(where: Where, seconds: float, count: int = 20) -> dict:
    """Polls that wait for news, and whose clients are gone without a word."""
    shown = shows(where, OTHER_ROOM, ATTACKER)
    with connect(where) as asking:
        asking.sendall(head(where, "GET /", *shown, "Connection: close"))
        came = b""
        with suppress(OSError):
            while data := asking.recv(65536):
                came += data
    place = json.loads(came.partition(b"\r\n\r\n")[2])
    question = head(where, f"GET /?epoch={place['epoch']}&seq={place['seq']}", *shown)
    lines = [Line(connect(where), iter([question]), reads=False) for _ in range(count)]
    return over(drive(where, lines, seconds))


def connections(where: Where, seconds: float, count: int = 2000, addresses: int = 1):
    """Many connections at once, which say nothing."""
    lines, refused = [], 0
    for number in range(count):
        source = where.of(2000 + number % addresses) if addresses > 1 else where
        try:
            lines.append(Line(connect(source)))
        except OSError:
            refused += 1
    found = over(drive(where, lines, seconds))
    return found | {"said": found["said"] | {"not let in": refused}}


def asking_at_once(where: Where, seconds: float, count: int = 2000) -> dict:
    """As many, each with a question. Those that are not refused are left."""
    question = head(where, "OPTIONS /", f"Origin: {where.origin}")
    lines, refused = [], 0
    for _ in range(count):
        try:
            line = Line(connect(where), iter([question]), until_answered=True)
            lines.append(line)
        except OSError:
            refused += 1
    found = over(drive(where, lines, seconds))
    answered = found["said"].get("200", 0)
    return found | {
        "said": found["said"] | {"not let in": refused},
        "left": found["left"] + answered,
    }


def from_many(where: Where, seconds: float, count: int = 2000) -> dict:
    """Many connections at once, of twenty addresses."""
    return connections(where, seconds, count, addresses=20)


def bad_tokens(where: Where, seconds: float, count: int = 600) -> dict:
    """Requests with tokens that are none, one after the other."""
    question = head(where, "GET /", "Authorization: Bearer none-of-yours")
    said: dict[str, int] = {}
    begun, first = time.monotonic(), None
    asking, rest = None, b""
    for _ in range(count):
        if time.monotonic() > begun + seconds:
            break
        try:
            asking = asking or connect(where)
            asking.sendall(question)
            while b"}" not in rest.partition(b"\r\n\r\n")[2]:
                data = asking.recv(65536)
                if not data:
                    raise ConnectionError
                rest += data
        except OSError:
            if asking:
                asking.close()
            asking = None
        how = f"{status_of(rest)}"
        rest = b""
        said[how] = said.get(how, 0) + 1
        if first is None and how == "429":
            first = time.monotonic() - begun
    if asking:
        asking.close()
    return {"off": first, "left": int(first is None), "said": said, "sent": 0}


def bad_hellos(where: Where, seconds: float, count: int = 600) -> dict:
    """Handshakes, each with a token that is none. It is over with the first 429."""
    said: dict[str, int] = {}
    begun, first = time.monotonic(), None
    for _ in range(count):
        if time.monotonic() > begun + seconds:
            break
        with connect(where) as knocking:
            line = Line(
                knocking,
                iter([handshake(where) + frame(TEXT, b'{"token": "none of yours"}')]),
            )
            with suppress(OSError):
                knocking.setblocking(True)
                knocking.settimeout(2)
                knocking.sendall(next(line.feed))
                line.came += knocking.recv(12)
        how = f"{status_of(bytes(line.came))}"
        said[how] = said.get(how, 0) + 1
        if first is None and how == "429":
            first = time.monotonic() - begun
    return {"off": first, "left": int(first is None), "said": said, "sent": 0}


def of_one_user(where: Where, seconds: float, count: int = 60) -> dict:
    """Many sockets of one user. Those that a user may have are left."""
    lines = []
    for _ in range(count):
        joining = open_socket(where, OTHER_ROOM, ATTACKER, reads=False)
        lines.append(Line(joining))
    drive(where, lines, min(seconds, GOING))
    return over(lines) | {"off": max((line.off or 0 for line in lines), default=0)}


def never_closes(where: Where, seconds: float, count: int = 20) -> dict:
    """Sockets that are closed for what they say, and do not answer that."""
    lines = [
        Line(
            open_socket(where, OTHER_ROOM, ATTACKER),
            iter([frame(BINARY, b"x")]),
            reads=False,
        )
        for _ in range(count)
    ]
    return over(drive(where, lines, seconds))


STRANGE = {
    "a byte above 127 in a content type": (
        b"POST / HTTP/1.1\r\nHost: %(host)s\r\nContent-Type: a\x85b\r\n"
        b"Content-Length: 3\r\n\r\na=1"
    ),
    "no boundary": (
        b"POST / HTTP/1.1\r\nHost: %(host)s\r\nContent-Type: multipart/form-data\r\n"
        b"Content-Length: 3\r\n\r\na=1"
    ),
    "a boundary that is no ASCII": (
        b"POST / HTTP/1.1\r\nHost: %(host)s\r\n"
        b"Content-Type: multipart/form-data; boundary=\xff\r\n"
        b"Content-Length: 3\r\n\r\na=1"
    ),
    "a path that is no ASCII": b"POST /ws?\x8d HTTP/1.1\r\nHost: %(host)s\r\n\r\n",
    "h2c": (
        b"GET /ws?\xa3 HTTP/1.1\r\nHost: %(host)s\r\nUpgrade: h2c\r\n"
        b"Connection: Upgrade\r\nOrigin: %(origin)s\r\n\r\n"
    ),
    "a host that is no ASCII": b"GET / HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n",
    "an origin that is no ASCII": (
        b"GET / HTTP/1.1\r\nHost: %(host)s\r\nOrigin: \xff\r\n\r\n"
    ),
    "a token that is no ASCII": (
        b"GET / HTTP/1.1\r\nHost: %(host)s\r\n"
        b"Authorization: Bearer \xff:\xfe:\x85\r\n\r\n"
    ),
    "lengths that differ": (
        b"POST / HTTP/1.1\r\nHost: %(host)s\r\nContent-Length: 3\r\n"
        b"Content-Length: 4\r\n\r\na=1"
    ),
    "a length below zero": (
        b"POST / HTTP/1.1\r\nHost: %(host)s\r\nContent-Length: -3\r\n\r\na=1"
    ),
    "a length and chunks": (
        b"POST / HTTP/1.1\r\nHost: %(host)s\r\nContent-Length: 3\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "a chunk that is none": (
        b"POST / HTTP/1.1\r\nHost: %(host)s\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n"
    ),
    "an unknown coding": (
        b"POST / HTTP/1.1\r\nHost: %(host)s\r\nTransfer-Encoding: gzip\r\n\r\nx"
    ),
    "a method that is none": b"\x00\x01 / HTTP/1.1\r\nHost: %(host)s\r\n\r\n",
    "a version that is none": b"GET / HTTP/9.9\r\nHost: %(host)s\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x85" * 200,
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
    "an address for a path": b"GET http://x.test/ HTTP/1.1\r\nHost: %(host)s\r\n\r\n",
    "a seq of 5,000 digits": (
        b"GET /?epoch=x&seq=" + b"9" * 5000 + b" HTTP/1.1\r\nHost: %(host)s\r\n"
        b"Origin: %(origin)s\r\nAuthorization: Bearer %(token)s\r\n\r\n"
    ),
    "lines of old": (b"GET / HTTP/1.1\r\nHost: %(host)s\r\nX: a\r\n b\r\n\tc\r\n\r\n"),
}
BEHIND = {  # frames, all in one segment
    "a ping behind a refused frame": frame(BINARY, b"x") + frame(PING, b"x"),
    "a close behind a refused frame": frame(BINARY, b"x") + frame(8),
    "text behind a refused frame": frame(BINARY, b"x") + frame(TEXT, b"{}") * 3,
    "a ping behind a close": frame(8, b"\x03\xe8") + frame(PING),
    "text that is no UTF-8": frame(TEXT, b"\xff\xfe") + frame(PING, b"x"),
    "a reserved bit": frame(TEXT, b"{}", reserved=4) + frame(PING, b"x"),
    "no mask": frame(TEXT, b"{}", masked=False) + frame(PING, b"x"),
    "an unknown opcode": frame(3, b"x") + frame(PING),
    "a close that is none": frame(8, b"\x00") + frame(PING),
    "a long ping": frame(PING, b"x" * 126) + frame(TEXT, b"{}"),
    "half a message in another": frame(TEXT, b"a", fin=False) + frame(TEXT, b"{}"),
    "deep JSON": frame(TEXT, b"[" * 60_000) + frame(PING),
    "half a character": frame(TEXT, b'{"id": "\\ud800", "text": "\\ud800"}'),
    "a number for a text": frame(TEXT, b'{"id": 1, "text": 1e999}'),
    "a token of half a character": frame(TEXT, b'{"token": "\\ud800"}'),
}


def strange_bytes(where: Where, seconds: float, times: int = 1) -> dict:
    """Requests and frames that are none, or hardly: to be answered, or closed."""
    values = {
        b"host": where.host.encode(),
        b"origin": where.origin.encode(),
        b"token": where.token(OTHER_ROOM, ATTACKER).encode(),
    }
    lines = {}
    for _ in range(times):
        for what, request in STRANGE.items():
            # TLS has a % of its own, and no values.
            data = request % values if b"%(" in request else request
            lines[Line(connect(where), iter([data]), until_answered=True)] = what
        for what, data in BEHIND.items():
            joined = open_socket(where, OTHER_ROOM, ATTACKER + len(lines) // EACH)
            lines[Line(joined, iter([data]), until_answered=True)] = what
    drive(where, [*lines], seconds)
    return over(lines) | {
        "unanswered": [what for line, what in lines.items() if line.off is None]
    }


def nothing(where: Where, seconds: float) -> dict:
    """No attack: the control."""
    time.sleep(seconds)  # This is the load, and waits for nothing.
    return {"off": 0.0, "left": 0, "said": {}, "sent": 0}


def together(found: list[dict]) -> dict:
    """Several rounds of an attack as one."""
    said: dict[str, int] = {}
    for each in found:
        for how, count in each["said"].items():
            said[how] = said.get(how, 0) + count
    ends = [each["off"] for each in found]
    return {
        **found[-1],
        "off": None if None in ends else max(ends),
        "left": max(each["left"] for each in found),
        "sent": sum(each["sent"] for each in found),
        "said": said,
        "rounds": len(found),
    }


@dataclass(frozen=True)
class Attack:
    """An attack, and `within` how many seconds it has to be off or refused.

    `small` are the sizes with which a test runs it. With `lasts`, it goes on for so
    many seconds by itself; else it is repeated until ten are over. `left` are the
    connections that may stay.
    """

    function: Callable[..., dict]
    within: float
    small: dict = field(default_factory=dict)
    lasts: float | None = None
    left: int = 0

    @property
    def patience(self) -> float:
        """For how many seconds the attacker stays, if the server lets it."""
        return self.lasts or min(2 * self.within + 10, self.within + 20)


ATTACKS = {
    attack.function.__name__: attack
    for attack in [
        Attack(nothing, 1, lasts=15),
        Attack(form, 1, {"megabytes": 5}),
        Attack(form_of_ours, 1, {"megabytes": 5}),
        Attack(multipart, 1, {"megabytes": 3}),
        Attack(one_value, 1, {"megabytes": 40}),
        Attack(in_chunks, 1, {"megabytes": 5}),
        Attack(long_head, 1, {"megabytes": 1}),
        Attack(pieces_of_100, 6, {"megabytes": 3}),
        Attack(pieces_of_1000, 6, {"megabytes": 8}),
        Attack(claims, 6, {"megabytes": 20}),
        Attack(unfinished, 16, {"count": 5}),
        Attack(empty_fragments, 6, {"megabytes": 1}),
        Attack(pings, 6, {"megabytes": 5}),
        Attack(pings_unread, 6, {"megabytes": 20}),
        Attack(pongs, 6, {"megabytes": 5}),
        Attack(who_is_here, 6, {"megabytes": 1}),
        Attack(renewals, 6, {"megabytes": 1}),
        Attack(pipelined, 65, {"gets": 10}),
        # Who is refused has as long as anybody to read what was asked for before.
        Attack(asks_for_all, 65, {"connections": 2}),
        Attack(never_reads, 65, {"sockets": 6}),
        Attack(known_id, 6, {"times": 500}),
        Attack(flood_same_room, 6, lasts=15),
        Attack(flood_other_room, 6, lasts=15),
        Attack(flood_by_post, 6, lasts=15),
        # Ten seconds for a head, and five to read the answer.
        Attack(slow_heads, 15, {"count": 20}),
        Attack(slow_bodies, 22, {"count": 20}),
        Attack(slow_handshakes, 15, {"count": 20}),
        Attack(no_token, 12, {"count": 10}),
        Attack(silent, 12, {"count": 20}),
        Attack(idle, 80, {"count": 20}),
        Attack(vanished_sockets, 65, {"count": 5}),
        Attack(vanished_polls, 105, {"count": 5}),
        Attack(connections, 12, {"count": 300}),
        Attack(asking_at_once, 12, {"count": 300}, left=200),
        Attack(from_many, 12, {"count": 300}),
        Attack(bad_tokens, 5, {"count": 400}),
        Attack(bad_hellos, 10, {"count": 400}),
        Attack(of_one_user, 5, {"count": 25}, left=20),
        Attack(never_closes, 8, {"count": 5}),
        Attack(strange_bytes, 12),
    ]
}
AT_LEAST = 10.0  # seconds for which an attack is repeated
MOST_ROUNDS = 20


def run(
    where: dict, name: str, sizes: dict, seconds: float, at_least: float = AT_LEAST
) -> dict:
    """Do an attack, again until `at_least` so many seconds are over.

    Each time it stays for `seconds`. Each time, its clients come from another address.
    """
    attack, site = ATTACKS[name], Where(**where)
    number = [*ATTACKS].index(name) * 10
    begun, found = time.monotonic(), []
    while not found or time.monotonic() < begun + at_least:
        try:
            found.append(attack.function(site.of(number), seconds, **sizes))
        except (OSError, ValueError) as error:
            found.append(
                {"off": 0.0, "left": 0, "sent": 0, "said": {f"not let in: {error}": 1}}
            )
        number += 1
        if found[-1]["off"] is None or len(found) == MOST_ROUNDS:
            break
        if attack.lasts is None:
            time.sleep(0.5)  # between two rounds of the load; waits for nothing
    return together(found) | {"begun": begun, "ended": time.monotonic()}


if __name__ == "__main__":
    # On a small machine, what an attacker computes would be in the figures of others.
    if hasattr(os, "nice"):
        os.nice(5)
    socket.setdefaulttimeout(10)
    print(json.dumps(run(**json.loads(sys.argv[1]))))
