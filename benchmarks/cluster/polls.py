"""The price of one poll in rooms whose histories differ, in one server.

By itself: python -m benchmarks.cluster.polls '{"port": 1025, "tokens": ["...", "..."]}'
"""

from __future__ import annotations

import statistics
import time

import psutil

from ..longpoll import Client
from ..wire import main


def measure(
    port: int, tokens: list[str], pid: int, polls: int = 1000, rounds: int = 9
) -> dict:
    """Ask for the newest message, again and again, in one room and then in the other.

    A poll stands one before the newest message, so its answer is that one. Returns the
    medians for each room, in the order of its token, in µs of the server's process
    ("cpu") and of time ("took"), how many times the first room's the last one's is
    ("ratio", and "took_ratio"), and the numbers of the newest messages ("newest").
    """
    clients = [Client(port, token, True) for token in tokens]
    server = psutil.Process(pid)
    cursors, newest, wrong = [], [], []
    for client in clients:
        client.poll()
        reply = client.ask()
        newest.append(reply["seq"])
        cursors.append(f"epoch={reply['epoch']}&seq={reply['seq'] - 1}")
    cpu: list[list[float]] = [[] for _ in clients]
    took: list[list[float]] = [[] for _ in clients]
    for _ in range(rounds + 1):
        for number, client in enumerate(clients):
            begun, used = time.perf_counter(), sum(server.cpu_times()[:2])
            for _ in range(polls):
                client.cursor = cursors[number]
                client.poll(wait=False)
                reply = client.ask()
                if [each["seq"] for each in reply["data"]] != [newest[number]]:
                    wrong.append(f"a poll of room {number} does not find the newest")
            cpu[number].append(1e6 * (sum(server.cpu_times()[:2]) - used) / polls)
            took[number].append(1e6 * (time.perf_counter() - begun) / polls)
    # In the first round, things are loaded that stay.
    costs = [statistics.median(each[1:]) for each in cpu]
    times = [statistics.median(each[1:]) for each in took]
    return {
        "cpu": costs,
        "took": times,
        "ratio": costs[-1] / costs[0],
        "took_ratio": times[-1] / times[0],
        "newest": newest,
        "problems": wrong[:10],
    }


if __name__ == "__main__":
    main(measure)
