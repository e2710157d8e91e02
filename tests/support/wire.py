"""A whole site without a network: bytes go in at one end, bytes come out there."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import Site
from wsproto import Connection, ConnectionType
from wsproto.events import Event

from tests.support.requests import ORIGIN

HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


class Wire:
    """One connection to the site of a `Whole`; what goes wrong there is raised here."""

    def __init__(self, whole):
        root = Resource()
        root.putChild(b"ws", whole.web_socket)
        if whole.http_chat:
            root.putChild(b"", whole.http_chat)
        self.channel = Site(root, timeout=None).buildProtocol(None)
        self.transport = StringTransport()
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


@contextmanager
def connected(whole) -> Iterator[Wire]:
    """A connection that is lost in the end."""
    wire = Wire(whole)
    try:
        yield wire
    finally:
        wire.channel.connectionLost(Failure(ConnectionDone()))


def frames(*events: Event) -> bytes:
    """The bytes of these WebSocket events, as a client sends them."""
    client = Connection(ConnectionType.CLIENT)
    return b"".join(client.send(event) for event in events)
