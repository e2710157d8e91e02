"""A chat server that is attacked: how it is started, and what can be seen of it."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

from tests.support.requests import KEY, room_token, ticket
from tutorial.processes import end, free_ports
from tutorial.stages import Stage, copy_stage, find_stage

from ..servers import FIRST_WITH_NAMES, servers, started, wait_for

ROOMS = 1_000  # that there are, from 1 on
FULL_ROOM = ROOMS  # its history is as large as a history can be
USERS = 300  # who have an account, from 1 on
STOP_SECONDS = 30.0  # after which a server that was told to end is killed
LOOK = 0.02  # seconds between two looks at the size of the server
ORIGIN = "http://127.0.0.1:8000"
DAY = 24 * 60 * 60

MAKE_ROOMS = """
from chat import models
there = set(models.ChatRoom.objects.values_list("pk", flat=True))
models.ChatRoom.objects.bulk_create(
    models.ChatRoom(pk=n, name=f"Room {{n}}")
    for n in range(1, {0} + 1) if n not in there
)
"""
MAKE_PEOPLE = """
from django.contrib.auth import get_user_model as model
model().objects.bulk_create(
    [model()(pk=n, username=f"user{{n}}", password="!") for n in range(1, {0} + 1)],
    ignore_conflicts=True,
)
"""
FILL = f"""{MAKE_ROOMS.format(ROOMS)}
long = chr(0x1F600) * 4096
models.Message.objects.bulk_create(
    models.Message(room_id={FULL_ROOM}, seq=n, client_id=f"{{n}}", text=long)
    for n in range(1, 201)
)
models.ChatRoom.objects.filter(pk={FULL_ROOM}).update(last_seq=200)
"""
PEOPLE = MAKE_PEOPLE.format(USERS)


@dataclass(frozen=True)
class Where:
    """How a client finds the chat server, and what it shows there.

    `names`: does a token say whose it is? With a `pid`, the server is on this machine.
    `source` is the address from which clients come: on Linux, all of 127.0.0.0/8 are
    ours; elsewhere they are all one.
    """

    port: int
    names: bool
    pid: int | None = None
    origin: str = ORIGIN
    source: str = "127.0.0.1"

    @property
    def host(self) -> str:
        """What a client says in its Host header."""
        return f"127.0.0.1:{self.port}"

    def token(self, room: int = 1, user: int = 1) -> str:
        """What opens a room for a user, for a day."""
        if not self.names:
            return room_token(room)
        return ticket(room, user, f"user{user}", time.time() + DAY)

    def of(self, number: int) -> Where:
        """The same, for clients of another address: the one with this number."""
        if sys.platform != "linux":
            return self
        high, low = divmod(number, 250)
        return replace(self, source=f"127.7.{high}.{low + 1}")

    def held(self) -> set[tuple[str, int]]:
        """The addresses of the clients with whom the server has a connection."""
        found = psutil.Process(self.pid).net_connections("tcp")
        return {tuple(each.raddr) for each in found if each.raddr}


class Site:
    """A copy of a snapshot with its database filled, whose chat server runs.

    Use it in a `with` block. `settings` are variables of its environment.
    """

    def __init__(self, name: str, workspace: Path, **settings: str):
        self.stage: Stage = find_stage(name)
        self.folder = copy_stage(self.stage.folder, workspace / "copy")
        self.log = workspace / "output"
        [self.port] = free_ports(1)
        [server] = [server for server in servers() if server.name == self.stage.id]
        self.command = server.command
        temporary = workspace / "tmp"
        temporary.mkdir()
        self.environment = {
            **os.environ,
            "CHAT_PORT": str(self.port),
            "CHAT_ORIGINS": ORIGIN,
            "CHAT_KEY": KEY,
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": str(temporary),
            **settings,
        }
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> Site:
        names = self.stage.number >= FIRST_WITH_NAMES
        for words in (
            ["migrate", "--verbosity", "0"],
            ["shell", "-v", "0", "--command", FILL + (PEOPLE if names else "")],
        ):
            subprocess.run(
                [sys.executable, "manage.py", *words],
                cwd=self.folder,
                env=self.environment,
                check=True,
            )
        self.start()
        return self

    def __exit__(self, *exc) -> None:
        end(self.process)

    def start(self) -> None:
        """Start the chat server, and return when it listens. Raises Failed."""
        self.process = started(self.command, self.folder, self.environment, self.log)
        wait_for(self.process, self.port)

    def stop(self) -> float:
        """Tell the server to end, and wait. Returns after how many seconds it has.

        That is infinity for one that has to be killed.
        """
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return float("inf")
        return time.monotonic() - begun

    @property
    def where(self) -> Where:
        """How clients find it."""
        names = self.stage.number >= FIRST_WITH_NAMES
        return Where(self.port, names, self.process.pid)

    def tracebacks(self) -> int:
        """How many the server has written so far."""
        return self.log.read_bytes().count(b"Traceback (most recent call last)")

    def memory(self) -> float:
        """How large the process is, in MB."""
        return psutil.Process(self.process.pid).memory_info().rss / 1e6

    def descriptors(self) -> int:
        """How many files and sockets the process has open."""
        return psutil.Process(self.process.pid).num_fds()

    def stored(self) -> list[tuple[int, str]]:
        """The messages in the database, as (room, text), but for the full room's."""
        query = "SELECT room_id, text FROM chat_message WHERE room_id != ?"
        with closing(sqlite3.connect(self.folder / "db.sqlite3")) as database:
            return database.execute(query, [FULL_ROOM]).fetchall()


@contextmanager
def sizes(pid: int) -> Iterator[list[float]]:
    """The sizes of a process in MB, taken all the time while the block runs."""
    process, found, over = psutil.Process(pid), [], threading.Event()

    def look() -> None:
        with suppress(psutil.Error):
            while not over.is_set():
                found.append(process.memory_info().rss / 1e6)
                over.wait(LOOK)

    found.append(process.memory_info().rss / 1e6)
    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def plainly(where: Where) -> dict:
    """`where` for the command line of another process: Where(**it) is the same."""
    return asdict(where)
