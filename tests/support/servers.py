"""Start what is in a folder, as its chapter does, and end all of it again."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import psutil

from tutorial.stages import Stage, copy_stage

START_SECONDS = 20.0
STOP_SECONDS = 5.0
SCRIPTED = Path(__file__).parent / "scripted_clock"


@dataclass(frozen=True)
class Target:
    """A folder under test, and the stage that it claims to be."""

    stage: Stage
    folder: Path


def free_ports(count: int) -> list[int]:
    """Different TCP ports of 127.0.0.1 that nobody listens on at this moment."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def wait_until(
    fact: Callable[[], bool], what: Callable[[], str], seconds: float = 5.0
) -> None:
    """Return as soon as `fact()` is true.

    Raises AssertionError after `seconds`, with `what()`: what did not come true.
    """
    __tracebackhide__ = True
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline, f"Not true in {seconds:g} s: {what()}"
        # How often to look, not a guess at how long it takes.
        time.sleep(0.01)


class Server:
    """One process of the folder under test. Its output goes to `log`, a file."""

    def __init__(self, name: str, command: list[str], cwd: Path, env: dict, log: Path):
        self.name, self.log, self.cwd, self.env = name, log, cwd, env
        self.command = command
        self.process: subprocess.Popen | None = None

    def start(self, port: int) -> None:
        """Start, and return once `port` accepts connections.

        Raises AssertionError, with the end of the output, if it does not in
        START_SECONDS. Then nothing of it is left.
        """
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.cwd,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_until(
                lambda: self._accepts(port),
                lambda: (
                    f"{self.name} listens on {port}. Its output ends:\n{self.tail()}"
                ),
                START_SECONDS,
            )
        except BaseException:
            self.stop()  # Nobody else would: who starts it has nothing to stop yet.
            raise

    def _accepts(self, port: int) -> bool:
        assert self.process.poll() is None, (
            f"{self.name} should start, but it ended. Its output ends:\n{self.tail()}"
        )
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def stop(self) -> None:
        """End the process and all that it started."""
        if self.process is None:
            return
        family = self._family()
        for process in family:
            process.terminate()
        _, alive = psutil.wait_procs(family, timeout=STOP_SECONDS)
        for process in alive:
            process.kill()
        self.process.wait(STOP_SECONDS)
        self.process = None

    def kill(self) -> None:
        """End the process as a power cut would."""
        for process in self._family():
            process.kill()
        self.process.wait(STOP_SECONDS)
        self.process = None

    def _family(self) -> list[psutil.Process]:
        try:
            parent = psutil.Process(self.process.pid)
            return [*parent.children(recursive=True), parent]
        except psutil.NoSuchProcess:
            return []

    def listens_on(self) -> set[str]:
        """The IP addresses on which the process listens."""
        connections = psutil.Process(self.process.pid).net_connections("tcp")
        return {c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN}

    def memory(self) -> int:
        """Resident memory of the process, in bytes."""
        return psutil.Process(self.process.pid).memory_info().rss

    def output(self) -> str:
        """All that the process has written so far."""
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""

    def tail(self, lines: int = 15) -> str:
        """The last lines of the output."""
        return "\n".join(self.output().splitlines()[-lines:])


@dataclass(frozen=True)
class Clock:
    """What `time.time()` returns to the chat server under test, while it is set."""

    file: Path

    def set(self, reading: float) -> None:
        """From now on the clock stands at `reading`, in seconds since the epoch."""
        # Moved into place, so that nobody reads half a number.
        new = self.file.with_suffix(".new")
        new.write_text(repr(reading))
        new.replace(self.file)

    def release(self) -> None:
        """Give the server the real clock again."""
        self.file.unlink(missing_ok=True)


class Chat:
    """A running copy of a target: Twisted from stage 2 on, and Django when needed.

    The folder itself is never written to, and its database is never opened: `folder`
    is a copy in `workspace`. Use it in a `with` block. Raises AssertionError where a
    server does not start.
    """

    def __init__(self, target: Target, workspace: Path):
        self.target = target
        self.folder = copy_stage(target.folder, workspace / "copy")
        self.django_port, self.chat_port = free_ports(2)
        self.clock = Clock(workspace / "clock")
        self.env = {
            **os.environ,
            "CHAT_PORT": str(self.chat_port),
            "CHAT_ORIGINS": self.origin,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
        }
        self.env.pop("DJANGO_SETTINGS_MODULE", None)
        runserver = [sys.executable, "manage.py", "runserver", "--noreload"]
        self._django = Server(
            "Django (manage.py runserver)",
            [*runserver, f"127.0.0.1:{self.django_port}"],
            self.folder,
            self.env,
            workspace / "django.log",
        )
        script = {"PYTHONPATH": str(SCRIPTED), "SCRIPTED_CLOCK": str(self.clock.file)}
        self.twisted = Server(
            "Twisted (twistd -n -y chatserver.py)",
            [twistd(), "-n", "--pidfile=", "-y", "chatserver.py"],
            self.folder,
            self.env | script,
            workspace / "twisted.log",
        )
        self.servers = [self._django, self.twisted]

    def __enter__(self) -> Chat:
        if self.target.stage.number >= 2:
            self.twisted.start(self.chat_port)
        return self

    def __exit__(self, *exc) -> None:
        for server in self.servers:
            server.stop()

    @cached_property
    def django(self) -> Server:
        """Django, with its database; started when first asked for."""
        self.manage("migrate", "--verbosity", "0")
        self._django.start(self.django_port)
        return self._django

    @property
    def origin(self) -> str:
        """What a browser says in the Origin header when it shows our page."""
        return f"http://127.0.0.1:{self.django_port}"

    def restart(self) -> None:
        """Start the chat server anew, with an empty memory."""
        self.twisted.stop()
        self.twisted.start(self.chat_port)

    @property
    def ws_url(self) -> str:
        """Where the WebSocket chat is."""
        return f"ws://127.0.0.1:{self.chat_port}/ws"

    def get(self, path: str) -> http.client.HTTPResponse:
        """GET `path` from Django, without following redirects; the body is read."""
        assert self.django
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.django_port, timeout=5
        )
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            response.text = response.read().decode()
            return response
        finally:
            connection.close()

    def manage(self, *words: str) -> str:
        """Run `python manage.py *words` in the copy; returns its output.

        Raises AssertionError, with the output, if it fails.
        """
        result = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        output = result.stdout + result.stderr
        assert result.returncode == 0, f"manage.py {' '.join(words)} failed:\n{output}"
        return output

    def shell(self, code: str) -> str:
        """Run `code` in the Django shell of the copy; returns what it printed."""
        assert self.django
        return self.manage("shell", "--verbosity", "0", "--command", code)


def twistd() -> str:
    """The twistd of this environment.

    Not `python -m twisted`: that would put the current directory on sys.path,
    which the chapter's command does not.
    """
    name = "twistd.exe" if os.name == "nt" else "twistd"
    return str(Path(sys.executable).with_name(name))
