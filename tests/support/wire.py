"""A whole site without a network: bytes go in at one end, bytes come out there."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from wsproto import Connection, ConnectionType
from wsproto.events import Event

from tests.support.requests import ORIGIN

HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


class Transport(StringTransport):
    """What carries a connection, and may be closed on our side only."""

    has_said_all = False

    def loseWriteConnection(self) -> None:
        self.has_said_all = True


class Wire:
    """One connection to the site of a `Whole`; what goes wrong there is raised here."""

    def __init__(self, whole, peer: str = "127.0.0.1"):
        root = whole.root()
        root.putChild(b"ws", whole.web_socket)
        if whole.http_chat:
            root.putChild(b"", whole.http_chat)
        self.transport = Transport(peerAddress=IPv4Address("TCP", peer, 1234))
        self.channel = whole.site(root).buildProtocol(self.transport.getPeer())
        if self.channel:
            self.channel.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        """Let these bytes arrive together."""
        with warnings.catch_warnings():
            # Twisted's own page for an error comes from a function it has deprecated.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.channel.dataReceived(data)

    def request(self, line: str, body: bytes = b"", **headers: str) -> None:
        """Send a request; underscores in `headers` stand for hyphens."""
        given = {"Host": "127.0.0.1:1025", "Origin": ORIGIN.decode()}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{line} HTTP/1.1", *[f"{name}: {given[name]}" for name in given]]
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def open_socket(self) -> None:
        """Shake hands for a WebSocket."""
        self.request("GET /ws", **HANDSHAKE)
        assert b" 101 " in self.came, self.came

    @property
    def came(self) -> bytes:
        """What the site has answered so far."""
        return self.transport.value()

    def is_closed(self) -> bool:
        """Does the site say no more here?"""
        return self.transport.disconnecting or self.transport.has_said_all

    def leave(self) -> None:
        """Let the connection be lost."""
        self.transport.producer = None  # as a real one does
        self.channel.connectionLost(Failure(ConnectionDone()))


@contextmanager
def connected(whole, peer: str = "127.0.0.1") -> Iterator[Wire]:
    """A connection from the address `peer` that is lost in the end."""
    wire = Wire(whole, peer)
    try:
        yield wire
    finally:
        wire.leave()


def frames(*events: Event) -> bytes:
    """The bytes of these WebSocket events, as a client sends them."""
    client = Connection(ConnectionType.CLIENT)
    return b"".join(client.send(event) for event in events)
