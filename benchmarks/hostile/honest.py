"""Honest pairs: a socket and a poller in one room, who talk all the time.

By itself: python -m benchmarks.hostile.honest '{"where": {...}, "pairs": [[1, 1, 2]]}'

It writes "ready" when all are in their rooms, talks until a line comes on its standard
input, hears what is still on its way, and prints what it found.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlencode

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from tests.support.ledger import Ledger

from .site import Where

LATE = 1.0  # seconds after which a message counts as late
GRACE = 15.0  # seconds in which what is on its way has to come
READY = 60.0  # seconds until all are in their rooms
AWAY = 0.2, 1.2  # seconds until somebody who lost a connection comes back


@dataclass
class Book:
    """What all honest clients said and heard, and when. Times are monotonic."""

    ledger: Ledger = field(default_factory=Ledger)
    number: str = field(default_factory=lambda: uuid.uuid4().hex[:8])  # of this book
    said_at: dict[str, float] = field(default_factory=dict)
    samples: list[tuple[float, float, str]] = field(default_factory=list)
    refused: int = 0  # answers that were none, each said again
    resets: int = 0
    codes: dict[str, int] = field(default_factory=dict)
    last_back: float = 0.0  # when somebody who was away came back
    lost_connections: int = 0

    def note_end(self, how: str) -> None:
        """Take down how a connection ended that should have stayed."""
        self.codes[how] = self.codes.get(how, 0) + 1
        self.lost_connections += 1


class Talker:
    """One of them: says a message every `pause` seconds, and hears all of its room."""

    kind = ""

    def __init__(self, book: Book, where: Where, room: int, user: int, pause: float):
        self.book, self.room, self.user = book, room, user
        # What one address may have is less than all of them need.
        self.where = where.of(5000 + user // 20)
        self.name = f"{self.kind} {user} in {room}"
        self.pause, self.count = pause, 0
        self.token = where.token(room, user)
        self.cursor: tuple[str, int] | None = None
        self.pending: dict[str, str] = {}  # by id; what is not known to be stored
        self.joined = asyncio.Event()
        self.is_away = False
        self.turn = asyncio.Lock()  # to say something: one after the other

    def says(self) -> str:
        """Have something to say. Returns its id."""
        text = f"{self.name} says {self.count} ({self.book.number})"
        self.count += 1
        self.book.ledger.says(self.name, text, f"{self.room}")
        self.book.said_at[text] = time.monotonic()
        id = uuid.uuid4().hex
        self.pending[id] = text
        return id

    def stored(self, id: str) -> None:
        """It is known that the message `id` is stored."""
        if text := self.pending.pop(id, None):
            self.book.ledger.acknowledged(text)

    def hears(self, batch: dict) -> None:
        """Take down what is new in a batch."""
        now, book = time.monotonic(), self.book
        if self.is_away:
            self.is_away, book.last_back = False, max(book.last_back, now)
        if self.cursor is None:  # who is new here
            self.cursor = batch["epoch"], batch["seq"]
            book.ledger.joins(self.name, f"{self.room}")
            self.joined.set()
            return
        epoch, seq = self.cursor
        own = book.ledger.listeners[self.name]
        if batch["reset"]:
            book.resets += 1
            own.numbers.clear()
        for message in batch["data"]:
            if epoch == batch["epoch"] and message["seq"] <= seq:
                continue
            text = message["text"]
            own.numbers.append(message["seq"])
            if text in book.said_at:
                book.ledger.hears(self.name, text)
                said = book.said_at[text]
                book.samples.append((said, now - said, self.kind))
            self.stored(message["id"])
        if epoch != batch["epoch"]:
            seq = 0
        self.cursor = batch["epoch"], max(seq, batch["seq"])

    async def again_and_again(self, once) -> None:
        """Do `once`, and again whenever the connection is lost."""
        while True:
            try:
                await once()
            except ConnectionClosed as closed:
                code = closed.rcvd.code if closed.rcvd else "lost"
                self.book.note_end(f"{self.kind} {code}")
            except (OSError, EOFError, WebSocketException, ValueError) as error:
                self.book.note_end(f"{self.kind} {type(error).__name__}")
            self.is_away = True
            await asyncio.sleep(random.uniform(*AWAY))

    async def talk(self, send, until: asyncio.Event) -> None:
        """Say something every `pause` seconds, until the end."""
        await until.wait()
        await asyncio.sleep(random.uniform(0, self.pause))
        due = time.monotonic()
        # Who waited for the answer would say nothing while the server is slow.
        async with asyncio.TaskGroup() as under_way:
            while until.is_set():
                under_way.create_task(send(self.says()))
                due += self.pause
                await asyncio.sleep(due - time.monotonic())


class SocketTalker(Talker):
    """By WebSocket."""

    kind = "socket"
    socket = None

    async def run(self) -> None:
        """Come, and come back whenever the connection is lost."""
        await self.again_and_again(self.connection)

    async def connection(self) -> None:
        """One connection: come in, say again what was not stored, hear."""
        opening = connect(
            f"ws://{self.where.host}/ws",
            origin=self.where.origin,
            proxy=None,
            compression=None,
            max_size=None,
            open_timeout=GRACE,
            close_timeout=1,
            ping_interval=None,
            local_addr=(self.where.source, 0),
        )
        async with opening as socket:
            place = {}
            if self.cursor:
                place = {"epoch": self.cursor[0], "seq": self.cursor[1]}
            await socket.send(json.dumps({"token": self.token, **place}))
            try:
                async for said in socket:
                    batch = json.loads(said)
                    if "data" in batch:
                        self.hears(batch)
                        if self.socket is None:
                            async with self.turn:
                                self.socket = socket
                                for id in [*self.pending]:
                                    await self.put(id)
                    elif batch.get("status") == 0:
                        self.book.refused += 1
                        if "id" in batch:
                            wait = batch.get("retry_after", 1)
                            asyncio.get_running_loop().call_later(
                                wait, self.send_soon, batch["id"]
                            )
            finally:
                self.socket = None
            raise ConnectionClosed(socket.protocol.close_rcvd, None)

    def send_soon(self, id: str) -> None:
        """Say again, without waiting."""
        if id in self.pending:
            self.again = asyncio.create_task(self.send(id))

    async def send(self, id: str) -> None:
        """Say it, if there is a connection; else that is done by the next one."""
        async with self.turn:
            await self.put(id)

    async def put(self, id: str) -> None:
        """Say it now, if that can be."""
        if self.socket and id in self.pending:
            with suppress(ConnectionClosed):
                await self.socket.send(json.dumps({"id": id, "text": self.pending[id]}))


class Http:
    """One connection for one request after the other."""

    def __init__(self, where: Where, token: str):
        self.where, self.token, self.writer = where, token, None

    async def request(self, line: str, body: str = "") -> tuple[int, dict, float]:
        """Ask. Returns the status, the JSON and after how long to ask again."""
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection(
                "127.0.0.1", self.where.port, local_addr=(self.where.source, 0)
            )
        try:
            return await self._request(line, body)
        except BaseException:
            self.close()
            raise

    async def _request(self, line: str, body: str) -> tuple[int, dict, float]:
        lines = [
            f"{line} HTTP/1.1",
            f"Host: {self.where.host}",
            f"Origin: {self.where.origin}",
            f"Authorization: Bearer {self.token}",
        ]
        if body:
            lines.append("Content-Type: application/x-www-form-urlencoded")
            lines.append(f"Content-Length: {len(body)}")
        self.writer.write("\r\n".join([*lines, "", body]).encode())
        answer = await self.reader.readuntil(b"\r\n\r\n")
        first, *rest = answer.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in rest)
        }
        data = await self.reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("connection", "").lower() == "close":
            self.close()
        status = int(first.split()[1])
        reply = json.loads(data) if data.startswith(b"{") else {}
        return status, reply, float(headers.get("retry-after", 1))

    def close(self) -> None:
        """Hang up; the next request connects anew."""
        if self.writer:
            self.writer.close()
            self.writer = None


class PollTalker(Talker):
    """By long polling: one connection asks, another one says."""

    kind = "poller"

    async def run(self) -> None:
        """Ask, and come back whenever the connection is lost."""
        self.asks = Http(self.where, self.token)
        self.posts = Http(self.where, self.token)
        await self.again_and_again(self.poll)

    async def poll(self) -> None:
        """Ask again and again."""
        while True:
            query = ""
            if self.cursor:
                epoch, seq = self.cursor
                query = "?" + urlencode({"epoch": epoch, "seq": seq})
            status, reply, wait = await self.asks.request(f"GET /{query}")
            if status == 200:
                self.hears(reply)
            else:
                self.book.refused += 1
                how = f"poll answered {status}"
                self.book.codes[how] = self.book.codes.get(how, 0) + 1
                await asyncio.sleep(wait)

    async def send(self, id: str) -> None:
        """Say it, again and again until it is stored, and then the next one."""
        async with self.turn:
            await self.post(id)

    async def post(self, id: str) -> None:
        """Send it until it is stored."""
        while text := self.pending.get(id):
            try:
                body = urlencode({"new_message": text, "id": id})
                status, _, wait = await self.posts.request("POST /", body)
            except (OSError, EOFError, ValueError):
                await asyncio.sleep(random.uniform(*AWAY))
                continue
            if status == 200:
                self.stored(id)
            else:
                self.book.refused += 1
                how = f"post answered {status}"
                self.book.codes[how] = self.book.codes.get(how, 0) + 1
                await asyncio.sleep(wait)


async def converse(where: dict, pairs: list, pause: float) -> dict:
    """Let pairs talk until a line comes: (room, user of the socket, of the poller).

    Returns what they found, in seconds: "samples" as (said at, took, heard by), what
    was "lost", "doubled" or otherwise wrong, and what became of their connections.
    """
    site, book = Where(**where), Book()
    talkers = [
        kind(book, site, room, user, pause)
        for room, *users in pairs
        for kind, user in zip((SocketTalker, PollTalker), users, strict=True)
    ]
    talking = asyncio.Event()
    door = asyncio.Semaphore(20)

    async def come(talker: Talker) -> asyncio.Task:
        async with door:
            running = asyncio.create_task(talker.run())
            await asyncio.wait_for(talker.joined.wait(), READY)
            return running

    running = await asyncio.gather(*map(come, talkers))
    print("ready", flush=True)
    talking.set()
    saying = [asyncio.create_task(t.talk(t.send, talking)) for t in talkers]
    await asyncio.to_thread(sys.stdin.readline)
    talking.clear()
    ended = time.monotonic()
    while owed(book) or any(talker.pending for talker in talkers):
        if time.monotonic() > ended + GRACE:
            break
        await asyncio.sleep(0.05)  # how often to look
    for task in [*running, *saying]:
        task.cancel()
    await asyncio.gather(*running, *saying, return_exceptions=True)
    heard = [listener.heard for listener in book.ledger.listeners.values()]
    return {
        "samples": book.samples,
        "said": len(book.said_at),
        "lost": sum(owed(book).values()),
        "unstored": sum(len(talker.pending) for talker in talkers),
        "doubled": sum(len(texts) - len({*texts}) for texts in heard),
        "late": sum(took > LATE for _, took, _ in book.samples),
        "refused": book.refused,
        "resets": book.resets,
        "codes": book.codes,
        "connections_lost": book.lost_connections,
        "last_back": book.last_back,
        "away": [talker.name for talker in talkers if talker.is_away],
        # What is refused and said again may come behind what was said later.
        "problems": book.ledger.problems()[:10] if not book.refused else [],
        "acknowledged": [
            (said.room, text)
            for text, said in book.ledger.said.items()
            if said.acknowledged
        ],
    }


def owed(book: Book) -> dict[str, int]:
    """How many messages that are stored each listener has not heard yet."""
    said, found = book.ledger.said, {}
    for name, listener in book.ledger.listeners.items():
        sure = {text for text in listener.owed if said[text].acknowledged}
        if missed := len(sure - {*listener.heard}):
            found[name] = missed
    return found


if __name__ == "__main__":
    print(json.dumps(asyncio.run(converse(**json.loads(sys.argv[1])))))
