"""What both load generators need: bytes for the wire, and the check of what came."""

from __future__ import annotations

import json
import re
import socket
import sys
import time
from collections.abc import Callable

GREETING = b"connected ...."
NO_NEWS = b'"data": []}'  # the end of what who joins first is told, from exercise 3 on
SAID_AT = "2026-11-28T19:00:00.123Z"  # as long as any time that is told
LENGTH = 64  # bytes in one message
PATIENCE = 10.0  # seconds of silence after which what is missing counts as lost
SHORT = 125  # bytes in a frame whose length fits into one byte
MASK = bytes.fromhex("37fa213d") * 32


def text(number: int) -> bytes:
    """Message `number`: LENGTH bytes that begin with the number."""
    return b"%08d " % number + b"." * (LENGTH - 9)


def heading(port: int, line: str, **headers: str) -> bytes:
    """A request without its body; underscores in `headers` stand for hyphens."""
    # A page of the server's own speaks, so that every server lets it in.
    address = f"127.0.0.1:{port}"
    headers = {"Host": address, "Origin": f"http://{address}", **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"{line} HTTP/1.1", *lines, "", ""]).encode()


def connect(port: int) -> socket.socket:
    """A TCP connection to the server, that blocks, but not for longer than PATIENCE."""
    connection = socket.create_connection(("127.0.0.1", port), PATIENCE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def server_frame(payload: bytes) -> bytes:
    """A text frame as a server sends it: final, not masked."""
    length = len(payload)
    if length > SHORT:
        return bytes([0x81, 126]) + length.to_bytes(2, "big") + payload
    return bytes([0x81, length]) + payload


def client_frame(payload: bytes) -> bytes:
    """A text frame as a client sends it: short, final and masked.

    From exercise 3 on also what is as long as a token in JSON.
    """
    length = len(payload)
    head = bytes([0x81, 0x80 | length])
    if length > SHORT:
        head = bytes([0x81, 0x80 | 126]) + length.to_bytes(2, "big")
    mask = (MASK * (length // len(MASK) + 1))[:length]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")
    return head + MASK[:4] + masked.to_bytes(length, "big")


def says(number: int, epoch: str | None) -> bytes:
    """The frame by which message `number` is said; in JSON where there is an epoch."""
    if epoch is None:
        return client_frame(text(number))
    message = {"id": f"{number:08d}", "text": text(number).decode()}
    return client_frame(json.dumps(message).encode())


def timeless(frame: bytes) -> bytes:
    """A frame with another time in it: SAID_AT. All that is told has one as long."""
    return re.sub(rb'("said_at": ")[^"]*', rb"\g<1>" + SAID_AT.encode(), frame)


def told(number: int, epoch: str | None, author: dict | None = None) -> bytes:
    """The frame by which message `number` is told, as our servers write it.

    With an `author`, it has a time as well: SAID_AT.
    """
    if epoch is None:
        return server_frame(text(number))
    message = {
        "seq": number + 1,
        "id": f"{number:08d}",
        "text": text(number).decode(),
    }
    if author:
        message |= {"author": author, "said_at": SAID_AT}
    batch = {"status": 1, "epoch": epoch, "seq": number + 1, "reset": False}
    return server_frame(json.dumps(batch | {"data": [message]}).encode())


def join(
    port: int, token: str = "", history: bool = False
) -> tuple[socket.socket, str | None]:
    """Open a WebSocket, say the token if there is one, and return when greeted.

    Returns the epoch, too, where there is a `history`. No extension is offered, so no
    server compresses: like is compared with like.
    """
    connection = connect(port)
    connection.sendall(
        heading(
            port,
            "GET /ws",
            Connection="Upgrade",
            Upgrade="websocket",
            Sec_WebSocket_Version="13",
            Sec_WebSocket_Key="AAAAAAAAAAAAAAAAAAAAAA==",
        )
    )
    if token:
        read_until(connection, b"\r\n\r\n", most=1)
        hello = json.dumps({"token": token}) if history else token
        connection.sendall(client_frame(hello.encode()))
    # Behind the history may come who is here, which is no part of it.
    most = 1 if history else 4096
    came = read_until(connection, NO_NEWS if history else server_frame(GREETING), most)
    connection.setblocking(False)
    epoch = json.loads(came[came.index(b"{") :])["epoch"] if history else None
    return connection, epoch


def pass_over_who_is_here(connection: socket.socket) -> None:
    """Read what a socket is told once, when it has joined, and before anything else."""
    connection.setblocking(True)
    connection.settimeout(PATIENCE)
    read_until(connection, b"}]}")
    connection.setblocking(False)


def read_until(connection: socket.socket, end: bytes, most: int = 4096) -> bytes:
    """Read, at `most` bytes at once, until what came ends so; returns what came.

    Raises ConnectionError if the server hangs up before.
    """
    came = b""
    while not came.endswith(end):
        data = connection.recv(most)
        if not data:
            raise ConnectionError(f"The server hung up. It had sent {came!r}.")
        came += data
    return came


def problems(heard: list[list], said: list) -> list[str]:
    """What is wrong with what each client heard: nothing lost, doubled, out of order.

    Returns sentences, and an empty list if every client has all, once, in one order.
    """
    found = []
    for number, messages in enumerate(heard):
        if messages == said:
            continue
        known, came = set(said), set(messages)
        wrong = {
            "lost": len(known - came),
            "doubled": len(messages) - len(came),
            "never said": len(came - known),
        }
        words = [f"{count} {what}" for what, count in wrong.items() if count]
        found.append(f"client {number}: {', '.join(words) or 'out of order'}")
    return found


def stopwatch() -> Callable[[], dict[str, float]]:
    """Start the clock; calling what is returned stops it.

    That gives "seconds", and "generator", the share of one core that this process
    used: close to 1, and the generator is what was measured.
    """
    begun, cpu = time.perf_counter(), time.process_time()

    def stop() -> dict[str, float]:
        seconds = time.perf_counter() - begun
        return {
            "seconds": seconds,
            "generator": (time.process_time() - cpu) / seconds,
        }

    return stop


def main(measure: Callable[..., dict]) -> None:
    """Call `measure` with the JSON of the command line, and print its result."""
    print(json.dumps(measure(**json.loads(sys.argv[1]))))
