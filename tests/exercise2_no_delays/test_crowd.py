"""Exercise 2 with a crowd: nobody misses anything, and nobody waits long."""

from __future__ import annotations

import asyncio
from statistics import median
from time import perf_counter

import pytest

from tests.stage5_refactor.test_crowd import Connection, run
from tests.support.ledger import Ledger
from tests.support.polling import cursor_of, newcomer, texts

SINCE_STAGE = 7
pytestmark = pytest.mark.thorough


class Poller:
    """A poller over one connection, which writes down what it hears."""

    def __init__(self, chat, ledger: Ledger, name: str, at: float | tuple):
        self.chat, self.connection, self.ledger = chat, Connection(chat), ledger
        self.name, self.at = name, at

    async def listen(self, asked: asyncio.Semaphore, times: list[float]) -> None:
        """Poll until the task is cancelled."""
        async with self.connection as connection:
            while True:
                connection.send("GET", f"/{self.chat.query(self.at)}")
                await connection.writer.drain()
                asked.release()
                reply = await connection.reply()
                times.append(perf_counter())
                self.ledger.hears(self.name, *texts(reply))
                self.at = cursor_of(reply)


async def crowd(chat, at: float, pollers: int, said: int, killed: int) -> tuple:
    """Post so many messages, one at a time, to so many pollers that wait.

    After half of the messages `killed` of them are killed. Returns the ledger, and for
    each message the seconds in which a poller has it at the median.
    """
    ledger, asked = Ledger(), asyncio.Semaphore(0)
    times: list[float] = []
    delays: list[float] = []
    everybody = [
        Poller(chat, ledger, f"poller {number}", at) for number in range(pollers)
    ]
    tasks = [asyncio.create_task(poller.listen(asked, times)) for poller in everybody]
    for poller in everybody:
        ledger.joins(poller.name)
    async with Connection(chat) as poster:

        async def until_all_wait(count: int) -> None:
            for _ in range(count):
                await asked.acquire()
            for _ in range(2):  # answered when the server has read what came before
                poster.send("GET", "/?lastupdate=-1")
                await poster.reply()

        await until_all_wait(pollers)
        for number in range(said):
            if number == said // 2:
                for poller, task in zip(everybody[:killed], tasks, strict=False):
                    ledger.leaves(poller.name)
                    task.cancel()
                    pollers -= 1
            times.clear()
            text = f"message {number}"
            ledger.says("poster", text)
            started = perf_counter()
            await poster.post(text)
            ledger.acknowledged(text)
            await until_all_wait(pollers)
            delays.append(median(times) - started)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return ledger, delays


def test_of_a_thousand_pollers_half_are_killed_and_the_rest_miss_nothing(chat):
    at = newcomer(chat, "Paul").lastupdate
    ledger, _ = run(crowd(chat, at, pollers=1000, said=6, killed=500))
    ledger.check()
    heard = [len(listener.heard) for listener in ledger.listeners.values()]
    assert sorted({*heard}) == [3, 6]


def test_a_hundred_pollers_have_a_message_in_fifty_milliseconds(chat):
    at = newcomer(chat, "Paul").lastupdate
    ledger, delays = run(crowd(chat, at, pollers=100, said=40, killed=0))
    ledger.check()
    # The best of them: a busy machine can make some slow, but none fast.
    assert min(delays) < 0.05, f"{min(delays):.3f} s at best"
