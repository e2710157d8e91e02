"""Several chat servers of one folder, on one engine and one database."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from tests.support.requests import KEY
from tutorial.processes import end, free_ports, no_pidfile
from tutorial.stages import ROOT, copy_stage

from ..hostile.site import MAKE_PEOPLE, MAKE_ROOMS, ORIGIN, Where
from ..servers import NO_LIMITS, Failed, started, wait_for
from .engine import Engine

ROOMS = 100  # that there are, from 1 on
USERS = 30  # who have an account, from 1 on
STOP_SECONDS = 30.0  # after which a server that was told to end is killed
# What moves a server's clock, by a file beside the one that it is told of.
INJECTED = ROOT / "tests" / "support" / "injected"
FILL = MAKE_ROOMS.format(ROOMS) + MAKE_PEOPLE.format(USERS)


def folder_of(subject: str) -> Path:
    """The folder of a snapshot by its name, or any folder by its path.

    Raises LookupError if there is no chat server in it.
    """
    for folder in (ROOT / "exercises" / subject, Path(subject).expanduser()):
        if (folder / "chatserver.py").exists():
            return folder.resolve()
    raise LookupError(f"There is no chat server in {subject!r}.")


class Chats:
    """A copy of a folder with its database filled, of which several servers run.

    Use it in a `with` block. `ahead` says by how many seconds the clock of each server
    is before ours. `settings` are variables of their environment. Without an engine
    they have the database in common, and nothing else.
    """

    def __init__(
        self,
        folder: Path,
        workspace: Path,
        engine: Engine | None = None,
        count: int = 3,
        ahead: tuple[float, ...] = (),
        **settings: str,
    ):
        self.workspace, self.engine = workspace, engine
        self.folder = copy_stage(folder, workspace / "copy")
        self.ports = free_ports(count)
        self.ahead = ahead
        script = Path(sys.executable).with_name(
            "twistd.exe" if os.name == "nt" else "twistd"
        )
        self.command = [str(script), "-n", *no_pidfile(), "-y", "chatserver.py"]
        temporary = workspace / "tmp"
        temporary.mkdir()
        names = [f"127.0.0.1:{port}" for port in self.ports]
        self.environment = {
            **os.environ,
            "CHAT_SERVERS": ",".join(names),
            # Other load generators say that they are a page of the server's own.
            "CHAT_ORIGINS": ",".join([ORIGIN, *(f"http://{name}" for name in names)]),
            "CHAT_KEY": KEY,
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": str(temporary),
            **NO_LIMITS,
            **({"REDIS_URL": engine.url} if engine else {}),
            **settings,
        }
        self.processes: list[subprocess.Popen | None] = [None] * count

    def __enter__(self) -> Chats:
        self.manage("migrate", "--verbosity", "0")
        self.manage("shell", "-v", "0", "--command", FILL)
        try:
            for number in range(len(self.ports)):
                self.start(number)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc) -> None:
        for process in self.processes:
            if process:
                end(process)

    def manage(self, *words: str) -> str:
        """Run a command of manage.py. Returns what it prints."""
        return subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=self.folder,
            env=self.environment | {"CHAT_PORT": f"{self.ports[0]}"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout

    def log(self, number: int) -> Path:
        """The file that has all that a server wrote."""
        return self.workspace / f"output-{number}"

    def start(self, number: int) -> float:
        """Start a server. Returns the time when it listens. Raises Failed."""
        environment = self.environment | {"CHAT_PORT": f"{self.ports[number]}"}
        if any(self.ahead):
            environment |= self._clock(number)
        process = started(self.command, self.folder, environment, self.log(number))
        self.processes[number] = process
        try:
            wait_for(process, self.ports[number])
        except Failed as failed:
            wrote = self.log(number).read_text("utf-8", "replace")
            raise Failed(f"{failed} It wrote:\n{wrote[-3000:]}") from failed
        return time.monotonic()

    def _clock(self, number: int) -> dict[str, str]:
        file = self.workspace / f"clock-{number}"
        ahead = file.with_name(f"{file.name}.passed")
        ahead.write_text(f"{self.ahead[number % len(self.ahead)]}", "utf-8")
        nowhere = self.workspace / "tmp"
        return {
            "PYTHONPATH": str(INJECTED),
            "SCRIPTED_CLOCK": str(file),
            # There is a guard for a learner's folder, which has nothing to do here.
            "TUTORIAL_KEPT": os.environ.get("TUTORIAL_KEPT", str(nowhere)),
            "TUTORIAL_FREE": os.environ.get("TUTORIAL_FREE", str(self.workspace)),
        }

    def kill(self, number: int) -> float:
        """kill -9 of a server. Returns the time when it was dead."""
        process = self.processes[number]
        process.kill()
        process.wait()
        return time.monotonic()

    def stop(self, number: int) -> float:
        """Tell a server to end, and wait. Returns after how many seconds it has.

        That is infinity for one that has to be killed.
        """
        begun, process = time.monotonic(), self.processes[number]
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return float("inf")
        return time.monotonic() - begun

    @property
    def where(self) -> list[Where]:
        """How clients find each of them."""
        pairs = zip(self.ports, self.processes, strict=True)
        return [Where(port, True, process.pid) for port, process in pairs]

    def tracebacks(self) -> int:
        """How many all of them have written so far."""
        logs = [self.log(number) for number in range(len(self.ports))]
        wrote = [log.read_bytes() for log in logs if log.exists()]
        return sum(each.count(b"Traceback (most recent call last)") for each in wrote)

    def stored(self) -> list[tuple[int, int, str]]:
        """The messages in the database: (room, number, text)."""
        query = "SELECT room_id, seq, text FROM chat_message"
        with closing(sqlite3.connect(self.folder / "db.sqlite3")) as database:
            return database.execute(query).fetchall()
