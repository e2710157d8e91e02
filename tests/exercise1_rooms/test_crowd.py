"""From exercise 1 on, with a crowd: the ledger is clean, and nothing crosses a room."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.stage5_refactor.test_crowd import run, socket_to
from tests.support.ledger import Ledger

SINCE_STAGE = 6
pytestmark = pytest.mark.thorough
LAST = "the last message of"


async def twenty_rooms(chat, paths: list[str], speakers: int, each: int) -> Ledger:
    """Ten sockets to each room; `speakers` of all say so many messages at once."""
    ledger, joined = Ledger(), asyncio.Semaphore(0)

    async def listen(name: str, room: str) -> None:
        async with socket_to(chat, room) as socket:
            ledger.joins(name, room)
            joined.release()
            while not (text := await socket.recv()).startswith(LAST):
                ledger.hears(name, text)

    async def speak(name: str, room: str) -> None:
        async with socket_to(chat, room) as socket:
            for number in range(each):
                text = f"{name} says {number}"
                ledger.says(name, text, room)
                await socket.send(text)
                # Who hears a message knows that the server has it.
                while await socket.recv() != text:
                    pass
                ledger.acknowledged(text)

    async with asyncio.TaskGroup() as group:
        for number, room in enumerate(paths * 10):
            group.create_task(listen(f"listener {number}", room))
        for _ in range(10 * len(paths)):
            await joined.acquire()
        async with asyncio.TaskGroup() as speaking:
            for number in range(speakers):
                room = paths[number % len(paths)]
                speaking.create_task(speak(f"speaker {number}", room))
        for room in paths:
            async with socket_to(chat, room) as socket:
                await socket.send(f"{LAST} {room}")
                while not (await socket.recv()).startswith(LAST):
                    pass
    return ledger


def test_two_hundred_sockets_in_twenty_rooms(chat):
    made = "ChatRoom.objects.create(name=f'crowd {n}').pk for n in range(20)"
    code = f"from chat.models import ChatRoom; print([{made}])"
    paths = [f"/chats/{key}/" for key in json.loads(chat.shell(code).splitlines()[-1])]
    for path in paths:
        chat.token(path)
    ledger = run(twenty_rooms(chat, paths, speakers=10, each=200))
    ledger.check()
    heard = sum(len(listener.heard) for listener in ledger.listeners.values())
    assert heard == 10 * 10 * 200, "each message should reach the ten of its room"
