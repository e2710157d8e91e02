"""Load generator: N pollers wait, one posts, all of them get it and wait again.

By itself: python -m benchmarks.longpoll '{"port": 1025, "clients": 100}'
"""

from __future__ import annotations

import json
import re
import selectors
import statistics
import time

from .wire import PATIENCE, connect, heading, main, problems, stopwatch, text


class Client:
    """One connection that asks, and asks again over the same connection."""

    def __init__(self, port: int, token: str, history: bool, cursor: str = ""):
        self.port, self.cursor, self.history = port, cursor, history
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.connection = connect(port)
        self.heard: list[bytes] = []
        self.came = b""

    def poll(self, wait: bool = True) -> None:
        """Ask for what comes after the cursor; or, not to `wait`, whether it is there.

        Before exercise 3, a cursor below 0 was answered at once.
        """
        line = f"GET /?{self.cursor}"
        if not wait:
            line = f"{line}&wait=0" if self.history else "GET /?lastupdate=-1"
        self.connection.sendall(heading(self.port, line, **self.headers))

    def post(self, message: bytes) -> None:
        """Say `message`."""
        body = b"new_message=" + message.replace(b" ", b"+")
        body += b"&id=" + message[:8] if self.history else b""
        headers = self.headers | {
            "Content_Type": "application/x-www-form-urlencoded",
            "Content_Length": str(len(body)),
        }
        head = heading(self.port, "POST /", **headers)
        self.connection.sendall(head + body)

    def receive(self) -> dict | None:
        """Read what is there; returns the reply if it is complete now."""
        data = self.connection.recv(65536)
        if not data:
            raise ConnectionError(f"The server hung up. It had sent {self.came!r}.")
        self.came += data
        head, _, body = self.came.partition(b"\r\n\r\n")
        if length := re.search(rb"content-length: (\d+)", head.lower()):
            complete = len(body) >= int(length[1])
        else:  # No message has a brace in it, so these bytes end the JSON.
            chunked = b"transfer-encoding: chunked" in head.lower()
            complete = body.endswith(b"}\r\n0\r\n\r\n" if chunked else b"}")
        if not complete:
            return None
        if not head.startswith(b"HTTP/1.1 200 "):
            raise ConnectionError(f"The server answered {self.came!r}.")
        self.came = b""
        reply = json.loads(body[body.index(b"{") : body.rindex(b"}") + 1])
        if self.history:
            self.cursor = f"epoch={reply['epoch']}&seq={reply['seq']}"
        else:
            self.cursor = f"lastupdate={reply['timestamp']!r}"
        return reply

    def ask(self) -> dict:
        """Wait for the reply to what was sent."""
        while (reply := self.receive()) is None:
            pass
        return reply


def measure(
    port: int,
    clients: int,
    seconds: float = 2.0,
    pid: int | None = None,
    token: str = "",
    history: bool = False,
    author: dict | None = None,
) -> dict:
    """Let `clients` pollers wait, and say messages for `seconds`, but at least one.

    Who is the `author` of them does not matter here.

    The next one is said when all pollers have the last and wait again. Returns
    deliveries per second ("rate"), the median time in seconds from saying a message
    until the last poller has it and has asked again ("last"), and for the first message
    the seconds until each poller has it, in rising order ("arrivals").
    """
    poster = Client(port, token, history)
    poster.post(text(0))
    poster.ask()
    pollers = [Client(port, token, history, poster.cursor) for _ in range(clients)]
    lasts: list[float] = []
    arrivals: list[float] = []
    with selectors.DefaultSelector() as selector:
        for client in pollers:
            selector.register(client.connection, selectors.EVENT_READ, client)
            client.poll()
        all_wait(poster)
        stop, end = stopwatch(), time.perf_counter() + seconds
        while not lasts or time.perf_counter() < end:
            begun = time.perf_counter()
            poster.post(text(len(lasts) + 1))
            times = all_hear(selector, clients)
            lasts.append(time.perf_counter() - begun)
            arrivals = arrivals or [moment - begun for moment in times]
            poster.ask()
            all_wait(poster)
            if len(times) < clients:
                break
        took = stop()
    expected = [text(number + 1) for number in range(len(lasts))]
    heard = [client.heard for client in pollers]
    for client in [poster, *pollers]:
        client.connection.close()
    return {
        "rate": clients * len(lasts) / took["seconds"],
        "last": statistics.median(lasts),
        "arrivals": arrivals,
        "generator": took["generator"],
        "problems": problems(heard, expected),
    }


def all_hear(selector, clients: int) -> list[float]:
    """Return when `clients` pollers have heard and asked again, and when each did.

    There are fewer moments if nobody has heard anything for PATIENCE.
    """
    moments: list[float] = []
    while len(moments) < clients:
        ready = selector.select(PATIENCE)
        if not ready:
            break
        for key, _ in ready:
            client: Client = key.data
            reply = client.receive()
            if reply is not None:
                moments.append(time.perf_counter())
                data = reply["data"]
                said = data if isinstance(data, list) else [data]
                texts = [item["text"] for item in said] if client.history else said
                client.heard += [text.encode() for text in texts]
                client.poll()
    return moments


def all_wait(poster: Client) -> None:
    """Return when the server has seen every request that was sent before.

    Two answers are enough: when the server reads the second question, it has gone
    once through all sockets that were readable with the first.
    """
    for _ in range(2):
        poster.poll(wait=False)
        poster.ask()


if __name__ == "__main__":
    main(measure)
