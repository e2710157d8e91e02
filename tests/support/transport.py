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
        self.pings, self.answers_pings, self.client = 0, True, None
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

    def ping(self, payload: bytes = b"") -> None:
        if self.closing:
            raise LocalProtocolError("closing")
        self.pings += 1
        if self.answers_pings:
            self.client.pongReceived(payload)

    def attachProducer(self, producer) -> None:
        self.has_producer = producer

    def detachProducer(self) -> None:
        self.has_producer = False


class Tcp:
    """What carries a WebSocket: takes the bytes of whole frames, some or all.

    The texts in them are appended to `sent`, and `calls` counts. While it is `deaf`,
    nothing is read from it.
    """

    def __init__(self, sent: list[str]):
        self.sent = sent
        self.disconnecting = self.aborted = self.deaf = False
        self.calls = 0
        self._browser, self._begun = Connection(ConnectionType.CLIENT), ""

    def write(self, data: bytes) -> None:
        assert not self.disconnecting, "nothing may follow a close frame"
        self.calls += bool(data)
        self._browser.receive_data(data)
        for event in self._browser.events():
            assert isinstance(event, TextMessage), event
            self._begun += event.data
            if event.message_finished:
                self.sent.append(self._begun)
                self._begun = ""

    def abortConnection(self) -> None:
        self.aborted = True

    def becomes(self, socket) -> None:
        """Know that this is a WebSocket now; `7_strangers` watches it."""

    def pauseProducing(self) -> None:
        self.deaf = True

    def resumeProducing(self) -> None:
        self.deaf = False


class Reactor(Clock):
    """A clock for which what is due at once is special.

    What is due at once it does at once, but for functions with a name in `next_turn`.
    """

    def __init__(self):
        super().__init__()
        self.next_turn: set[str] = set()

    def callLater(self, delay, function, *args, **kwargs):
        if delay == 0 and function.__name__ not in self.next_turn:
            return function(*args, **kwargs)
        return super().callLater(delay, function, *args, **kwargs)

    def turn(self) -> None:
        """Do what is due now."""
        self.advance(0)

    def timers(self) -> list:
        """What waits for its time, but for what belongs to being here, from 6 on."""
        return [call for call in self.getDelayedCalls() if name_of(call) not in HERE]


# Who is in the room is pinged, is told who else is, and has a token that will end.
HERE = ("beat", "gone", "tell_now", "refuse")


def name_of(call) -> str:
    """What the function of a delayed call is called."""
    return getattr(call.func, "__name__", "")


def connect(factory):
    """Let a client connect, and say nothing yet; returns its protocol."""
    transport = Transport()
    client = factory.buildProtocol(
        SimpleNamespace(transport=transport.tcp, address="127.0.0.1")
    )
    transport.client = client
    client.negotiationStarted(transport)
    client.negotiationFinished()
    return client


def limit(classes, name: str, setting: str = "") -> float:
    """What limits a client: in its protocol, from `7_strangers` on in the settings."""
    if hasattr(classes, "Limits"):
        return getattr(classes.Limits, setting or name)
    return getattr(classes.WebsocketChat, name)


def has_history(client) -> bool:
    """Are frames JSON, and messages numbered? `client` is a protocol, or its class."""
    return hasattr(client, "say")


def join(factory, room: int = 1, cursor: tuple | None = None, shown: str | None = None):
    """Let a client join, with the (epoch, seq) that it has; returns its protocol.

    It shows the token `shown`, or one for the room.
    """
    client = connect(factory)
    if hasattr(factory, "rooms"):
        show(client, shown or token(room), cursor)
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
    needed = inspect.signature(room.say).parameters
    more = [uuid.uuid4().hex] if "id" in needed else []
    if "ticket" in needed:
        more.append(SimpleNamespace(user=1, name="Ann"))
    room.say(text, *more)


def batches(client) -> list[dict]:
    """What a client was sent, from `3_history` on, but for who is here."""
    frames = [json.loads(frame) for frame in client.transport.sent]
    return [frame for frame in frames if "here" not in frame]


def told_here(client) -> list[list[str]]:
    """The names of who is here, each time that a client was told, from `6_names` on."""
    frames = [json.loads(frame) for frame in client.transport.sent]
    return [[one["name"] for one in f["here"]] for f in frames if "here" in f]


def sent(client) -> list[str]:
    """The texts that a client was sent after its greeting, or after its history."""
    if has_history(client):
        data = [message for batch in batches(client)[1:] for message in batch["data"]]
        return [message["text"] for message in data]
    return client.transport.sent[1:]
