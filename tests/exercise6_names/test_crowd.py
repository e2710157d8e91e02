"""A crowd whose tokens end all the time: nobody is closed, nothing crosses a room."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.stage5_refactor.test_crowd import run
from tests.support.ledger import Ledger
from tests.support.requests import KEY, ticket
from tests.support.servers import PEOPLE

SINCE_STAGE = 10
pytestmark = pytest.mark.thorough
ROOMS, EACH, SPEAKERS = 20, 10, 10
RENEWED, LIFE = 2.0, 5.0  # seconds
TALK = 3 * LIFE  # so that each of them has ended thrice
LAST = "the last message of"
UNKNOWN = 1_000_000  # from here on users without an account, who only listen


class Window:
    """One window of a user, who renews its token, and takes down what it hears."""

    def __init__(self, chat, ledger: Ledger, name: str, room: int, user: int):
        self.chat, self.ledger, self.name, self.room = chat, ledger, name, room
        self.user, self.strange = user, []
        self.here: list[dict] = []  # as it was told last
        self.renewals = 0

    def token(self) -> str:
        return ticket(self.room, self.user, self.name, time.time() + LIFE)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[ClientConnection]:
        """Its socket, in the room, where the token is renewed until it is closed."""
        options = {"proxy": None, "compression": None, "max_queue": None}
        opening = connect(self.chat.ws_url, origin=self.chat.origin, **options)
        async with opening as self.socket:
            await self.socket.send(json.dumps({"token": self.token()}))
            await self.socket.recv()
            self.ledger.joins(self.name, f"{self.room}")
            renewing = asyncio.create_task(self.renew())
            try:
                yield self.socket
            finally:
                renewing.cancel()

    async def renew(self) -> None:
        while True:
            await asyncio.sleep(RENEWED)  # This is the load, and waits for nothing.
            await self.socket.send(json.dumps({"token": self.token()}))
            self.renewals += 1

    async def hear(self) -> str:
        """The next message. It has to be of whom its text says it is."""
        while "data" not in (batch := json.loads(await self.socket.recv())):
            self.here = batch["here"]
        [message] = batch["data"]
        text, author = message["text"], message["author"]
        if not text.startswith((f"{author['name']} says", LAST)):
            self.strange.append(message)
        if not text.startswith(LAST):
            self.ledger.hears(self.name, text, number=message["seq"])
        return text

    async def listen(self, joined: asyncio.Semaphore) -> None:
        async with self.open():
            joined.release()
            while not (await self.hear()).startswith(LAST):
                pass

    async def speak(self) -> None:
        async with self.open() as socket:
            until, number = time.monotonic() + TALK, 0
            while time.monotonic() < until:
                text = f"{self.name} says {number}"
                number += 1
                self.ledger.says(self.name, text, f"{self.room}")
                await socket.send(json.dumps({"id": text, "text": text}))
                # Who hears a message knows that the server has it.
                while await self.hear() != text:
                    pass
                self.ledger.acknowledged(text)
        self.ledger.leaves(self.name)


async def crowd(chat, rooms: list[int], users: list[int]) -> list[Window]:
    """Ten listeners in each room, and ten who speak, in half of the rooms.

    Each listener is a user that no other room has.
    """
    ledger, joined = Ledger(), asyncio.Semaphore(0)

    def window(kind: str, number: int, user: int) -> Window:
        room = rooms[number % len(rooms)]
        return Window(chat, ledger, f"{kind} {number}", room, user)

    listeners = [
        window("listener", number, UNKNOWN + number)
        for number in range(EACH * len(rooms))
    ]
    speakers = [
        window("speaker", number, users[number % len(users)])
        for number in range(SPEAKERS)
    ]
    async with asyncio.TaskGroup() as group:
        for listener in listeners:
            group.create_task(listener.listen(joined))
        for _ in listeners:
            await joined.acquire()
        async with asyncio.TaskGroup() as speaking:
            for speaker in speakers:
                speaking.create_task(speaker.speak())
        for room in rooms:
            last = Window(chat, ledger, f"last {room}", room, users[0])
            async with last.open() as socket:
                text = f"{LAST} {room}"
                await socket.send(json.dumps({"id": text, "text": text}))
                await last.hear()
            ledger.leaves(last.name)
    ledger.check()
    return listeners + speakers


def test_two_hundred_sockets_whose_tokens_are_renewed(chat):
    paths = chat.make_rooms(*[f"renewed {number}" for number in range(ROOMS)])
    rooms = [int(path.strip("/").rpartition("/")[2]) for path in paths]
    chat.come_back(CHAT_KEY=KEY)
    try:
        users = [chat.users[name] for name in PEOPLE]
        windows = run(crowd(chat, rooms, users))
    finally:
        chat.come_back()
    said = {f"{window.name}": len(window.ledger.said) for window in windows}
    print(
        f"{max(said.values())} messages; renewals: {sum(w.renewals for w in windows)}"
    )
    assert min(window.renewals for window in windows) >= TALK // RENEWED - 1
    strange = [message for window in windows for message in window.strange]
    assert strange == [], f"told as said by somebody else: {strange[:3]}"
    for window in windows:
        here = {one["id"] for one in window.here}
        own = {w.user for w in windows if w.room == window.room and w.user >= UNKNOWN}
        assert len(own) == EACH and own <= here <= own | {*users}, (
            f"{window.name} listens beside {sorted(own)}, and was told {window.here}"
        )
