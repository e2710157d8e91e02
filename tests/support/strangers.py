"""Clients that do what no proper one does: by halves, too much, too slowly, or never.

Each is a bare connection. What it sends may be refused while it is being sent: that is
no error here, for what the server says to it is what a test wants to know.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import pytest
from websockets.frames import Frame, Opcode
from wsproto import Connection, ConnectionType
from wsproto.events import CloseConnection, Event, Message, Ping, TextMessage

from tests.support.clients import SECONDS, handshake, short
from tests.support.polling import Answer, Reply, Request, ask, cursor_of, settle
from tests.support.servers import PEOPLE, Chat, new_id, wait_until

HOME, NEXT_DOOR = "127.0.0.1", "127.0.0.2"
CLOSED = "the server closed the connection"


def another_address() -> str:
    """A second address of this machine. Skips the test where there is none."""
    if not sys.platform.startswith("linux"):
        pytest.skip(
            f"only Linux has a second loopback address, {NEXT_DOOR}: what is for one "
            "address and not for another was not tested"
        )
    return NEXT_DOOR


class Line:
    """A connection to the chat server, from the `address` of a client. Silent at first.

    Use it in a `with` block.
    """

    def __init__(
        self, chat: Chat, address: str = HOME, receive_buffer: int | None = None
    ):
        self.chat, self.what = chat, "A connection"
        self.socket = socket.socket()
        self.socket.settimeout(SECONDS)
        if receive_buffer:  # bytes
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            self.socket.bind((address, 0))
            self.socket.connect((HOME, chat.chat_port))
        except OSError:
            self.socket.close()
            raise

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *exc) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes as they are, whether or not anybody takes them any more."""
        self.chat.note(f"A client sends {short(data)}")
        with suppress(ConnectionError):
            self.socket.sendall(data)

    def ask(
        self,
        method: str = "GET",
        path: str = "/",
        body: bytes = b"",
        headers: Iterable[tuple[str, str]] = (),
        **changes: str | None,
    ) -> Answer:
        """Send a request as our page does, and wait for the answer.

        `changes` replace its headers (underscores stand for hyphens), and None leaves
        one out; `headers` come besides. Raises as `answer` does.
        """
        __tracebackhide__ = True
        self.send(request(self.chat, method, path, body, headers, **changes))
        self.what = f"{method} {short(path)}"
        return self.answer(f"answer {self.what}")

    def answer(self, should: str) -> Answer:
        """Read one answer. Raises AssertionError, if there is none, with a sentence.

        It says what the server should do. An answer need not be JSON.
        """
        __tracebackhide__ = True
        try:
            response = http.client.HTTPResponse(self.socket)
            response.begin()
            text = response.read(1_000_000).decode("utf-8", "replace")
        except TimeoutError:
            raise AssertionError(
                f"The server should {should}. There is no answer after "
                f"{self.socket.gettimeout():g} s."
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise AssertionError(
                f"The server should {should}. It hung up ({error!r})."
            ) from None
        self.chat.note(f"It is answered {response.status} {short(text, 150)}")
        self.chat.note_status(self.chat.chat_port, self.what, response.status)
        try:
            reply = json.loads(text, object_hook=Reply)
        except ValueError:
            reply = Reply()
        reply = reply if isinstance(reply, Reply) else Reply()
        return Answer(response.status, response.headers, reply)

    def waits_no_longer(self) -> None:
        """What it is waiting for is due: give a busy machine a moment, and no more."""
        self.socket.settimeout(SECONDS / 2)

    def is_over(self, seconds: float = SECONDS) -> bool:
        """Does the server end the connection in so many seconds? Reads what comes."""
        self.socket.settimeout(seconds)
        try:
            while self.socket.recv(65536):
                pass
        except TimeoutError:
            return False
        except OSError:
            pass
        return True

    def is_dropped(self, because: str) -> None:
        """Wait until the server has nothing of the connection any more.

        Its own half may be closed, and the other one still cost it something. Raises
        AssertionError with a sentence if it keeps it.
        """
        __tracebackhide__ = True
        port = self.socket.getsockname()[1]
        wait_until(
            lambda: port not in self.chat.twisted.peers(),
            lambda: f"the server should drop a connection, because {because}",
            SECONDS,
        )

    def is_ended(self, because: str) -> None:
        """Wait until the server ends the connection.

        Raises AssertionError with a sentence if it does not.
        """
        __tracebackhide__ = True
        assert self.is_over(), (
            f"The server should end a connection, because {because}. It is still open "
            f"after {SECONDS:g} s."
        )


def request(
    chat: Chat,
    method: str = "GET",
    path: str = "/",
    body: bytes = b"",
    headers: Iterable[tuple[str, str]] = (),
    **changes: str | None,
) -> bytes:
    """The bytes of a request, as `Line.ask` sends it."""
    usual = {"Host": f"{HOME}:{chat.chat_port}", "Origin": chat.origin}
    if method == "POST":
        usual["Content-Type"] = "application/x-www-form-urlencoded"
    if body or method == "POST":
        usual["Content-Length"] = str(len(body))
    usual |= {name.replace("_", "-"): text for name, text in changes.items()}
    given = [(name, text) for name, text in usual.items() if text is not None]
    lines = [f"{name}: {text}" for name, text in [*given, *headers]]
    head = "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""])
    return head.encode("latin-1") + body


def bearer(token: str | None) -> dict[str, str]:
    """The header that shows a token, if there is one; for `Line.ask`."""
    return {"Authorization": f"Bearer {token}"} if token else {}


class Wire(Line):
    """A WebSocket by hand: it answers no ping and no close, if the test does not.

    Where `said` is False it has not said its token yet. `status` is what the handshake
    was answered with; with another one than 101, there is no WebSocket.
    """

    def __init__(
        self,
        chat: Chat,
        user: str = PEOPLE[0],
        room: str | None = None,
        said: bool = True,
        address: str = HOME,
        receive_buffer: int | None = None,
        **changes: str | None,
    ):
        # To get one takes its time, and who is connected has to say it soon.
        token = chat.token(room, user) if said else None
        super().__init__(chat, address, receive_buffer)
        self.user, self.room = user, room
        self.peer = Connection(ConnectionType.CLIENT)
        self.events: list[Event] = []
        self.heard: list[dict] = []  # what the server told, one after the other
        self._begun = ""
        self.send(handshake(chat, **changes))
        self.status, head, rest = self._read_head()
        self.headers = head
        if rest:
            self.peer.receive_data(rest)
        if said and self.status == 101:
            self.say_token(token)

    def _read_head(self) -> tuple[int, str, bytes]:
        came = b""
        while b"\r\n\r\n" not in came:
            try:
                data = self.socket.recv(65536)
            except OSError as error:
                data, why = b"", error
            else:
                why = CLOSED
            assert data, f"A handshake should be answered. Instead: {why}. {came!r}"
            came += data
        head, _, rest = came.partition(b"\r\n\r\n")
        return int(head.split(maxsplit=2)[1]), head.decode("latin-1"), rest

    def say_token(self, token: str | None = None) -> None:
        """Say the token of its user, or another one."""
        self.text(self.chat.hello(token or self.chat.token(self.room, self.user)))

    def text(self, text: str) -> None:
        """Send a text message."""
        self.frames(Frame(Opcode.TEXT, text.encode()))

    def frames(self, *frames: Frame) -> None:
        """Send frames in one piece."""
        self.send(b"".join(frame.serialize(mask=True) for frame in frames))

    def next(self, should: str) -> Event | None:
        """The next event; None when the connection is over, without a close frame.

        Raises AssertionError with a sentence that says what the server `should` do, if
        nothing comes.
        """
        __tracebackhide__ = True
        while True:
            self.events = self.events or [*self.peer.events()]
            if self.events:
                event = self.events.pop(0)
                self._take(event)
                return event
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                told = str(self.heard[-1]) if self.heard else "nothing"
                raise AssertionError(
                    f"The server should {should}. In {self.socket.gettimeout():g} s "
                    f"nothing came; told was, last, {short(told, 200)}."
                ) from None
            except OSError:
                data = b""
            if not data:
                return None
            self.peer.receive_data(data)

    def _take(self, event: Event) -> None:
        if isinstance(event, TextMessage):
            self._begun += event.data
            if event.message_finished:
                self.chat.note(f"The socket hears {short(self._begun, 150)}")
                self.heard.append(json.loads(self._begun, object_hook=Reply))
                self._begun = ""

    def is_in(self, because: str = "its token is good") -> Wire:
        """Wait until it is told what was said, as who is let in. Raises as `next`."""
        __tracebackhide__ = True
        should = f"let {self.user} in, because {because}"
        assert self.status == 101, f"The server should {should}: {self.status}."
        while not any("data" in told for told in self.heard):
            event = self.next(should)
            assert isinstance(event, Message | Ping), (
                f"The server should {should}. Instead: {event or CLOSED}."
            )
        return self

    def hears(self, text: str, because: str) -> None:
        """Wait until a message with this text is told. Raises as `next` does."""
        __tracebackhide__ = True
        should = f"tell {self.user} {short(text)}, because {because}"
        while text not in self.texts():
            event = self.next(should)
            assert event and not isinstance(event, CloseConnection), (
                f"The server should {should}. Instead: {event or CLOSED}."
            )

    def texts(self) -> list[str]:
        """What was told so far."""
        return [one["text"] for told in self.heard for one in told.get("data", ())]

    def pong(self, should: str) -> None:
        """Wait for a ping, and answer it. Raises as `next` does."""
        __tracebackhide__ = True
        while not isinstance(event := self.next(should), Ping):
            assert event, f"The server should {should}. Instead: {CLOSED}."
        self.frames(Frame(Opcode.PONG, bytes(event.payload)))

    def closing_or_in(self) -> bool:
        """Is it let in? False if it is closed. Raises as `next` does."""
        __tracebackhide__ = True
        should = f"let {self.user} in, or close the socket"
        while self.status == 101 and not any("data" in told for told in self.heard):
            event = self.next(should)
            if event is None or isinstance(event, CloseConnection):
                return False
        return self.status == 101

    def closing(self, should: str) -> int | None:
        """The code of the close frame; None if the connection ends without one.

        Raises as `next` does.
        """
        __tracebackhide__ = True
        while event := self.next(should):
            if isinstance(event, CloseConnection):
                self.chat.note(f"The socket is closed with {event.code}")
                return event.code
        return None

    def is_closed_with(self, *codes: int, because: str) -> None:
        """Wait for a close frame with one of these codes.

        Raises AssertionError with a sentence if there is none, or another one.
        """
        __tracebackhide__ = True
        wanted = " or ".join(map(str, codes))
        should = f"close a socket with code {wanted}, because {because}"
        code = self.closing(should)
        assert code in codes, f"The server should {should}. " + (
            f"The code was {code}." if code else "It hung up without a close frame."
        )


def later(chat, seconds: float) -> None:
    """Let seconds go by for the server, which does all that is due."""
    settle(chat)  # What came before, came before.
    chat.note(f"{seconds} seconds go by")
    chat.clock.pass_by(seconds)
    settle(chat)


def wait_as_told(answer: Answer, status: int, what: str, json_too: bool = True) -> int:
    """Compare an answer to who has to wait. Returns for how many seconds.

    Raises AssertionError with a sentence.
    """
    __tracebackhide__ = True
    assert answer.status == status, (
        f"{what} should be refused with {status}. The answer was {answer.status} "
        f"{answer.reply or ''}."
    )
    told = answer.headers.get("Retry-After", "")
    assert re.fullmatch(r"[1-9]\d*", told), (
        f"{what} was refused with {status}. It should be told in how many seconds to "
        "come again, in the header Retry-After: a whole number, 1 at least. That was "
        f"{told!r}."
    )
    if json_too:
        assert answer.reply.get("status") == 0 and answer.reply.get("error"), (
            f'{what} should be told why in JSON, with "status": 0 and an "error". It '
            f"was {answer.reply}."
        )
    return int(told)


def say(line: Line, room: str, user: str, text: str, id: str = "") -> Answer:
    """Say something by POST, on a connection that stays open."""
    chat = line.chat
    body = chat.form(text, id or new_id()).encode()
    return line.ask("POST", "/", body, **bearer(chat.token(room, user)))


def goes_on(chat, room: str, user: str, because: str) -> None:
    """Somebody honest says a word by each door, and hears it.

    Raises AssertionError with a sentence.
    """
    __tracebackhide__ = True
    word = new_id()
    with Wire(chat, user, room) as wire:
        assert wire.status == 101, (
            f"{user} should be let in, because {because}. The handshake was answered "
            f"{wire.status}."
        )
        wire.is_in(because).text(chat.saying(f"{word} by socket"))
        wire.hears(f"{word} by socket", because)
        with Line(chat) as line:
            answer = say(line, room, user, f"{word} by POST")
        assert answer.status == 200, (
            f"{user} should be heard by POST, because {because}. The answer was "
            f"{answer.status} {answer.reply}."
        )
        wire.hears(f"{word} by POST", because)


def handshake_with(chat, headers, **changes) -> bytes:
    """A handshake with these headers besides."""
    changes = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec_WebSocket_Version": "13",
        "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
    } | changes
    return request(chat, "GET", "/ws", b"", headers, **changes)


def shake_hands(chat, address: str = HOME, **changes) -> Answer:
    with Line(chat, address) as line:
        line.send(handshake_with(chat, (), **changes))
        return line.answer("answer a handshake")


def look_in(chat, address: str = HOME, token: str | None = None, **changes) -> Answer:
    with Line(chat, address) as line:
        return line.ask("GET", "/", **bearer(token) | changes)


def parked(chat, room: str, user: str) -> Request:
    """A poll of somebody that waits for what comes next."""
    token = chat.token(room, user)
    at = cursor_of(ask(chat, token=token).answer().reply)
    return ask(chat, at, token=token)


@contextmanager
def polls_of(chat, room: str, user: str, number: int) -> Iterator[list[Request]]:
    """So many polls of somebody that wait."""
    waiting = [parked(chat, room, user) for _ in range(number)]
    settle(chat)
    try:
        yield waiting
    finally:
        for poll in waiting:
            poll.connection.close()


def receive(line: Line) -> bytes:
    """What comes; nothing at the end. Raises AssertionError if it stays open."""
    __tracebackhide__ = True
    try:
        return line.socket.recv(65536)
    except TimeoutError:
        raise AssertionError(
            f"The server should close a connection, which is open after {SECONDS:g} s."
        ) from None
    except OSError:
        return b""
