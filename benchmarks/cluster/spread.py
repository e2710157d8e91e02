"""How evenly rooms lie on the nodes of a cluster of engines.

This is a simulation: no node runs, and the only thing that is real is the function by
which a cluster finds the node of a key. Its input is a guess at how large rooms are.
"""

from __future__ import annotations

import statistics
from binascii import crc_hqx
from random import Random

SLOTS = 16_384  # of a cluster: https://valkey.io/topics/cluster-spec
NODES = 1, 2, 3, 6, 12
ROOMS, SEEDS = 10_000, 20


def slot_of(tag: str) -> int:
    """The slot of all keys that have `tag` in braces."""
    return crc_hqx(tag.encode(), 0) % SLOTS


def node_of(tag: str, nodes: int) -> int:
    """The node of these keys, where each of them has as many slots."""
    return slot_of(tag) * nodes // SLOTS


def sizes(rooms: int = ROOMS) -> list[float]:
    """Each room's share of all messages: the second has half of the first, and so on.

    That is Zipf's law. Yours may be otherwise; a few rooms are always much the largest.
    """
    shares = [1 / rank for rank in range(1, rooms + 1)]
    return [share / sum(shares) for share in shares]


def busiest(nodes: int, rooms: int = ROOMS, seeds: int = SEEDS) -> float:
    """The share of the busiest node, the median of so many draws of the rooms' numbers.

    What is drawn is which room is how large.
    """
    shares, found = sizes(rooms), []
    for seed in range(seeds):
        numbers = [*range(1, rooms + 1)]
        Random(seed).shuffle(numbers)
        load = [0.0] * nodes
        for number, share in zip(numbers, shares, strict=True):
            load[node_of(f"{number}", nodes)] += share
        found.append(max(load))
    return statistics.median(found)


def figures() -> dict:
    """What pages quote: the share of the busiest node "on" so many nodes.

    And that of the "largest" room.
    """
    return {
        "rooms": ROOMS,
        "largest": float(f"{sizes()[0]:.3g}"),
        "on": {f"{nodes}": float(f"{busiest(nodes):.3g}") for nodes in NODES},
    }
