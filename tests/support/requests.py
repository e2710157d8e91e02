"""HTTP requests without a network, for the resources of a stage."""

from __future__ import annotations

import io
import json
import time
import uuid
from types import SimpleNamespace
from urllib.parse import urlencode

from django.core.signing import Signer, TimestampSigner
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET
from twisted.web.test.requesthelper import DummyRequest

ORIGIN = b"http://127.0.0.1:8000"


# Not asked of the classes under test: they may be wrong.
KEY = "the key of the tests"
DAY = 24 * 60 * 60  # seconds; so long is the life of a token, unless a test says less
_rooms = TimestampSigner(key=KEY, salt="chat.room", fallback_keys=[])
_names = Signer(key=KEY, salt="chat.names", fallback_keys=[])
# Does a token say whose it is? Whoever loads the classes of a folder says so.
names = False


def token(
    room: int = 1, user: int = 1, name: str = "Ann", expires: float | None = None
) -> str:
    """What our pages give the clients of a room; the exercises ask for it.

    From `6_names` on it is one user's, and good until `expires`, in seconds since the
    epoch; without it, for a day.
    """
    if not names:
        return room_token(room)
    expires = time.time() + DAY if expires is None else expires
    return ticket(room, user, name, expires)


def room_token(room: int) -> str:
    """A token of the exercises before `6_names`, signed with KEY."""
    return _rooms.sign(str(room))


def ticket(room: int, user: int, name: str, expires: float) -> str:
    """A token from `6_names` on, signed with KEY."""
    said = {"room": room, "user": user, "name": name, "expires": expires}
    return _names.sign_object(said)


class FakeRequest(DummyRequest):
    """A request of our own page, with what was answered. If `full`, nobody reads."""

    full = False
    producer = None

    def __init__(
        self, method: str, room: int = 1, bearer: str | None = None, **args: str
    ):
        super().__init__([b""])
        self.method = method.encode()
        self.args = {name.encode(): [text.encode()] for name, text in args.items()}
        self.uri = b"/"
        self.content = io.BytesIO(urlencode(args).encode())
        self.guard = SimpleNamespace(let_in=lambda address: True)
        self.channel = SimpleNamespace()
        self.requestHeaders.addRawHeader(b"host", b"127.0.0.1")
        self.requestHeaders.addRawHeader(b"origin", ORIGIN)
        shown = f"Bearer {bearer or token(room)}".encode()
        self.requestHeaders.addRawHeader(b"authorization", shown)

    def getClientAddress(self):
        """Where it comes from: this machine."""
        return IPv4Address("TCP", "127.0.0.1", 1234)

    def render(self, resource) -> FakeRequest:
        """Let `resource` answer, or park the request. Returns the request."""
        body = resource.render(self)
        if body is not NOT_DONE_YET:
            self.write(body)
            self.finish()
        return self

    @property
    def reply(self) -> dict | None:
        """The JSON answer; None while there is none."""
        return json.loads(b"".join(self.written)) if self.finished else None

    def registerProducer(self, producer, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def write(self, data: bytes) -> None:
        super().write(data)
        if self.full and self.producer:
            self.producer.pauseProducing()

    def leave(self) -> None:
        """Let the client hang up."""
        if self.producer:
            self.producer.stopProducing()
        self.processingFailed(Failure(ConnectionDone()))


def get(
    http_chat, cursor: float | tuple = 0.0, room: int = 1, **more: str
) -> FakeRequest:
    """Ask for what comes after `cursor`: a timestamp, or (epoch, seq).

    `more` are other fields of the question, and `bearer` another token.
    """
    if isinstance(cursor, tuple):
        epoch, seq = cursor
        more |= {"epoch": epoch, "seq": f"{seq}"}
    else:
        more["lastupdate"] = repr(cursor)
    return FakeRequest("GET", room, **more).render(http_chat)


def post(
    http_chat, text: str, room: int = 1, id: str | None = None, **more: str
) -> FakeRequest:
    """Say `text`; from `3_history` on a message needs an `id`. `more` as in `get`."""
    more |= {"new_message": text, "id": id or uuid.uuid4().hex}
    return FakeRequest("POST", room, **more).render(http_chat)
