"""A crowd in one room of several servers, which talks, and keeps the book.

By itself: python -m benchmarks.cluster.load '{"servers": [{...}], "room": 1}'

It writes "ready" when all are in the room, and talks until the line "end" comes on its
standard input. At a line "hush" it is silent until "talk", at "anew" it forgets what
was said so far. In the end it hears what is still on its way, and prints what it found.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from random import Random

from ..hostile.site import Where
from ..wire import stopwatch
from .chats import USERS
from .clients import LATE, Book, Client, PollClient, SocketClient

GRACE = 20.0  # seconds in which what is on its way has to come
STRAY = 1.0  # seconds, after that, for what comes a second time
READY = 120.0  # seconds until all are in their room
AT_ONCE = 20  # who come at the same time
LONGEST_WORDS = 300  # characters of one problem


def crowd(
    book: Book, servers: list[Where], room: int, senders: int, receivers: int, seed: int
) -> tuple[list[Client], list[Client]]:
    """All of them, and those of them who speak. Every second one is a socket."""
    people: list[Client] = []
    for number in range(senders + receivers):
        kind = PollClient if number % 2 else SocketClient
        what = "sender" if number < senders else "receiver"
        people.append(
            kind(
                book,
                servers,
                room,
                1 + number % USERS,
                name=f"{kind.kind} {what} {number}",
                lot=Random(f"{seed} {number}"),
            )
        )
    return people, people[:senders]


async def converse(
    servers: list[dict],
    room: int = 1,
    senders: int = 30,
    receivers: int = 300,
    pause: float = 3.0,
    seed: int = 1,
) -> dict:
    """Let a crowd talk until a line comes; each says something every `pause` seconds.

    Returns what they found: how many messages were "said", how many of those that were
    acknowledged were not shown to somebody ("lost") or shown twice ("doubled"), which
    have two numbers or share one ("forked"), gaps in the numbers that somebody was
    shown ("gaps"), all that is wrong in words ("problems"), and times in seconds.
    """
    book = Book()
    where = [Where(**server) for server in servers]
    people, speaking = crowd(book, where, room, senders, receivers, seed)
    talking, door = asyncio.Event(), asyncio.Semaphore(AT_ONCE)

    async def come(client: Client) -> asyncio.Task:
        async with door:
            running = asyncio.create_task(client.run())
            await asyncio.wait_for(client.joined.wait(), READY)
            return running

    running = await asyncio.gather(*map(come, people))
    print("ready", flush=True)
    stop, begun = stopwatch(), time.monotonic()
    talking.set()
    saying = [asyncio.create_task(each.talk(pause, talking)) for each in speaking]
    while (line := await asyncio.to_thread(sys.stdin.readline)) not in ("end\n", ""):
        if line == "anew\n":
            book.begin_anew()
            for client in people:
                client.begin_anew()
        elif line == "hush\n":
            talking.clear()
        else:
            talking.set()
    talking.clear()
    ended = time.monotonic()
    while owed(book) or any(client.pending for client in people):
        if time.monotonic() > ended + GRACE:
            break
        await asyncio.sleep(0.2)  # how often to look
    await asyncio.sleep(STRAY)
    used = stop()["generator"]
    broken = [task.exception() for task in running if task.done()]
    for task in [*running, *saying]:
        task.cancel()
    await asyncio.gather(*running, *saying, return_exceptions=True)
    found = what_is_wrong(book, people)
    found["problems"] += [f"a client of ours failed: {error!r}" for error in broken]
    texts = {id: text for client in people for id, text in client.own.items()}
    return {
        **found,
        **times(book),
        "seconds": ended - begun,
        "said": len(book.said_at),
        "acknowledged": len(book.acks),
        "polls": book.polls,
        "clients": len(people),
        "generator": used,
        "ends": book.ends,
        "refused": book.refused,
        "acks": sorted(book.acks.values()),
        "slowest": slowest(book),
        "stored": [
            [seq, texts[id]] for (_, seq), id in book.numbers.items() if id in texts
        ],
        "reset_at": book.resets,
        "backs": book.backs,
        "gone": [client.name for client in people if client.away_since is not None],
        "names": [client.name for client in people],
    }


def owed(book: Book) -> dict[str, int]:
    """How many messages that are stored each listener has not heard yet."""
    said, found = book.ledger.said, {}
    sure = {text for text, message in said.items() if message.acknowledged}
    for name, listener in book.ledger.listeners.items():
        if missed := len((listener.owed & sure).difference(listener.heard)):
            found[name] = missed
    return found


def what_is_wrong(book: Book, people: list[Client]) -> dict:
    """What the book has that should not be there, counted and in words."""
    listeners = book.ledger.listeners.values()
    heard = [listener.heard for listener in listeners]
    gaps = sum(
        after != before + 1
        for listener in listeners
        for before, after in zip(listener.numbers, listener.numbers[1:], strict=False)
    )
    words = [*book.forked.values()][:5] + book.ledger.problems()
    return {
        "lost": sum(owed(book).values()),
        "doubled": sum(len(texts) - len({*texts}) for texts in heard),
        "disorder": sum("no one order" in each for each in words),
        "forked": len(book.forked),
        "gaps": gaps,
        "unstored": sum(len(client.pending) for client in people),
        "resets": len(book.resets),
        "problems": [each[:LONGEST_WORDS] for each in words[:10]],
    }


def times(book: Book) -> dict:
    """How long messages took until they were shown, of all listeners and by kind."""
    every = [took for of_kind in book.took.values() for took in of_kind]
    found = {"shown": len(every), "late": sum(took > LATE for took in every)}
    for kind, of_kind in {"": every, **book.took}.items():
        took = sorted(of_kind)
        prefix = f"{kind}_" if kind else ""
        found[f"{prefix}p50"] = statistics.median(took) if took else None
        last = min(len(took) - 1, int(0.99 * len(took)))
        found[f"{prefix}p99"] = took[last] if took else None
        found[f"{prefix}worst"] = took[-1] if took else None
    return found


def slowest(book: Book, most: int = 5) -> list[str]:
    """The messages that took longest until the last one was shown them, in words."""

    def after(moments: dict[str, float], text: str) -> str:
        at = moments.get(text)
        return "never" if at is None else f"after {at - book.said_at[text]:.2f} s"

    took = {text: at - book.said_at[text] for text, at in book.last.items()}
    return [
        f"{text}: acknowledged {after(book.acks, text)}, shown {after(book.last, text)}"
        for text in sorted(took, key=took.get, reverse=True)[:most]
    ]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(converse(**json.loads(sys.argv[1])))))
