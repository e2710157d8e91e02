"""The price of one poll against the length of the history, inside the server.

By itself: python -m benchmarks.history '{"folder": "stage5_refactor"}'
"""

from __future__ import annotations

import importlib
import itertools
import sys
import timeit
from collections.abc import Callable
from pathlib import Path

from .wire import main, text

SIZES = (1_000, 10_000, 100_000, 1_000_000)


def measure(folder: str, messages: int = SIZES[-1]) -> dict:
    """Fill the store of the stage in `folder`, and time a poll that is up to date.

    The cursor is the newest message but one, so the answer is the newest. Returns the
    time of one poll in microseconds for each of SIZES up to `messages`, and how many
    times what the shortest history costs the longest does ("growth").
    """
    sys.path.insert(0, str(Path(folder).resolve()))
    chatserver = importlib.import_module("chatserver")
    store = storing(chatserver.factory)
    if hasattr(chatserver.http_chat, "getData"):
        next_after = chatserver.http_chat.getData
    else:
        next_after = chatserver.factory.messages.next_after

    cursor = newest = 0.0
    prices, wrong = {}, []
    for size in [size for size in SIZES if size <= messages]:
        for number in range(len(chatserver.factory.messages), size):
            cursor, newest = newest, store(text(number).decode())
        if next_after(cursor).published_at != newest:
            wrong.append(f"after {size} messages, a poll does not find the newest")
        prices[f"{size:,}"] = 1e6 * seconds_for(next_after, cursor)
    costs = list(prices.values())
    return {
        **prices,
        "longest": costs[-1],
        "growth": costs[-1] / costs[0],
        "problems": wrong,
    }


def storing(factory) -> Callable[[str], float]:
    """How a stage stores a message: a function from its text to its stamp."""
    if hasattr(factory, "store"):
        return factory.store
    if hasattr(factory.messages, "add"):
        return lambda message: factory.messages.add(message).published_at
    # Stage 3 does this in place. Two messages at one reading of its clock would be one.
    clock = itertools.count(1.0)

    def store(message: str) -> float:
        stamp = next(clock)
        factory.messages[stamp] = message
        return stamp

    return store


def seconds_for(function: Callable, argument: float) -> float:
    """The time of one call, with the garbage collector on, as in the server."""
    timer = timeit.Timer(lambda: function(argument), "import gc; gc.enable()")
    calls, seconds = timer.autorange()
    return seconds / calls


if __name__ == "__main__":
    main(measure)
