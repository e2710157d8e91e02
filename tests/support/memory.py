"""What a server keeps for each of its clients, as far as it can be told from outside.

A process takes its memory in pieces, and gives it back late: one look at its size tells
as much about the allocator as about the server. What refers to itself waits besides for
Python's collector, which looks at old things only after a thousand clients. What is
kept for each client is kept in every round, to the last.
"""

from __future__ import annotations

from collections.abc import Callable

MOST_ROUNDS = 10
LAST = 3  # rounds that are looked at: in one alone, a leak may find room in old pieces


def kept_for_each(
    chat, come: Callable[[int], None], clients: int, enough: int
) -> float:
    """How many bytes the chat server grows by for each client that has come and gone.

    `come(count)` lets so many come and go. It is the mean of the last rounds of
    `clients` each, and there are no more where that is clearly below `enough`, bytes.
    """
    come(clients // 5)  # whatever is allocated once
    sizes = [chat.twisted.memory()]
    for done in range(1, MOST_ROUNDS + 1):
        come(clients)
        sizes.append(chat.twisted.memory())
        last = sizes[-LAST - 1 :]
        mean = (last[-1] - last[0]) / (clients * (len(last) - 1))
        if done > 1 and mean < enough / 2:
            break
    return mean
