"""The end of a WebSocket that a protocol sees, without a network."""

from __future__ import annotations

from wsproto.utilities import LocalProtocolError

from tests.support.requests import token


class Transport:
    """Remembers what a protocol asks of it. `closing` makes it refuse to send."""

    def __init__(self):
        self.sent: list[str] = []
        self.closed: int | None = None
        self.has_producer = True
        self.closing = False

    def begin_to_close(self) -> None:
        """Let the client say that it goes: nothing more may be sent to it."""
        self.closing = True

    def sendTextMessage(self, text: str) -> None:
        if self.closing:
            raise LocalProtocolError("closing")
        self.sent.append(text)

    def loseConnection(self, code: int = 1000) -> None:
        if self.closing:
            raise LocalProtocolError("closing")
        self.closed = code

    def detachProducer(self) -> None:
        self.has_producer = False


def connect(factory):
    """Let a client connect, and say nothing yet; returns its protocol."""
    client = factory.buildProtocol(None)
    client.negotiationStarted(Transport())
    client.negotiationFinished()
    return client


def join(factory, room: int = 1):
    """Let a client join; returns its protocol."""
    client = connect(factory)
    if hasattr(factory, "rooms"):
        client.textMessageReceived(token(room))
    return client


def sent(client) -> list[str]:
    """What a client was sent after its greeting."""
    return client.transport.sent[1:]
