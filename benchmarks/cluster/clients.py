"""Clients of a chat that has several servers: each goes to whichever it likes.

They do what the page does: after a break they come again, to another server, with their
cursor, and say again what they do not know to be stored, with the id that it had.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count
from random import Random
from urllib.parse import urlencode

from tests.support.ledger import Ledger

from ..hostile.line import CLOSE, PING, PONG, TEXT, frame, handshake
from ..hostile.site import Where

# As in the page, but for the longest wait: there it is half a minute, and what is
# measured here is how long the servers take.
FIRST_WAIT, LONGEST_WAIT = 0.5, 4.0  # seconds, of which a random part is waited
AVOIDED = 5.0  # seconds for which a server that was no good is not tried again
LONGEST_ANSWER = 10.0  # seconds: to what is answered at once
LONGEST_POLL = 35.0
LONGEST_SILENCE = 20.0  # before a socket asks whether anybody is there
MOST_UNSAID = 2  # messages: who sees that nothing gets through, writes no more
LATE = 2.0  # seconds after which a message counts as late

# Many hear the same bytes, and JSON is most of the work of who hears.
parse = lru_cache(512)(json.loads)


@dataclass
class Book:
    """What all of them said and heard, and when. Times are monotonic, in seconds."""

    ledger: Ledger = field(default_factory=Ledger)
    mark: str = field(default_factory=lambda: uuid.uuid4().hex[:8])  # of this book
    said_at: dict[str, float] = field(default_factory=dict)  # by text
    took: dict[str, list[float]] = field(default_factory=dict)  # by kind of listener
    acks: dict[str, float] = field(default_factory=dict)  # when, by text
    last: dict[str, float] = field(default_factory=dict)  # when the last one heard it
    numbers: dict[tuple[str, int], str] = field(default_factory=dict)  # the ids
    places: dict[tuple[str, str], int] = field(default_factory=dict)  # the reverse
    forked: dict[str, str] = field(default_factory=dict)  # by id, in words
    resets: list[tuple[float, str]] = field(default_factory=list)
    # When, after how long, and who: of those who were away.
    backs: list[tuple[float, float, str]] = field(default_factory=list)
    ends: Counter = field(default_factory=Counter)  # how connections ended
    refused: Counter = field(default_factory=Counter)
    polls: int = 0

    def is_told(self, epoch: str, seq: int, id: str, how: str) -> None:
        """Somebody is told that this message has this number."""
        known = self.numbers.setdefault((epoch, seq), id)
        place = self.places.setdefault((epoch, id), seq)
        if known != id:
            words = f"{how}: {id} is {seq} in {epoch}, and so is {known}"
            self.forked.setdefault(id, words)
        elif place != seq:
            words = f"{how}: {id} is {seq} in {epoch}, and was {place}"
            self.forked.setdefault(id, words)

    def begin_anew(self) -> None:
        """Owe nobody anything of what was said so far."""
        before, self.ledger = self.ledger, Ledger()
        for name, listener in before.listeners.items():
            self.ledger.joins(name, listener.room)


class Client:
    """Somebody in a room. `lot` decides where they go, and how long they wait."""

    kind = ""

    def __init__(self, book: Book, servers: list[Where], room: int, user: int, **more):
        self.book, self.servers, self.room = book, servers, f"{room}"
        self.name: str = more["name"]
        self.lot: Random = more["lot"]
        self.token = servers[0].token(room, user)
        self.cursor: tuple[str, int] | None = None
        self.own: dict[str, str] = {}  # all that was said here, by id
        self.pending: dict[str, str] = {}  # of those, what is not known to be stored
        self.shown: set[str] = set()  # ids
        self.count = count()
        self.joined = asyncio.Event()
        self.news = asyncio.Event()  # There may be something to say.
        self.online = False
        self.was_reset = False
        self.no_good: dict[Where, float] = {}  # until when a server is avoided
        self.away_since: float | None = None
        self.wait = FIRST_WAIT
        self.not_before = 0.0  # when the server wants to hear of us again
        book.took.setdefault(self.kind, [])

    def pick(self) -> Where:
        """A server, but none that was no good just now, if there is another one."""
        now = time.monotonic()
        bad = [server for server, until in self.no_good.items() if until > now]
        good = [server for server in self.servers if server not in bad]
        return self.lot.choice(good or self.servers)

    def avoid(self, server: Where) -> None:
        """This one was no good."""
        self.no_good[server] = time.monotonic() + AVOIDED

    def says(self) -> None:
        """Have something to say."""
        if len(self.pending) >= MOST_UNSAID:
            return
        text = f"{self.name} says {next(self.count)} ({self.book.mark})"
        self.book.ledger.says(self.name, text, self.room)
        self.book.said_at[text] = time.monotonic()
        id = uuid.uuid4().hex
        self.own[id] = self.pending[id] = text
        self.news.set()

    def begin_anew(self) -> None:
        """Say what is pending to a book that knows of nothing any more."""
        for text in self.pending.values():
            self.book.ledger.says(self.name, text, self.room)

    def stored(self, id: str) -> None:
        """It is known that this message is stored."""
        text = self.pending.pop(id, None)
        if text is not None:
            self.book.ledger.acknowledged(text)
            self.book.acks[text] = time.monotonic()
            self.news.set()

    def lost(self, how: str) -> None:
        """A connection has ended, or somebody was sent away."""
        self.book.ends[f"{self.kind} {how}"] += 1
        self.online = False
        if self.away_since is None:
            self.away_since = time.monotonic()

    async def rest(self) -> None:
        """Wait before another try, each time longer."""
        pause = self.wait * self.lot.random()
        self.wait = min(2 * self.wait, LONGEST_WAIT)
        await asyncio.sleep(max(pause, self.not_before - time.monotonic()))

    def slow_down(self, seconds: float, what: str) -> None:
        """The server does not want to hear of us for so long."""
        self.book.refused[what] += 1
        self.not_before = time.monotonic() + seconds + self.lot.random()

    def hears(self, batch: dict) -> None:
        """Show what is new in a batch, and move the cursor."""
        now, book = time.monotonic(), self.book
        if self.away_since is not None:
            book.backs.append((now, now - self.away_since, self.name))
            self.away_since = None
        epoch, reset = batch["epoch"], batch["reset"]
        for message in batch["data"]:
            book.is_told(epoch, message["seq"], message["id"], self.kind)
        if self.cursor is None:  # who is new here, and is owed what comes from now on
            self.cursor = epoch, batch["seq"]
            self.shown.update(message["id"] for message in batch["data"])
            book.ledger.joins(self.name, self.room)
            self.joined.set()
            return
        own = book.ledger.listeners[self.name]
        seen = self.cursor[1] if epoch == self.cursor[0] else 0
        if reset:
            self.was_reset = True
            book.resets.append((now, self.name))
        if reset or epoch != self.cursor[0]:
            own.numbers.clear()
        for message in batch["data"]:
            self.stored(message["id"])
            if message["seq"] <= seen and not reset:
                continue
            known = message["id"] in self.shown
            if known and self.was_reset:
                continue  # A reset moves the cursor back, too.
            self.shown.add(message["id"])
            own.numbers.append(message["seq"])
            text = message["text"]
            if text in book.ledger.said:
                own.heard.append(text)
            if text in book.said_at and not known:
                book.took[self.kind].append(now - book.said_at[text])
                book.last[text] = now
        if reset or epoch != self.cursor[0] or batch["seq"] > seen:
            self.cursor = epoch, batch["seq"]

    async def talk(self, pause: float, going_on: asyncio.Event) -> None:
        """Say something every `pause` seconds, whenever the talk goes on."""
        while True:
            await going_on.wait()
            due = time.monotonic() + pause * self.lot.random()
            await asyncio.sleep(due - time.monotonic())
            while going_on.is_set():
                self.says()
                due += pause
                await asyncio.sleep(max(0, due - time.monotonic()))


class Ended(Exception):
    """A connection that should have stayed has not. Says how it ended."""


class Socket(asyncio.Protocol):
    """One WebSocket: it gives what it is told to a function."""

    def __init__(self, server: Where, told: Callable[[dict], None]):
        self.server, self.told = server, told
        self.came = b""
        self.is_open = False
        self.heard = time.monotonic()
        self.opened = asyncio.get_running_loop().create_future()
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        """Ask for a WebSocket."""
        self.transport = transport
        transport.write(handshake(self.server))

    def data_received(self, data):
        """Take the answer, and then frames."""
        self.heard = time.monotonic()
        came = self.came + data if self.came else data
        if not self.is_open:
            head, found, came = came.partition(b"\r\n\r\n")
            if not found:
                self.came = head
                return
            status = head[9:12].decode("latin-1")
            if status != "101":
                self.end(f"answered {status}")
                return
            self.is_open = True
            self.opened.set_result(None)
        at = 0
        while len(came) - at >= 2:
            length, start = came[at + 1] & 127, at + 2
            if length > 125:
                start += 2 if length == 126 else 8
                length = int.from_bytes(came[at + 2 : start], "big")
            if len(came) < start + length:
                break
            payload = came[start : start + length]
            kind, at = came[at] & 15, start + length
            if kind == TEXT:
                self.told(parse(payload))
            elif kind == PING:
                self.transport.write(frame(PONG, payload))
            elif kind == CLOSE:
                self.transport.write(frame(CLOSE, payload[:2]))
                code = int.from_bytes(payload[:2], "big") if payload else 1005
                self.end(f"{code}")
                return
        self.came = came[at:]

    def connection_lost(self, why):
        """It is over, and nobody said why."""
        self.end(type(why).__name__ if why else "hung up")

    def send(self, said: dict) -> None:
        """Say something, unless it is too late."""
        if not self.transport.is_closing():
            self.transport.write(frame(TEXT, json.dumps(said).encode()))

    def end(self, how: str) -> None:
        """It is over."""
        for future in (self.opened, self.ended):
            if not future.done():
                future.set_exception(Ended(how))
                future.exception()  # Not all are waited for.
        self.transport.close()


class SocketClient(Client):
    """By WebSocket."""

    kind = "socket"
    saying: str | None = None  # the id of what was sent and not told back yet
    due = math.inf  # when an answer has to be there

    async def run(self) -> None:
        """Come, and come again whenever the connection is lost."""
        loop = asyncio.get_running_loop()
        while True:
            server = self.pick()
            self.saying, self.socket = None, None
            self.due = time.monotonic() + LONGEST_ANSWER
            try:
                async with asyncio.timeout(LONGEST_ANSWER):
                    _, socket = await loop.create_connection(
                        lambda where=server: Socket(where, self.told),
                        "127.0.0.1",
                        server.port,
                    )
                    self.socket = socket
                    await socket.opened
                place = {}
                if self.cursor:
                    place = {"epoch": self.cursor[0], "seq": self.cursor[1]}
                socket.send({"token": self.token, **place})
                await self.watch(socket)
            except Ended as ended:
                self.lost(f"{ended}")
            except (OSError, TimeoutError) as error:
                self.lost(type(error).__name__)
            finally:
                if self.socket:
                    self.socket.transport.abort()
            self.avoid(server)
            await self.rest()

    async def watch(self, socket: Socket) -> None:
        """Say what there is to say, until the connection is lost. Raises Ended."""
        while True:
            now = time.monotonic()
            if now > self.due:
                raise Ended("silent")
            if now > socket.heard + LONGEST_SILENCE and self.due == math.inf:
                socket.send({"here": True})
                self.due = now + LONGEST_ANSWER
            done, _ = await asyncio.wait([socket.ended], timeout=1.0)
            for ended in done:
                ended.result()

    def told(self, said: dict) -> None:
        """The server has said something."""
        if said["status"] == 0:
            self.due = math.inf
            self.saying = None
            wait = said.get("retry_after")
            if wait is None:
                self.book.refused["socket: not stored"] += 1
                asyncio.get_running_loop().create_task(self.try_later(self.socket))
            else:
                self.slow_down(wait, "socket: slow down")  # It closes now.
            return
        if "data" in said:
            self.hears(said)
            self.online = True
        if self.saying not in self.pending:
            self.saying = None
        self.due = time.monotonic() + LONGEST_ANSWER if self.saying else math.inf
        self.wait = FIRST_WAIT
        self.say_next()

    async def try_later(self, socket: Socket | None) -> None:
        """Say nothing for a while: nothing can be stored."""
        self.online = False
        await self.rest()
        if self.socket is socket:
            self.online = True
            self.say_next()

    def says(self) -> None:
        """Have something to say, and say it."""
        super().says()
        self.say_next()

    def say_next(self) -> None:
        """Say what is next, one after the other."""
        if self.online and self.socket and self.saying is None and self.pending:
            self.saying = next(iter(self.pending))
            text = self.pending[self.saying]
            self.socket.send({"id": self.saying, "text": text})
            self.due = time.monotonic() + LONGEST_ANSWER


class Http(asyncio.Protocol):
    """One connection for one request after the other."""

    def __init__(self):
        self.came = b""
        self.answer: asyncio.Future | None = None
        self.transport = None

    def connection_made(self, transport):
        """It may be written to now."""
        self.transport = transport

    def data_received(self, data):
        """Take an answer."""
        came = self.came = self.came + data
        head, found, body = came.partition(b"\r\n\r\n")
        if not found:
            return
        lines = head.decode("latin-1").lower().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        length = int(fields.get("content-length", 0))
        if len(body) < length:
            return
        self.came = b""
        if fields.get("connection") == "close":
            self.transport.close()
        if self.answer and not self.answer.done():
            said = parse(body) if body.startswith(b"{") else {}
            wait = float(fields.get("retry-after", 1))
            self.answer.set_result((int(lines[0].split()[1]), said, wait))

    def connection_lost(self, why):
        """There will be no answer."""
        if self.answer and not self.answer.done():
            self.answer.set_exception(Ended(type(why).__name__ if why else "hung up"))

    @property
    def is_good(self) -> bool:
        """May another request be sent?"""
        return self.transport is not None and not self.transport.is_closing()

    async def request(self, data: bytes, seconds: float) -> tuple[int, dict, float]:
        """Ask. Returns the status, the JSON and after how long to ask again.

        Raises Ended, and TimeoutError after so many seconds.
        """
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(data)
        try:
            async with asyncio.timeout(seconds):
                return await self.answer
        except BaseException:
            self.transport.abort()
            raise


class PollClient(Client):
    """By long polling: each question, and each message, goes to another server."""

    kind = "poller"

    async def run(self) -> None:
        """Ask again and again, and say what there is to say."""
        self.idle: dict[int, list[Http]] = {}  # by port
        async with asyncio.TaskGroup() as both:
            both.create_task(self.poll_on())
            both.create_task(self.post_on())

    async def request(
        self, server: Where, line: str, seconds: float, body: str = ""
    ) -> tuple[int, dict, float]:
        """Ask a server, on a connection that is there already or on another one.

        Raises Ended or OSError; a TimeoutError is one.
        """
        idle = self.idle.setdefault(server.port, [])
        connection = None
        while idle and connection is None:
            connection = idle.pop()
            if not connection.is_good:
                connection = None
        if connection is None:
            async with asyncio.timeout(LONGEST_ANSWER):
                _, connection = await asyncio.get_running_loop().create_connection(
                    Http, "127.0.0.1", server.port
                )
        form = ""
        if body:
            form = (
                "Content-Type: application/x-www-form-urlencoded\r\n"
                f"Content-Length: {len(body)}\r\n"
            )
        asks = (
            f"{line} HTTP/1.1\r\nHost: {server.host}\r\nOrigin: {server.origin}\r\n"
            f"Authorization: Bearer {self.token}\r\n{form}\r\n{body}"
        )
        answer = await connection.request(asks.encode(), seconds)
        if connection.is_good:
            idle.append(connection)
        return answer

    async def poll_on(self) -> None:
        """Poll, and again after each break."""
        while True:
            try:
                await self.poll()
            except Ended as ended:
                self.lost(f"{ended}")
            except OSError as error:
                self.lost(type(error).__name__)
            await self.rest()

    async def poll(self) -> None:
        """Ask, and first of all for what was missed. Raises Ended or OSError."""
        first = True
        while True:
            server = self.pick()
            query = {"wait": 0} if first else {}
            if self.cursor:
                query |= {"epoch": self.cursor[0], "seq": self.cursor[1]}
            asks = f"GET /?{urlencode(query)}"
            longest = LONGEST_ANSWER if first else LONGEST_POLL
            try:
                status, reply, wait = await self.request(server, asks, longest)
                if status != 200:
                    self.slow_down(wait, f"poll: {status}")
                    raise Ended(f"answered {status}")
            except (Ended, OSError):
                self.avoid(server)
                raise
            self.book.polls += 1
            self.hears(reply)
            if not first:
                self.wait = FIRST_WAIT
            first, self.online = False, True
            self.news.set()

    async def post_on(self) -> None:
        """Say one thing after the other, each until it is stored."""
        while True:
            await self.news.wait()
            self.news.clear()
            while self.online and self.pending:
                id, text = next(iter(self.pending.items()))
                body = urlencode({"id": id, "new_message": text})
                server = self.pick()
                try:
                    status, reply, wait = await self.request(
                        server, "POST /", LONGEST_ANSWER, body
                    )
                except (Ended, OSError) as error:
                    self.book.refused[f"post: {type(error).__name__}"] += 1
                    self.avoid(server)
                    await self.rest()
                    continue
                if status == 200:
                    for message in reply["data"]:
                        place = reply["epoch"], message["seq"]
                        self.book.is_told(*place, message["id"], "an answer")
                    self.stored(id)
                else:
                    self.slow_down(wait, f"post: {status}")
                    await self.rest()
