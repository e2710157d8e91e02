"""The end of a WebSocket that a protocol sees, without a network."""

from __future__ import annotations

import inspect
import json
import uuid
from types import SimpleNamespace

from twisted.internet.task import Clock
from wsproto import Connection, ConnectionType
from wsproto.events import TextMessage
from wsproto.utilities import LocalProtocolError

from tests.support.requests import token


class Transport:
    """Remembers what a protocol asks of it. `closing` makes it refuse to send."""

    def __init__(self):
        self.sent: list[str] = []
        self.closed: int | None = None
        self.has_producer = True
        self.closing = False
        self.tcp = Tcp(self.sent)

    def begin_to_close(self) -> None:
        """Let the client say that it goes: nothing more may be sent to it."""
        self.closing = self.tcp.disconnecting = True

    def sendTextMessage(self, text: str) -> None:
        if self.closing:
            raise LocalProtocolError("closing")
        self.sent.append(text)

    def loseConnection(self, code: int = 1000) -> None:
        if self.closing:
            raise LocalProtocolError("closing")
        self.closed = code
        self.tcp.disconnecting = True

    def attachProducer(self, producer) -> None:
        self.has_producer = producer

    def detachProducer(self) -> None:
        self.has_producer = False


class Tcp:
    """What carries a WebSocket: takes the bytes of whole frames, some or all.

    The texts in them are appended to `sent`. `takes` is how many bytes the kernel takes
    at a time; `written` keeps what had to wait for the reactor, `calls` counts.
    """

    def __init__(self, sent: list[str]):
        self.sent = sent
        self.disconnecting = self.aborted = False
        self.takes: int | Exception = 1 << 20
        self.written = b""
        self.calls = 0
        self._browser, self._begun = Connection(ConnectionType.CLIENT), ""

    def write(self, data: bytes) -> None:
        assert not self.disconnecting, "nothing may follow a close frame"
        self.calls += bool(data)
        self.written += data
        self._receive(data)

    def writeSomeData(self, data: bytes) -> int | Exception:
        assert not self.disconnecting, "nothing may follow a close frame"
        self.calls += 1
        if isinstance(self.takes, int):
            self._receive(data[: self.takes])
            return min(len(data), self.takes)
        return self.takes

    def abortConnection(self) -> None:
        self.aborted = True

    def _receive(self, data: bytes) -> None:
        self._browser.receive_data(data)
        for event in self._browser.events():
            assert isinstance(event, TextMessage), event
            self._begun += event.data
            if event.message_finished:
                self.sent.append(self._begun)
                self._begun = ""


class Reactor(Clock):
    """A clock, and the transports in which something waits to be sent: `writers`.

    What is due at once it does at once, but for functions with a name in `next_turn`.
    """

    def __init__(self):
        super().__init__()
        self.writers: list[Tcp] = []
        self.next_turn: set[str] = set()

    def callLater(self, delay, function, *args, **kwargs):
        if delay == 0 and function.__name__ not in self.next_turn:
            return function(*args, **kwargs)
        return super().callLater(delay, function, *args, **kwargs)

    def turn(self) -> None:
        """Do what is due now."""
        self.advance(0)

    def getWriters(self) -> list[Tcp]:
        return self.writers


def connect(factory):
    """Let a client connect, and say nothing yet; returns its protocol."""
    transport = Transport()
    client = factory.buildProtocol(SimpleNamespace(transport=transport.tcp))
    client.negotiationStarted(transport)
    client.negotiationFinished()
    return client


def has_history(client) -> bool:
    """Are frames JSON, and messages numbered? `client` is a protocol, or its class."""
    return hasattr(client, "say")


def join(factory, room: int = 1, cursor: tuple | None = None):
    """Let a client join, with the (epoch, seq) that it has; returns its protocol."""
    client = connect(factory)
    if hasattr(factory, "rooms"):
        show(client, token(room), cursor)
    return client


def show(client, token: str, cursor: tuple | None = None) -> None:
    """Let a client say its token, and its cursor if it has one."""
    if has_history(client):
        said = {"token": token}
        if cursor is not None:
            said["epoch"], said["seq"] = cursor
        token = json.dumps(said)
    client.textMessageReceived(token)


def say(client, text: str, id: str | None = None) -> None:
    """Let a client say `text`."""
    if has_history(client):
        text = json.dumps({"id": id or uuid.uuid4().hex, "text": text})
    client.textMessageReceived(text)


def say_in(room, text: str) -> None:
    """Say `text` in a room, or in the one that all share, as the server's own code."""
    needs_id = "id" in inspect.signature(room.say).parameters
    room.say(text, *[uuid.uuid4().hex] * needs_id)


def batches(client) -> list[dict]:
    """What a client was sent, from `3_history` on."""
    return [json.loads(frame) for frame in client.transport.sent]


def sent(client) -> list[str]:
    """The texts that a client was sent after its greeting, or after its history."""
    if has_history(client):
        data = [message for batch in batches(client)[1:] for message in batch["data"]]
        return [message["text"] for message in data]
    return client.transport.sent[1:]
