"""Run Django and Twisted together, and end them together.

Where several chat servers share an engine, that is started before them all, and ended
when none of them is left.

honcho starts the two and shows what they say. Ending them is done here: honcho stops
what it started, and waits for ever if a reporter of its own was killed first, as a
closing terminal does. Here whatever carries the mark of this run is ended, also
Django's reloading child, also on Windows, and then nobody is waited for.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path

import psutil
from honcho.manager import SYSTEM_PRINTER_NAME, Manager
from honcho.printer import Message, Printer

from tutorial.doctor.checks import WINDOWS, Ports, listed
from tutorial.doctor.mistakes import name_mistakes
from tutorial.processes import how, is_gone, kill_all, marked, no_pidfile
from tutorial.run.engine import Engine
from tutorial.settings import MARK, origins_of, read_origins

NOTICE = "notice"  # the name under which the runner itself speaks
LEAVE = "leave"
ENGINE = "the engine"

TICK = 0.1  # seconds between two looks at the servers
SLOW = 30.0  # seconds until the runner says that the servers are not ready
HANG_UP = getattr(signal, "SIGHUP", None)  # Windows has none
GRACE = 5.0  # seconds that a server has to end by itself

# twistd, by the Python that runs this: a script would have to be found first, and
# may belong to another environment. -P, since twistd does not look for modules in
# the current folder, and here it must not either.
TWISTD = "from twisted.scripts.twistd import run; run()"


class Left(Exception):
    """The runner leaves honcho's loop."""


def chat_servers(ports: Ports) -> dict[str, int]:
    """The chat servers: each one's name and port."""
    if ports.servers == 1:
        return {"twisted": ports.chat}
    return {f"twisted{n}": port for n, port in enumerate(ports.chats, start=1)}


def environment(
    ports: Ports, outer: dict[str, str], mark: str = "", name: str = "django"
) -> dict[str, str]:
    """The environment of the server of that name, made from that of the runner."""
    chats = chat_servers(ports)
    port = chats.get(name, ports.chat)
    inner = {
        "DJANGO_RUNSERVER_HIDE_WARNING": "true",
        **outer,
        "CHAT_ORIGINS": ",".join(read_origins(outer) or origins_of(ports.django)),
        "DJANGO_PORT": str(ports.django),
        "CHAT_PORT": str(port),
        "CHAT_SERVERS": ",".join(f"127.0.0.1:{port}" for port in chats.values()),
        "PYTHONUNBUFFERED": "1",
        MARK: mark,
    }
    if outer.get("CHAT_WATCH_PORT", "").isdecimal():
        # Each is watched on a port of its own.
        watched = int(outer["CHAT_WATCH_PORT"]) + port - ports.chat
        inner["CHAT_WATCH_PORT"] = str(watched)
    # manage.py leaves it alone where another project has set it.
    inner.pop("DJANGO_SETTINGS_MODULE", None)
    # python then finds no module beside manage.py.
    inner.pop("PYTHONSAFEPATH", None)
    return inner


def commands(folder: Path, ports: Ports) -> dict[str, list[str]]:
    """The servers of the stage in `folder`: each one's name and command."""
    address = f"127.0.0.1:{ports.django}"
    found = {"django": [sys.executable, "manage.py", "runserver", address]}
    if (folder / "chatserver.py").is_file():
        for name in chat_servers(ports):
            found[name] = [
                *(sys.executable, "-P", "-c", TWISTD),
                *("-n", *no_pidfile(), "-y", "chatserver.py"),
            ]
    return found


def shell_line(command: list[str], windows: bool = WINDOWS) -> str:
    """A command as the line that honcho hands to the shell."""
    if windows:
        # To cmd, what joins two commands does so within a word, too, unless quoted.
        joins = set("&|<>^()")
        return " ".join(
            f'"{word}"' if joins & {*word} else subprocess.list2cmdline([word])
            for word in command
        )
    # With exec the shell makes way, so that its pid is the server's.
    return "exec " + shlex.join(command)


def migrate(folder: Path, environ: dict[str, str]) -> str:
    """Bring a stage's database up to date. Returns the output if that failed."""
    command = [sys.executable, "manage.py", "migrate", "--noinput", "--verbosity=0"]
    done = subprocess.run(
        command,
        cwd=folder,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    return done.stdout.strip() if done.returncode else ""


def answers(port: int) -> bool:
    """Whether something on `port` of 127.0.0.1 accepts connections."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


class Screen(Printer):
    """What honcho prints on. Its own messages go to `listener` instead."""

    def __init__(self, listener: Callable[[str], None], lost: Callable[[], None]):
        # No time of honcho's own: the servers say theirs.
        super().__init__(sys.stdout, time_format="")
        self.listener = listener
        self.lost = lost
        self.recent: deque[bytes] = deque(maxlen=100)  # lines of the servers

    def write(self, message: Message) -> None:
        """Show a line of a server, or of the runner itself."""
        if message.name == LEAVE:
            raise Left
        if message.name == SYSTEM_PRINTER_NAME:
            self.listener(message.data)
            return
        try:
            if message.name == NOTICE:
                print(message.data, file=self.output, flush=True)
            else:
                self.recent.append(message.data)
                super().write(message)
        except OSError:  # the terminal, or the program behind the pipe, is gone
            self.output = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
            self.lost()


class Servers(Manager):
    """The servers of one stage, and the `engine` that they share, if they do."""

    def __init__(self, engine: Engine | None = None):
        self.engine = engine
        self.screen = Screen(self.listen, self.terminate)
        super().__init__(self.screen)
        self.pids: dict[str, int] = {}
        self.codes: dict[str, int] = {}
        self.died = ""  # the server that ended first, unasked
        self.ending_since: float | None = None  # by time.monotonic()

    def listen(self, line: str) -> None:
        """Take down what honcho reports about a server."""
        if started := re.match(r"(\w+) started \(pid=(\d+)\)", line):
            self.pids[started[1]] = int(started[2])
        elif stopped := re.match(r"(\w+) stopped \(rc=(-?\d+)\)", line):
            self.codes[stopped[1]] = int(stopped[2])
            self.lose(stopped[1])

    def lose(self, name: str) -> None:
        """Take down that a server ended, and end the others."""
        if self.ending_since is None:
            self.died = name
            self.terminate()

    def terminate(self) -> None:
        """Ask for the end of all servers. Called by signal handlers, too."""
        if self.ending_since is None:
            self.ending_since = time.monotonic()

    def hang_up(self, signum: int, frame: object) -> None:
        """The terminal was closed."""
        self.returncode = 128 + signum
        self.terminate()

    def tell(self, text: str, name: str = NOTICE) -> None:
        """Have the loop print `text`, from any thread."""
        self.events.put(Message("line", text, datetime.now(), name, None))

    def watch(
        self, mark: str, ports: dict[str, int], ready: str, over: threading.Event
    ):
        """Look after the servers until `over`: say when they are ready; end them.

        `ports` says where each is expected, `ready` is told when all of them answer.
        """
        if HANG_UP:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {HANG_UP})
        started = time.monotonic()
        waiting = dict(ports)
        slow = False
        asked: set[int] = set()
        while not over.wait(TICK):
            now = time.monotonic()
            if self.ending_since is not None:
                alive = marked(mark)
                for process in alive:
                    if process.pid not in asked:
                        asked.add(process.pid)
                        end(process)
                patience = GRACE if alive else 1.0
                if now - self.ending_since > patience:
                    self.tell("", LEAVE)
                continue
            if self.engine and self.engine.has_ended():
                self.codes[ENGINE] = self.engine.process.returncode
                self.lose(ENGINE)
            for name, pid in list(self.pids.items()):
                # honcho notices by the end of the output, which a child may hold.
                if is_gone(pid) and name not in self.codes:
                    self.lose(name)
            if waiting:
                waiting = {n: p for n, p in waiting.items() if not answers(p)}
                if not waiting:
                    self.tell(ready)
                elif not slow and now - started > SLOW:
                    slow = True
                    late = " and ".join(f"{n} on port {p}" for n, p in waiting.items())
                    self.tell(
                        f"\nStill no answer from {late} after {SLOW:.0f} s. The lines "
                        "above may say why. Press Ctrl-C to stop.\n"
                    )


def terminated(signum: int, frame: object) -> None:
    """End by this signal as by Ctrl-C: with what was started."""
    sys.exit(128 + signum)


def end(process: psutil.Process) -> None:
    """Ask a process to end, if it is still there."""
    try:
        process.terminate()
    except psutil.Error:
        return


def sweep(mark: str) -> None:
    """End at once what is left of a run: honcho's reporters and the servers."""
    for reporter in multiprocessing.active_children():
        reporter.join(0.5)
        if reporter.is_alive():
            reporter.kill()
            reporter.join()
    kill_all(lambda: marked(mark))


def run_servers(
    folder: Path,
    ports: Ports,
    outer: dict[str, str],
    ready: str,
    engine: Engine | None = None,
) -> tuple[int, str]:
    """Run the servers of the stage in `folder` until they end.

    With an `engine`, it runs for as long as they do. Prints `ready` when all of them
    answer. Returns the exit code, and a sentence about what went wrong, or an empty
    one. Raises EngineError if the engine does not start.
    """
    # The same on every system. Also, forking is not for a program with threads.
    multiprocessing.set_start_method("spawn", force=True)
    mark = uuid.uuid4().hex
    servers = Servers(engine)
    expected = {}
    for name, command in commands(folder, ports).items():
        expected[name] = chat_servers(ports).get(name, ports.django)
        servers.add_process(
            name,
            shell_line(command),
            env=environment(ports, outer, mark, name),
            cwd=str(folder),
        )
    # With nohup it is ignored, and stays so.
    if HANG_UP and signal.getsignal(HANG_UP) is not signal.SIG_IGN:
        signal.signal(HANG_UP, servers.hang_up)
        # It reaches us by the watcher's thread. What this one starts inherits the
        # block: a reporter that a closed terminal ends in the middle of a line would
        # keep the lock of honcho's queue, and nobody's word would arrive any more.
        signal.pthread_sigmask(signal.SIG_BLOCK, {HANG_UP})
    over = threading.Event()
    watcher = threading.Thread(
        target=servers.watch, args=(mark, expected, ready, over), daemon=True
    )
    # honcho has handlers of its own, once its loop runs.
    signal.signal(signal.SIGTERM, terminated)
    with engine or nullcontext():
        watcher.start()
        try:
            servers.loop()
        except Left:
            pass
        finally:
            over.set()
            watcher.join()
            sweep(mark)
    if servers.died:
        died = servers.died
        text = f"{died} {how(servers.codes.get(died))}; its last lines are "
        text += f"in {engine.log}." if died == ENGINE else "above."
        if others := [name for name in expected if name != died]:
            were = "were" if len(others) > 1 else "was"
            text += f" {listed(others)} {were} stopped as well."
        output = b"".join(servers.screen.recent).decode("utf-8", "replace")
        inner = environment(ports, outer, name=died)
        for finding in name_mistakes(output, folder, inner):
            text += f"\n{finding}"
        return 1, text
    return servers.returncode or 0, ""
