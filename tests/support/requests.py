"""HTTP requests without a network, for the resources of a stage."""

from __future__ import annotations

import json
import uuid

from django.core.signing import TimestampSigner
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET
from twisted.web.test.requesthelper import DummyRequest

ORIGIN = b"http://127.0.0.1:8000"


def token(room: int = 1) -> str:
    """What our pages give the clients of a room; the exercises ask for it."""
    return _signer.sign(str(room))


# Not asked of the classes under test: they may be wrong.
KEY = "the key of the tests"
_signer = TimestampSigner(key=KEY, salt="chat.room", fallback_keys=[])


class FakeRequest(DummyRequest):
    """A request of our own page, with what was answered."""

    def __init__(self, method: str, room: int = 1, **args: str):
        super().__init__([b""])
        self.method = method.encode()
        self.args = {name.encode(): [text.encode()] for name, text in args.items()}
        self.requestHeaders.addRawHeader(b"origin", ORIGIN)
        bearer = f"Bearer {token(room)}".encode()
        self.requestHeaders.addRawHeader(b"authorization", bearer)

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

    def leave(self) -> None:
        """Let the client hang up."""
        self.processingFailed(Failure(ConnectionDone()))


def get(http_chat, cursor: float | tuple = 0.0, room: int = 1) -> FakeRequest:
    """Ask for what comes after `cursor`: a timestamp, or (epoch, seq)."""
    if isinstance(cursor, tuple):
        epoch, seq = cursor
        return FakeRequest("GET", room, epoch=epoch, seq=f"{seq}").render(http_chat)
    return FakeRequest("GET", room, lastupdate=repr(cursor)).render(http_chat)


def post(http_chat, text: str, room: int = 1, id: str | None = None) -> FakeRequest:
    """Say `text`; from `3_history` on a message needs an `id`."""
    id = id or uuid.uuid4().hex
    return FakeRequest("POST", room, new_message=text, id=id).render(http_chat)
