"""Stage 5 with a crowd: nobody misses anything, and nobody waits long."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.support.clients import GREETING
from tests.support.polling import cursor_of, newcomer, texts

SINCE_STAGE = 5
pytestmark = pytest.mark.thorough

LAST = "the last message"


class Connection:
    """A keep-alive HTTP connection to the chat server, for many small requests."""

    def __init__(self, chat, port: int | None = None):
        self.chat, self.port = chat, port or chat.chat_port

    async def __aenter__(self) -> Connection:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        return self

    async def __aexit__(self, *exc) -> None:
        self.writer.close()

    def send(self, method: str, path: str, body: str = "") -> None:
        """Send one request; `body` is a form."""
        self.writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Content-Length: {len(body)}\r\n"
            f"Authorization: Bearer {self.chat.token()}\r\n"
            f"Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}".encode()
        )

    async def post(self, text: str) -> dict:
        """Say `text`; returns the reply."""
        self.send("POST", "/", self.chat.form(text))
        return await self.reply()

    async def reply(self) -> dict:
        """The JSON of the next answer, which comes whole or in chunks."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        if length := re.search(rb"content-length: (\d+)", head):
            return json.loads(await self.reader.readexactly(int(length[1])))
        body = b""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            body += (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readuntil(b"\r\n")
        return json.loads(body)


async def poll_until_last(chat, cursor: float | tuple) -> list[str]:
    """Poll until LAST comes; returns the texts before it."""
    heard = []
    async with Connection(chat) as connection:
        while True:
            connection.send("GET", f"/{chat.query(cursor)}")
            reply = await connection.reply()
            heard += texts(reply)
            if heard[-1] == LAST:
                return heard[:-1]
            cursor = cursor_of(reply)


class Talk:
    """A WebSocket on which texts are said and heard, whatever the frames are."""

    def __init__(self, chat, socket: ClientConnection):
        self.chat, self.socket, self.texts = chat, socket, deque()

    async def send(self, text: str) -> None:
        """Say `text`."""
        await self.socket.send(self.chat.saying(text))

    async def recv(self) -> str:
        """The next text."""
        while not self.texts:
            self.texts.extend(self.chat.texts_in(await self.socket.recv()))
        return self.texts.popleft()


@asynccontextmanager
async def socket_to(chat, room=None) -> AsyncIterator[Talk]:
    """A WebSocket to the chat server, that has joined and heard the greeting."""
    opening = connect(
        chat.ws_url,
        origin=chat.origin,
        proxy=None,
        compression=None,
        max_queue=None,
        max_size=None,
    )
    async with opening as socket:
        if hello := chat.hello(chat.token(room)):
            await socket.send(hello)
        greeting = await socket.recv()
        assert chat.has_history or greeting == GREETING
        yield Talk(chat, socket)


async def listen_until_last(chat, joined: asyncio.Semaphore) -> list[str]:
    """Listen on a socket until LAST comes; returns the texts before it."""
    heard = []
    async with socket_to(chat) as socket:
        joined.release()
        while (text := await socket.recv()) != LAST:
            heard.append(text)
    return heard


async def crowd(chat, since: float, each: int, said: int) -> list[list[str]]:
    """What `each` pollers and as many sockets hear of `said` messages from both sides.

    Half of the messages are posted and half said on a socket, at the same time.
    """

    async def post_half() -> None:
        async with Connection(chat) as connection:
            for number in range(0, said, 2):
                await connection.post(f"message {number}")

    async def say_half() -> None:
        async with socket_to(chat) as socket:
            for number in range(1, said, 2):
                await socket.send(f"message {number}")
                while await socket.recv() != f"message {number}":
                    pass

    joined = asyncio.Semaphore(0)
    listening = [
        asyncio.create_task(listen_until_last(chat, joined)) for _ in range(each)
    ]
    polling = [asyncio.create_task(poll_until_last(chat, since)) for _ in range(each)]
    for _ in range(each):
        await joined.acquire()
    await asyncio.gather(post_half(), say_half())
    async with Connection(chat) as connection:
        await connection.post(LAST)
    return await asyncio.gather(*listening, *polling)


def run(coroutine):
    """Run `coroutine` in a thread of its own: this one has a reactor.

    A deadline for what hangs, not a measure of speed: the largest crowd takes 40 s on
    two processors that do nothing else.
    """

    async def in_time():
        async with asyncio.timeout(300):
            return await coroutine

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, in_time()).result()


def test_a_hundred_sockets_and_a_hundred_pollers_hear_one_conversation(chat):
    said = 1000
    heard = run(crowd(chat, newcomer(chat, "Paul").lastupdate, each=100, said=said))
    assert sorted(heard[0]) == sorted(f"message {number}" for number in range(said))
    for number, own in enumerate(heard):
        kind = "socket" if number < 100 else "poller"
        assert own == heard[0], (
            f"Every client should hear the same {said} messages, once, in one order. A "
            f"{kind} heard {len(own)}, {len({*own})} of them different."
        )


async def answer_all(chat, since: float, parked: int) -> float:
    """Seconds from one message until the last of so many parked polls has it."""
    connections = deque()
    for _ in range(parked):
        connection = await Connection(chat).__aenter__()
        connection.send("GET", f"/{chat.query(since)}")
        connections.append(connection)
    async with Connection(chat) as poster:
        # Answered only when the server has read all that was sent before.
        poster.send("GET", "/?lastupdate=-1")
        await poster.reply()
        started = time.perf_counter()
        poster.send("POST", "/", chat.form("news"))
        replies = [await connection.reply() for connection in connections]
        seconds = time.perf_counter() - started
    for connection in connections:
        connection.writer.close()
    assert [texts(reply) for reply in replies] == [["news"]] * parked
    return seconds


def test_a_thousand_parked_polls_are_answered_within_a_second(chat):
    parked = 1000
    # The best of three: a busy machine can make one slow, but none fast.
    times = [
        run(answer_all(chat, newcomer(chat, "Paul").lastupdate, parked))
        for _ in range(3)
    ]
    assert min(times) < 1, (
        f"{parked} polls were parked, and one message should answer all of them within "
        f"a second. It took {min(times):.2f} s."
    )
