"""A line to the chat server that breaks when a test wants it to, or a seed."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from contextlib import suppress


def cuts(seed: int, least: int = 300, most: int = 3_000) -> Iterator[int]:
    """After how many bytes each connection breaks, in the order in which they come.

    One in four gets further: or else a long history would never be through.
    """
    chance = random.Random(seed)
    while True:
        yield chance.randint(least, most) * chance.choice([1, 1, 1, 10])


class Proxy:
    """A TCP proxy to `port` of this machine, with a `port` of its own. Use it in a
    `with` block.

    Each connection breaks when as many bytes went through it, in both directions
    together, as `breaks_after` gives for it. While the line `is_down`, none is let in;
    while it `is_deaf`, what the server says gets lost, until the next cut. But a
    browser that asks whether it may speak is answered: it may ask each time.
    """

    def __init__(self, port: int, breaks_after: Iterator[int] | None = None):
        self.target, self.breaks_after = port, breaks_after
        self.is_down = self.is_deaf = False
        self.broken = 0  # connections, by now
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *exc) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def cut(self) -> None:
        """Break all connections, as when a phone goes into a tunnel."""
        self._do(self._cut())

    def take_down(self) -> None:
        """Break all connections, and let no new ones in until `is_down` is False."""
        self.is_down = True
        self.cut()

    async def _cut(self) -> None:
        self.is_deaf = False
        for writer in self._open:
            writer.transport.abort()

    async def _end(self) -> None:
        self._server.close()
        self.is_down = True
        await self._cut()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader, writer) -> None:
        ends = [writer]
        try:
            if self.is_down:
                return
            self._open.add(writer)
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
            ends.append(back)
            self._open.add(back)
            left = [next(self.breaks_after)] if self.breaks_after else None
            said = [b""]
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, back, left, said, False))
                group.create_task(self._pump(there, writer, left, said, True))
        except* (OSError, EOFError):
            pass  # One end has gone, or the line is broken: so goes the other.
        finally:
            for end in ends:
                self._open.discard(end)
                end.transport.abort()

    async def _pump(self, reader, writer, left, said: list[bytes], hears: bool) -> None:
        while data := await reader.read(65536):
            if not hears:
                said[0] = data
            elif self.is_deaf and not said[0].startswith(b"OPTIONS "):
                continue
            if left is not None:
                data, left[0] = data[: max(left[0], 0)], left[0] - len(data)
            writer.write(data)
            with suppress(ConnectionError):
                await writer.drain()
            if left is not None and left[0] <= 0:
                self.broken += 1
                break
        raise EOFError
