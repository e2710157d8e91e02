"""What both load generators need: bytes for the wire, and the check of what came."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable

GREETING = b"connected ...."
LENGTH = 64  # bytes in one message
PATIENCE = 10.0  # seconds of silence after which what is missing counts as lost
MASK = bytes.fromhex("37fa213d") * (LENGTH // 4)


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
    """A text frame as a server sends it: short, final, not masked."""
    return bytes([0x81, len(payload)]) + payload


def client_frame(payload: bytes) -> bytes:
    """A text frame as a client sends it: short, final and masked."""
    length = len(payload)
    mask = MASK[:length]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")
    return bytes([0x81, 0x80 | length]) + MASK[:4] + masked.to_bytes(length, "big")


def join(port: int, token: str = "") -> socket.socket:
    """Open a WebSocket, say the token if there is one, and return when greeted.

    No extension is offered, so no server compresses: like is compared with like.
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
        connection.sendall(client_frame(token.encode()))
    read_until(connection, server_frame(GREETING))
    connection.setblocking(False)
    return connection


def read_until(connection: socket.socket, end: bytes, most: int = 4096) -> None:
    """Read, at `most` bytes at once, until what came ends so.

    Raises ConnectionError if the server hangs up before.
    """
    came = b""
    while not came.endswith(end):
        data = connection.recv(most)
        if not data:
            raise ConnectionError(f"The server hung up. It had sent {came!r}.")
        came += data


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
