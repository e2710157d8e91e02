"""Connections of somebody who keeps no rules: what is sent, and when it is over."""

from __future__ import annotations

import json
import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field

from .site import Where

LOOK = 0.1  # seconds between two looks at whom the server still holds
CHUNK = 65536  # bytes
MOST_KEPT = 1 << 20  # bytes of what came that are kept
PATIENCE = 10.0  # seconds that a server has for an answer
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
NO_MASK = b"\0\0\0\0"  # a mask that changes nothing, and is one


def frame(
    opcode: int,
    payload: bytes = b"",
    fin: bool = True,
    reserved: int = 0,
    claims: int | None = None,
    masked: bool = True,
) -> bytes:
    """A frame as a client sends it.

    It may claim to be longer than its payload is.
    """
    length = len(payload) if claims is None else claims
    head = bytes([fin << 7 | reserved << 4 | opcode])
    bit = masked << 7
    if length < 126:
        head += bytes([bit | length])
    elif length < 1 << 16:
        head += struct.pack("!BH", bit | 126, length)
    else:
        head += struct.pack("!BQ", bit | 127, length)
    return head + (NO_MASK if masked else b"") + payload


def frames(data: bytes) -> Iterator[tuple[int, bytes, bool]]:
    """The whole frames of a server in `data`: (opcode, payload, final).

    What is no frame, or not whole, ends them.
    """
    while len(data) >= 2:
        length, start = data[1] & 127, 2
        if length > 125:
            start = 4 if length == 126 else 10
            length = int.from_bytes(data[2:start], "big")
        if len(data) < start + length:
            return
        yield data[0] & 15, bytes(data[start : start + length]), bool(data[0] & 128)
        data = data[start + length :]


def closed_with(data: bytes) -> int | None:
    """The close code in what a server sent on a socket, None without one."""
    for opcode, payload, _ in frames(data):
        if opcode == CLOSE:
            return int.from_bytes(payload[:2], "big") if payload else 1005
    return None


def status_of(data: bytes) -> int | None:
    """The status of the HTTP answer at the beginning of `data`, None without one."""
    words = data[:20].split()
    if len(words) > 1 and words[0].startswith(b"HTTP/") and words[1].isdigit():
        return int(words[1])
    return None


def head(where: Where, line: str, *more: str, host: bool = True) -> bytes:
    """A request without its body; `more` are header lines."""
    lines = [f"{line} HTTP/1.1", *([f"Host: {where.host}"] if host else []), *more]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def shows(where: Where, room: int = 1, user: int = 1) -> list[str]:
    """The header lines of a request with a good token."""
    token = where.token(room, user)
    return [f"Origin: {where.origin}", f"Authorization: Bearer {token}"]


def look_in(where: Where, room: int) -> None:
    """Ask once for the history of a room, and read the answer. Raises OSError."""
    question = head(where, "GET /", *shows(where, room), "Connection: close")
    with closing(connect(where)) as connection:
        connection.sendall(question)
        while connection.recv(1 << 16):
            pass


def handshake(where: Where, *more: str, origin: bool = True, host: bool = True):
    """The request that opens a WebSocket; `more` are header lines."""
    return head(
        where,
        "GET /ws",
        *([f"Origin: {where.origin}"] if origin else []),
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        *more,
        host=host,
    )


def hello(where: Where, room: int = 1, user: int = 1) -> bytes:
    """The frame by which a socket shows a good token."""
    said = {"token": where.token(room, user)}
    return frame(TEXT, json.dumps(said).encode())


def saying(text: str, id: str) -> bytes:
    """The frame by which a socket says something."""
    return frame(TEXT, json.dumps({"id": id, "text": text}).encode())


def connect(where: Where, receive: int | None = None) -> socket.socket:
    """A connection from the address of `where`, that waits for PATIENCE at most.

    With `receive`, the system keeps about so many bytes for who does not read.
    """
    connection = socket.socket()
    try:
        connection.settimeout(PATIENCE)
        if receive:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        connection.bind((where.source, 0))
        connection.connect(("127.0.0.1", where.port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        connection.close()
        raise
    return connection


def read_until(connection: socket.socket, done: Callable[[bytes], bool]) -> bytes:
    """Read until `done` of all that came. Raises OSError if it does not come to that.

    Reads small pieces, so that what comes later is left where it is.
    """
    came = b""
    while not done(came):
        data = connection.recv(1)
        if not data:
            raise ConnectionError(f"The server hung up. It had sent {came[:200]!r}.")
        came += data
    return came


def open_socket(
    where: Where, room: int = 1, user: int = 1, receive: int | None = None, reads=True
) -> socket.socket:
    """A WebSocket that is in the room, or that will be and `reads` nothing of it.

    Raises OSError if it is not let in.
    """
    connection = connect(where, receive)
    try:
        connection.sendall(handshake(where))
        came = read_until(connection, lambda came: came.endswith(b"\r\n\r\n"))
        if status_of(came) != 101:
            raise ConnectionError(f"The server answered {came[:200]!r}.")
        connection.sendall(hello(where, room, user))
        if reads:
            read_frame(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def read_frame(connection: socket.socket) -> bytes:
    """Read one frame, and no more. Returns its payload. Raises OSError."""
    came = exactly(connection, 2)
    length = came[1] & 127
    if length > 125:
        more = exactly(connection, 2 if length == 126 else 8)
        length = int.from_bytes(more, "big")
    payload = exactly(connection, length)
    if came[0] & 15 == CLOSE:
        code = int.from_bytes(payload[:2], "big")
        raise ConnectionError(f"The server closed the socket with {code}.")
    return payload


def exactly(connection: socket.socket, count: int) -> bytes:
    """Read so many bytes. Raises OSError."""
    came = bytearray()
    while len(came) < count:
        data = connection.recv(min(count - len(came), 1 << 20))
        if not data:
            raise ConnectionError("The server hung up.")
        came += data
    return bytes(came)


@dataclass(eq=False)
class Line:
    """One connection of an attacker.

    It sends what `feed` gives, as fast as it goes, or a piece every `pause` seconds. It
    `reads` what comes, or not. With `until_answered` it is over as soon as the server
    has begun to answer; else when the server has let go of it.
    """

    connection: socket.socket
    feed: Iterator[bytes] = field(default_factory=lambda: iter(()))
    reads: bool = True
    pause: float = 0.0
    until_answered: bool = False
    came: bytearray = field(default_factory=bytearray)
    sent: int = 0
    off: float | None = None  # seconds from the beginning
    ended: bool = False  # The connection is over, as far as we can see.
    rest: bytes = b""
    due: float = 0.0

    def __post_init__(self):
        self.connection.setblocking(False)
        self.name = self.connection.getsockname()

    def take(self) -> None:
        """Read what is there, but not for ever."""
        try:
            for _ in range(16):
                if not (data := self.connection.recv(1 << 18)):
                    self.ended = True
                    return
                self.came += data[: max(0, MOST_KEPT - len(self.came))]
        except BlockingIOError:
            pass
        except OSError:
            self.ended = True

    def give(self, now: float) -> bool:
        """Send a piece, if it is time for one. Returns whether there will be more."""
        try:
            if not self.rest:
                if self.pause and now < self.due:
                    return True
                self.due = now + self.pause
                self.rest = next(self.feed)
            count = self.connection.send(self.rest)
            self.sent += count
            self.rest = self.rest[count:]
        except BlockingIOError:
            pass
        except (StopIteration, OSError):
            return False
        return True


def drive(where: Where, lines: list[Line], seconds: float) -> list[Line]:
    """Do what the lines are for, until all are over, or for so many seconds.

    Then `off` of each says when it was over, None for not at all. All are closed.
    """
    begun = now = looked = time.monotonic()
    there = {*lines}
    dripping = {line for line in lines if line.pause}
    with selectors.DefaultSelector() as ready:

        def wait_for(line: Line, writes: bool) -> None:
            events = selectors.EVENT_WRITE * writes
            events |= selectors.EVENT_READ * (line.reads and not line.ended)
            if line.connection in ready.get_map():
                ready.unregister(line.connection)
            if events:
                ready.register(line.connection, events, line)

        for line in lines:
            wait_for(line, writes=not line.pause)
        while there and now < begun + seconds:
            for key, events in ready.select(0.02):
                line = key.data
                if events & selectors.EVENT_READ:
                    line.take()
                if line.ended or events & selectors.EVENT_WRITE and not line.give(now):
                    wait_for(line, writes=False)
            now = time.monotonic()
            dripping = {line for line in dripping if line.give(now)}
            if not ready.get_map():
                time.sleep(0.02)  # how often to look
            if now > looked + LOOK:
                looked, held = now, where.held()
                for line in [*there]:
                    answered = line.until_answered and line.came
                    if answered or line.name not in held:
                        line.off = now - begun
                        there.discard(line)
    for line in lines:
        if line.reads:
            line.take()
        line.connection.close()
    return lines


def over(lines: Iterable[Line]) -> dict:
    """What became of lines: when the last was "off", how many are "left", and how."""
    lines = list(lines)
    ends = [line.off for line in lines]
    said: dict[str, int] = {}
    for line in lines:
        how = how_it_ended(line)
        said[how] = said.get(how, 0) + 1
    return {
        "off": None if None in ends or not ends else max(ends),
        "left": ends.count(None),
        "lines": len(lines),
        "sent": sum(line.sent for line in lines),
        "said": said,
    }


def how_it_ended(line: Line) -> str:
    """The status with which a server answered a line, or its close code."""
    came = bytes(line.came)
    status = status_of(came)
    if status == 101:
        came = came.partition(b"\r\n\r\n")[2]
        status = None
    if status is not None:
        return f"{status}"
    code = closed_with(came)
    if code is not None:
        return f"closed {code}"
    return "dropped" if line.off is not None else "there"
