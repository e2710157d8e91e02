"""WebSocket clients for black-box tests, whose failures read as sentences."""

from __future__ import annotations

import base64
import os
import socket

from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.sync.client import connect

GREETING = "connected ...."
SECONDS = 3.0  # how long a client waits for what it should hear


def short(text: str) -> str:
    """`text` as it fits into a sentence."""
    return (
        repr(text) if len(text) <= 60 else f"{text[:20]!r}... ({len(text)} characters)"
    )


class Client:
    """A browser's end of a WebSocket, driven by a test."""

    def __init__(self, chat, name: str):
        self.name = name
        self.connection = connect(
            chat.ws_url, origin=chat.origin, proxy=None, compression=None
        )

    def __enter__(self) -> Client:
        self.socket = self.connection.__enter__()
        self.hears(GREETING, because="a new client is told so on joining")
        return self

    def __exit__(self, *exc) -> None:
        self.connection.__exit__(*exc)

    def say(self, message: str | bytes) -> None:
        """Send one message: text as text, bytes as binary."""
        self.socket.send(message)

    def hears(self, *expected: str, because: str) -> None:
        """Receive as many messages as `expected` and compare them.

        Raises AssertionError with a sentence that says what should have come,
        what came instead, and the reason, `because`.
        """
        __tracebackhide__ = True
        for text in expected:
            came = self._receive()
            assert came == short(text), (
                f"{self.name} should hear {short(text)}, because {because}. "
                f"Instead: {came}."
            )

    def _receive(self) -> str:
        try:
            return short(self.socket.recv(timeout=SECONDS))
        except TimeoutError:
            return f"nothing in {SECONDS:g} s"
        except ConnectionClosed as closed:
            return f"the server closed the connection ({closed})"

    def is_closed_with(self, code: int, because: str) -> None:
        """Wait until the server closes, and compare its close code.

        Raises AssertionError with a sentence if the connection stays open, or is
        closed with another code or none.
        """
        __tracebackhide__ = True
        should = (
            f"The server should close {self.name}'s connection with code {code}, "
            f"because {because}."
        )
        try:
            while True:
                self.socket.recv(timeout=SECONDS)
        except ConnectionClosed as closed:
            came = closed.rcvd.code if closed.rcvd else "none"
            assert came == code, f"{should} The code was {came}."
        except TimeoutError:
            raise AssertionError(
                f"{should} It is still open after {SECONDS:g} s."
            ) from None


class RawClient:
    """A WebSocket on a bare socket, for what a proper library does not do."""

    def __init__(self, chat, receive_buffer: int | None = None):
        self.socket = socket.socket()
        self.socket.settimeout(SECONDS)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", chat.chat_port))
        self.socket.sendall(handshake(chat))

    def __enter__(self) -> RawClient:
        # The greeting is the last thing that comes by itself.
        self.read_until(GREETING.encode())
        return self

    def __exit__(self, *exc) -> None:
        self.socket.close()

    def read_until(self, mark: bytes) -> bytes:
        """Read until `mark` has come; returns all that came.

        Raises AssertionError if the server closes first or is silent for SECONDS.
        """
        came = b""
        while mark not in came:
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                data = b""
            assert data, (
                f"The server should have sent {mark!r}; it sent {came[-80:]!r}."
            )
            came = came[-len(mark) :] + data
        return came

    def send_frame(self, opcode: Opcode, payload: bytes) -> None:
        """Send one final, masked frame."""
        self.socket.sendall(Frame(opcode, payload).serialize(mask=True))

    def reset(self) -> None:
        """Vanish without a closing handshake, as a phone does in a tunnel."""
        on, no_seconds = 1, 0
        linger = on.to_bytes(4, "little") + no_seconds.to_bytes(4, "little")
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.socket.close()


def handshake(chat, **changes: str | None) -> bytes:
    """A handshake request as a browser on our page sends it.

    `changes` replace headers (underscores stand for hyphens); None leaves one out.
    """
    headers = {
        "Host": f"127.0.0.1:{chat.chat_port}",
        "Origin": chat.origin,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
    }
    headers.update({name.replace("_", "-"): text for name, text in changes.items()})
    lines = [f"{name}: {text}" for name, text in headers.items() if text is not None]
    return "\r\n".join(["GET /ws HTTP/1.1", *lines, "", ""]).encode("latin-1")


def answer_to(chat, request: bytes) -> tuple[int, str]:
    """Send `request` to the chat server; returns the status and the rest."""
    with socket.create_connection(("127.0.0.1", chat.chat_port), SECONDS) as connection:
        connection.sendall(request)
        answer = connection.recv(65536).decode("latin-1")
    status_line, _, rest = answer.partition("\r\n")
    return int(status_line.split()[1]), rest
