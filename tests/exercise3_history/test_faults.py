"""Exercise 3 on a bad line: connections break at seeded points, the server is paused.

What a failure prints has the seed in its name: `-k "breaks and 7"` plays it again.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from contextlib import suppress

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from tests.stage5_refactor.test_crowd import Connection, run
from tests.support.ledger import Ledger
from tests.support.proxy import Proxy, cuts
from tests.support.servers import new_id

SINCE_STAGE = 8
pytestmark = pytest.mark.thorough
EACH = 15  # messages of each client; those of all fit into what the server keeps
BROKEN = (OSError, EOFError, ConnectionClosed, InvalidHandshake, InvalidMessage)


class Member:
    """A client as our pages are: keeps what is not acknowledged, and its cursor."""

    def __init__(self, chat, name: str, port: int, ledger: Ledger):
        self.chat, self.name, self.port, self.ledger = chat, name, port, ledger
        self.cursor: tuple[str, int] | None = None
        self.unheard: dict[str, str] = {}  # texts by id
        self.shown: set[str] = set()
        self.resets = self.visits = 0
        self.news = asyncio.Event()
        ledger.joins(name)

    def write(self, text: str) -> str:
        """Take down a new message; returns its id."""
        self.ledger.says(self.name, text)
        id = new_id()
        self.unheard[id] = text
        return id

    def take(self, batch: dict) -> None:
        """Show what is new in a batch, and move the cursor."""
        if "data" not in batch:
            return  # but who is here
        epoch, seq = batch["epoch"], batch["seq"]
        self.resets += batch["reset"]
        if batch["reset"] or self.cursor is None:
            self.cursor = epoch, 0
        for message in batch["data"]:
            if message["seq"] > self.cursor[1]:
                number = message["seq"]
                self.cursor = epoch, number
                self.ledger.hears(self.name, message["text"], number=number)
                self.shown.add(message["id"])
            if message["id"] in self.unheard:
                self.ledger.acknowledged(self.unheard.pop(message["id"]))
        assert self.cursor == (epoch, max(seq, self.cursor[1])), "a batch with a gap"
        self.news.set()

    async def heard(self, count: int) -> None:
        """Return when so many messages are shown."""
        while len(self.shown) < count:
            self.news.clear()
            await self.news.wait()


class SocketMember(Member):
    """One that comes by socket."""

    socket = None

    async def stay(self) -> None:
        """Come back each time that the line breaks, until cancelled."""
        token = self.chat.token()
        while True:
            self.visits += 1
            with suppress(*BROKEN):
                url = f"ws://127.0.0.1:{self.port}/ws"
                options = {"proxy": None, "compression": None, "max_size": None}
                async with connect(url, origin=self.chat.origin, **options) as socket:
                    await socket.send(self.chat.hello(token, self.cursor))
                    self.take(json.loads(await socket.recv()))
                    for id, text in list(self.unheard.items()):
                        await socket.send(self.chat.saying(text, id))
                    self.socket = socket
                    async for frame in socket:
                        self.take(json.loads(frame))
            self.socket = None

    async def say(self, text: str) -> None:
        """Say it now, if there is a line; or else it is said later."""
        id, socket = self.write(text), self.socket
        if socket is not None:
            with suppress(*BROKEN):
                await socket.send(self.chat.saying(text, id))


class PollMember(Member):
    """One that polls on one connection, and posts on another."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.typed = asyncio.Event()

    async def stay(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.again_and_again(self.poll))
            group.create_task(self.again_and_again(self.post))

    async def again_and_again(self, what) -> None:
        while True:
            self.visits += 1
            with suppress(*BROKEN):
                async with Connection(self.chat, self.port) as connection:
                    while True:
                        await what(connection)

    async def poll(self, connection) -> None:
        connection.send("GET", f"/{self.chat.query(self.cursor)}")
        self.take(await connection.reply())

    async def post(self, connection) -> None:
        while not self.unheard:
            self.typed.clear()
            await self.typed.wait()
        id, text = next(iter(self.unheard.items()))
        connection.send("POST", "/", self.chat.form(text, id))
        [stored] = (await connection.reply())["data"]
        assert (stored["id"], stored["text"]) == (id, text)
        if self.unheard.pop(id, None):
            self.ledger.acknowledged(text)

    async def say(self, text: str) -> None:
        """Have it posted, behind what was said before."""
        self.write(text)
        self.typed.set()


async def talk(members: list[Member], chance: random.Random, disturb) -> None:
    """Let all say EACH messages in an order by `chance`, and hear all there are.

    After each message `disturb` is called with its number.
    """
    before = len(members[0].ledger.said)
    turns = [member for member in members for _ in range(EACH)]
    chance.shuffle(turns)

    async def speak() -> None:
        for number, member in enumerate(turns):
            await member.say(f"{member.name} says {before + number}")
            await disturb(number)
            # Sometimes wait until it is back, sometimes let it be under way.
            if chance.random() < 0.3:
                await members[0].heard(before + number + 1)
        await asyncio.gather(*[m.heard(before + len(turns)) for m in members])

    # Nobody but the speaking comes to an end, unless something is wrong.
    parts = [speak(), *[member.stay() for member in members]]
    tasks = [asyncio.create_task(part) for part in parts]
    done, _ = await asyncio.wait(tasks, return_when="FIRST_COMPLETED")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        await task


def members_of(chat, port: int, ledger: Ledger) -> list[Member]:
    """Four clients, two by socket and two by polling."""
    kinds = [SocketMember, PollMember, SocketMember, PollMember]
    return [kind(chat, f"{n}", port, ledger) for n, kind in enumerate(kinds)]


async def nothing(number: int) -> None:
    """What does not disturb."""


@pytest.mark.parametrize("seed", range(20))
def test_the_line_breaks_at_any_point_and_nobody_misses_anything(chat, seed):
    chat.restart()
    ledger = Ledger()
    with Proxy(chat.chat_port, cuts(seed)) as line:

        async def scene() -> list[Member]:
            members = members_of(chat, line.port, ledger)
            await talk(members, random.Random(seed), nothing)
            return members

        members = run(scene())
        assert line.broken > 3, f"with the seed {seed} hardly anything broke"
    assert [member.resets for member in members] == [0] * len(members)
    ledger.check()


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no SIGSTOP on this system")
@pytest.mark.parametrize("seed", range(3))
def test_a_server_that_is_paused_loses_nothing(chat, seed):
    chat.restart()
    ledger, chance = Ledger(), random.Random(seed)
    pid = chat.twisted.process.pid

    with Proxy(chat.chat_port, cuts(seed)) as line:

        async def pause(number: int) -> None:
            if chance.random() < 0.1:
                os.kill(pid, signal.SIGSTOP)
                asyncio.get_running_loop().call_later(0.1, os.kill, pid, signal.SIGCONT)

        async def scene() -> None:
            await talk(members_of(chat, line.port, ledger), chance, pause)

        try:
            run(scene())
        finally:
            os.kill(pid, signal.SIGCONT)
    ledger.check()


@pytest.mark.stages(8, 8)  # Exercise 4 keeps the log.
@pytest.mark.parametrize("seed", range(3))
def test_a_restart_is_told_to_everybody_once(chat, seed):
    chat.restart()
    with Proxy(chat.chat_port, cuts(seed)) as line:

        async def scene() -> None:
            ledger = Ledger()
            members = members_of(chat, line.port, ledger)
            await talk(members, random.Random(seed), nothing)
            ledger.check()
            await asyncio.to_thread(chat.restart)
            # What comes now is another log, and another book.
            anew = Ledger()
            for member in members:
                member.ledger, member.resets = anew, 0
                member.shown.clear()
                anew.joins(member.name)
            await talk(members, random.Random(seed), nothing)
            anew.check()
            resets = [member.resets for member in members]
            assert resets == [1] * len(members), f"each should be told once: {resets}"

        run(scene())
