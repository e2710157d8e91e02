"""WebSocket clients for black-box tests, whose failures read as sentences."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
from contextlib import ExitStack, suppress
from pathlib import Path

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.frames import Frame, Opcode
from websockets.sync.client import connect
from wsproto import Connection, ConnectionType
from wsproto.events import TextMessage

from tests.support.servers import PEOPLE, SECONDS, cookie_header

GREETING = "connected ...."
CRLF = b"\r\n"


def short(text: str | bytes, most: int = 60) -> str:
    """`text` as it fits into a sentence."""
    if len(text) <= most:
        return repr(text)
    return f"{text[: most // 3]!r}... ({len(text)} characters)"


class Client:
    """A browser's end of a WebSocket, driven by a test.

    Where there are rooms, it says its token first: that of `room`, a path, or of the
    first room. Where there is a history, it says its `cursor` as well, if it has one,
    and what it has missed comes at once, in `first`. Where there are accounts, it is
    `user` who has opened the page; who is `here` comes in frames of its own. With
    `cookies` it sends these, as a browser does, to which all ports are one site.
    """

    def __init__(
        self,
        chat,
        name: str,
        room: str | None = None,
        cursor=None,
        user: str = PEOPLE[0],
        token: str | None = None,
        cookies: dict[str, str] | None = None,
    ):
        self.chat, self.name, self.room = chat, name, room
        self.user, self.token, self.cookies = user, token, cookies or {}
        self.cursor, self.texts = cursor, []
        self.here: list[dict] | None = None  # as it was told last
        self.strangest: str | None = None  # what it heard, and nobody said

    def __enter__(self) -> Client:
        __tracebackhide__ = True
        url, origin = self.chat.ws_url, self.chat.origin
        self.chat.note(f"{self.name} opens {url} from a page of {origin}")
        token = self.token or self.chat.token(self.room, self.user)
        with ExitStack() as stack:
            try:
                opening = connect(
                    url,
                    origin=origin,
                    additional_headers=cookie_header(self.cookies),
                    proxy=None,
                    compression=None,
                    max_size=None,
                    open_timeout=SECONDS,
                    close_timeout=1,  # a server that hangs will not answer
                )
                self.socket = stack.enter_context(opening)
            except (WebSocketException, OSError) as error:
                raise AssertionError(
                    f"{self.name} should be let in at {url} (status 101), from a page "
                    f"of {origin}. Instead: {error}."
                ) from None
            if (hello := self.chat.hello(token, self.cursor)) is not None:
                self.send(hello)
            if self.chat.has_history:
                self.first = self.batch(
                    self.receive(f"be let in, when it says first {short(hello, 300)}")
                )
                self.cursor = self.first["epoch"], self.first["seq"]
            else:
                self.hears(GREETING, because="a new client is told so on joining")
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *exc) -> None:
        self.stack.close()

    def say(self, message: str | bytes, id: str | None = None) -> None:
        """Send one message: text as text, bytes as binary."""
        if isinstance(message, str):
            message = self.chat.saying(message, id)
        self.send(message)

    def send(self, frame: str | bytes) -> None:
        """Send one frame as it is."""
        self.chat.note(f"{self.name} says {short(frame)}")
        with suppress(ConnectionClosed):  # What is not heard then, says it better.
            self.socket.send(frame)

    def receive(self, should: str = "hear something", seconds: float = SECONDS) -> str:
        """The next frame. Raises AssertionError with a sentence if there is none.

        A frame that tells who is here goes to `here`, and is passed over.
        """
        __tracebackhide__ = True
        try:
            while self.tells_who_is_here(frame := self.socket.recv(timeout=seconds)):
                pass
            return frame
        except TimeoutError:
            instead = f"nothing in {seconds:g} s"
        except ConnectionClosed as closed:
            instead = f"the server closed the connection ({closed})"
        self.chat.note(f"{self.name} hears {instead}")
        raise AssertionError(f"{self.name} should {should}. Instead: {instead}.")

    def tells_who_is_here(self, frame: str | bytes) -> bool:
        """Is this a frame that tells who is here? Then `here` is what it tells."""
        if not self.chat.has_names or not isinstance(frame, str):
            return False
        with suppress(ValueError):
            said = json.loads(frame)
            if isinstance(said, dict) and "here" in said and "data" not in said:
                self.here = said["here"]
                self.chat.note(f"{self.name} hears {short(frame, 150)}")
                return True
        return False

    def batch(self, frame: str) -> dict:
        """The batch in a frame, with its epoch, seq, reset and data.

        Raises AssertionError with a sentence if it is none.
        """
        __tracebackhide__ = True
        should = (
            "From exercise 3 on, each frame is JSON, and the first one comes when a "
            'client is let in: {"epoch": ..., "seq": ..., "reset": ..., "data": [...]}'
        )
        self.chat.note(f"{self.name} hears {short(frame, 150)}")
        try:
            batch = json.loads(frame)
            known = {"epoch", "seq", "reset", "data"} <= {*batch}
        except (TypeError, ValueError):
            known = False
        assert known, f"{should}. {self.name} heard {short(frame, 150)}."
        return batch

    def next(self) -> str:
        """The next text. Of a batch, what is not newer than its cursor is no news.

        A server may have a word of its own to say, as when somebody leaves. What
        nobody said, and no greeting is, is passed over.
        """
        __tracebackhide__ = True
        if not self.chat.has_history:
            while (text := self.receive()) not in self.chat.said | {GREETING}:
                self.chat.note(f"{self.name} hears {short(text)}, which nobody said")
                self.strangest = text
            return text
        while not self.texts:
            batch = self.batch(self.receive())
            epoch, seq = self.cursor
            new = [message for message in batch["data"] if message["seq"] > seq]
            self.texts += [message["text"] for message in new]
            self.cursor = epoch, max(seq, batch["seq"])
        return self.texts.pop(0)

    def hears(self, *expected: str, because: str) -> None:
        """Receive as many messages as `expected` and compare them.

        Raises AssertionError with a sentence that says what should have come,
        what came instead, and the reason, `because`.
        """
        __tracebackhide__ = True
        for text in expected:
            self.strangest = None
            try:
                came = self.next()
                instead = short(came) + "."
                self.chat.note(f"{self.name} hears {instead}")
            except AssertionError as error:
                came, instead = None, str(error).rpartition("Instead: ")[2]
                if self.strangest is not None:
                    instead = f"{short(self.strangest)}, which nobody said."
            assert came == text, (
                f"{self.name} should hear {short(text)}, because {because}. "
                f"Instead: {instead}"
            )

    def is_closed_with(self, *codes: int, because: str) -> None:
        """Wait until the server closes, and compare its close code.

        Raises AssertionError with a sentence if the connection stays open, or is
        closed with none of these codes.
        """
        __tracebackhide__ = True
        wanted = " or ".join(f"{code}" for code in codes)
        should = (
            f"The server should close {self.name}'s connection with code {wanted}, "
            f"because {because}."
        )
        try:
            while True:
                self.socket.recv(timeout=SECONDS)
        except ConnectionClosed as closed:
            came = closed.rcvd.code if closed.rcvd else "none"
            self.chat.note(f"{self.name}'s connection is closed with code {came}")
            assert came in codes, f"{should} The code was {came}."
        except TimeoutError:
            raise AssertionError(
                f"{should} It is still open after {SECONDS:g} s."
            ) from None


class RawClient:
    """A WebSocket on a bare socket, for what a proper library does not do.

    In a `with` block it is let in and greeted; before, it is silent.
    """

    def __init__(
        self,
        chat,
        receive_buffer: int | None = None,
        room: str | None = None,
        user: str = PEOPLE[0],
    ):
        self.chat, self.token, self.came = chat, chat.token(room, user), b""
        chat.note("A client opens a WebSocket by hand")
        self.socket = socket.socket()
        self.socket.settimeout(SECONDS)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", chat.chat_port))
        self.socket.sendall(handshake(chat))

    def __enter__(self) -> RawClient:
        __tracebackhide__ = True
        if self.token is not None:
            self.came = self.read_until(b"\r\n\r\n", "answer a handshake")
            self.send_frames((Opcode.TEXT, self.chat.hello(self.token).encode()))
        # This is the last thing that comes by itself.
        if self.chat.has_history:
            self.read_message("tell a new client what was said")
        else:
            self.read_until(GREETING.encode(), "greet a new client")
        return self

    def read_message(self, what: str) -> str:
        """Read one text message, after the handshake. Raises as `read_until` does."""
        __tracebackhide__ = True
        browser, text = Connection(ConnectionType.CLIENT), ""
        data = self.came
        while True:
            browser.receive_data(data)
            for event in browser.events():
                assert isinstance(event, TextMessage), f"It should {what}: {event}"
                text += event.data
                if event.message_finished:
                    return text
            data = self.receive(what)

    def __exit__(self, *exc) -> None:
        self.socket.close()

    def read_until(self, mark: bytes, what: str) -> bytes:
        """Read until `mark` has come; returns what came with it, behind it.

        Raises AssertionError, saying that the server should do `what`, if it closes
        first or is silent for SECONDS.
        """
        __tracebackhide__ = True
        came = b""
        while mark not in came:
            came = came[-1000:] + self.receive(what, came)
        return came.partition(mark)[2]

    def read(self, count: int, what: str) -> None:
        """Read at least so many bytes. Raises as `read_until` does."""
        __tracebackhide__ = True
        while count > 0:
            count -= len(self.receive(what))

    def receive(self, what: str, came: bytes = b"") -> bytes:
        """Read what there is. Raises as `read_until` does, and tells what `came`."""
        __tracebackhide__ = True
        try:
            data = self.socket.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.socket.close()
            raise AssertionError(f"The server should {what}. It sent {came!r}.")
        return data

    def on_its_way(self) -> int:
        """How many bytes the system holds for it, on both ends of its connection.

        On Linux only, where two tables (see proc(5)) have a line for each end, with the
        addresses and the queues, in hexadecimal digits.
        """
        ends = {self.socket.getsockname()[1], self.chat.chat_port}
        held = 0
        for table in Path("/", "proc", "net").glob("tcp*"):
            for line in table.read_text("utf-8").splitlines()[1:]:
                _, *addresses, _, queues = line.split()[:5]
                if {int(end.rpartition(":")[2], 16) for end in addresses} == ends:
                    held += sum(int(queue, 16) for queue in queues.split(":"))
        return held

    def send_frames(self, *frames: tuple[Opcode, bytes]) -> None:
        """Send final, masked frames, given as (opcode, payload), in one piece."""
        for opcode, payload in frames:
            self.chat.note(f"The client sends a {opcode.name} frame, {short(payload)}")
        whole = [Frame(*frame).serialize(mask=True) for frame in frames]
        self.socket.sendall(b"".join(whole))

    def reset(self) -> None:
        """Vanish without a closing handshake, as a phone does in a tunnel."""
        self.chat.note("The client vanishes")
        on, seconds = 1, 0
        linger = struct.pack("hh" if os.name == "nt" else "ii", on, seconds)
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


def status_of(chat, request: bytes, port: int | None = None) -> int | None:
    """The HTTP status with which the chat server answers `request`, None for none.

    With a `port`, it is another server's.
    """
    chat.note(f"A client sends {request!r}")
    address = ("127.0.0.1", port or chat.chat_port)
    with socket.create_connection(address, SECONDS) as connection:
        connection.sendall(request)
        came = connection.recv(65536)
    chat.note(f"It is answered {came.partition(CRLF)[0]!r}")
    words = came.split(maxsplit=2)
    return int(words[1]) if len(words) > 1 else None
